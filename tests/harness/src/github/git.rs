//! The little of git that is needed: which commits a commit reaches, and which blob each of its paths holds.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Commit, Repository};
use super::story::sha_of;

impl Repository {
    /// Everything that `head` reaches, itself included.
    pub fn reachable(&self, head: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut open = vec![head.to_owned()];
        while let Some(sha) = open.pop() {
            if let Some(commit) = self.commits.get(&sha)
                && seen.insert(sha)
            {
                open.extend(commit.parents.iter().cloned());
            }
        }
        seen
    }

    /// The commits that `head` reaches and `base` does not, oldest first.
    pub fn range(&self, base: Option<&str>, head: &str) -> Vec<&Commit> {
        let known = base.map(|base| self.reachable(base)).unwrap_or_default();
        let mut ordered = Vec::new();
        let mut placed = BTreeSet::new();
        self.place(head, &known, &mut placed, &mut ordered);
        ordered
    }

    /// Parents before children.
    fn place<'a>(
        &'a self,
        sha: &str,
        known: &BTreeSet<String>,
        placed: &mut BTreeSet<String>,
        ordered: &mut Vec<&'a Commit>,
    ) {
        let Some(commit) = self.commits.get(sha) else { return };
        if known.contains(sha) || !placed.insert(sha.to_owned()) {
            return;
        }
        for parent in &commit.parents {
            self.place(parent, known, placed, ordered);
        }
        ordered.push(commit);
    }

    /// The blobs of a commit by their paths. A commit gives each path that it changes a blob of its own; a
    /// merge takes that of its second parent, where that one has another than the first.
    pub fn tree(&self, sha: &str) -> BTreeMap<String, String> {
        let Some(commit) = self.commits.get(sha) else { return BTreeMap::new() };
        let parent = |place: usize| commit.parents.get(place).map(|sha| self.tree(sha)).unwrap_or_default();
        let (mut tree, merged) = (parent(0), parent(1));
        for path in &commit.files {
            let taken = merged.get(path).filter(|blob| tree.get(path) != Some(blob)).cloned();
            tree.insert(path.clone(), taken.unwrap_or_else(|| sha_of(&format!("{path} of {sha}"))));
        }
        tree
    }

    /// The commit that a ref leads to, through an annotated tag.
    pub fn commit_of(&self, git_ref: &str) -> Option<&str> {
        let object = self.refs.get(git_ref)?;
        Some(self.tag_objects.get(object).unwrap_or(object))
    }
}
