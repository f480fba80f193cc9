//! Keeping a push inside the size of one message: paths go first, then the oldest commits. What is left out is said, and
//! judging reads it as "touches everything" and "there were more". That a commit changes a workflow is never left out:
//! those paths are chosen from all that the forge lists, before any bound.

use bus_schema::envelope::ENVELOPE_BYTES_MAX;
use bus_schema::source::{COMMIT_PATHS_MAX, CommitPushed, PUSH_COMMITS_MAX, PushedCommit};

use super::workflow_files::is_workflow_or_local_action;

/// What the data of one push may take, in bytes; the rest of the envelope needs less than the difference.
const PUSH_BYTES_MAX: usize = ENVELOPE_BYTES_MAX - 64 * 1024;
/// The longest path that is kept, in bytes (Linux refuses longer ones).
pub const PATH_BYTES_MAX: usize = 4096;
/// The most changed workflow files that one event lists: the correlator keeps no more.
pub const WORKFLOW_PATHS_MAX: usize = 200;
/// What they may take in one event, in bytes of JSON; one is listed always.
const WORKFLOW_PATHS_BYTES_MAX: usize = 128 * 1024;

/// The paths of one commit as they are reported: none when they are unknown, cut when there are too many.
pub fn paths<'a>(all: impl Iterator<Item = &'a str>) -> (Option<Vec<String>>, bool) {
    let mut kept = Vec::new();
    let mut cut = false;
    for path in all {
        match kept.len() < COMMIT_PATHS_MAX && path.len() <= PATH_BYTES_MAX {
            true => kept.push(path.to_owned()),
            false => cut = true,
        }
    }
    kept.sort();
    kept.dedup();
    // The forge lists nothing for merges and cannot be told from a commit that changes nothing: unknown.
    match kept.is_empty() && !cut {
        true => (None, false),
        false => (Some(kept), cut),
    }
}

/// The workflow files and files of local actions among all paths of one commit; absent when it changes none. An empty list
/// says that the forge does not tell: its list is not whole, and what it lists are other files.
pub fn workflow_paths<'a>(all: impl Iterator<Item = &'a str>, is_whole: bool) -> Option<Vec<String>> {
    let mut touched: Vec<&str> = all.filter(|path| is_workflow_or_local_action(path)).collect();
    if touched.is_empty() {
        return (!is_whole).then(Vec::new);
    }
    touched.sort_unstable();
    touched.dedup();
    let mut kept = Vec::new();
    let mut bytes = 0;
    for path in touched.into_iter().take(WORKFLOW_PATHS_MAX) {
        let path = shortened(path);
        bytes += json_bytes(path, WORKFLOW_PATHS_BYTES_MAX);
        if bytes > WORKFLOW_PATHS_BYTES_MAX && !kept.is_empty() {
            break;
        }
        kept.push(path.to_owned());
    }
    Some(kept)
}

/// A longer path than any checkout can have is still a change.
fn shortened(path: &str) -> &str {
    let mut end = path.len().min(PATH_BYTES_MAX);
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    &path[..end]
}

/// Cuts a push until it fits.
pub fn fit(push: &mut CommitPushed) {
    if push.commits.len() > PUSH_COMMITS_MAX {
        let surplus = push.commits.len() - PUSH_COMMITS_MAX;
        push.commits.drain(..surplus);
        push.commits_cut = true;
    }
    let commit_bytes = |commit: &PushedCommit| json_bytes(commit, PUSH_BYTES_MAX);
    let mut bytes: usize = push.commits.iter().map(commit_bytes).sum();
    for commit in &mut push.commits {
        if bytes <= PUSH_BYTES_MAX {
            return;
        }
        bytes -= commit_bytes(commit);
        commit.paths = None;
        commit.paths_cut = true;
        bytes += commit_bytes(commit);
    }
    let mut dropped = 0;
    while bytes > PUSH_BYTES_MAX && dropped < push.commits.len() {
        bytes -= commit_bytes(&push.commits[dropped]);
        dropped += 1;
    }
    if dropped > 0 {
        push.commits.drain(..dropped);
        push.commits_cut = true;
    }
}

/// The size in a list in JSON.
fn json_bytes<T: serde::Serialize + ?Sized>(value: &T, otherwise: usize) -> usize {
    serde_json::to_vec(value).map_or(otherwise, |json| json.len() + 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn commit(number: usize, paths: usize) -> PushedCommit {
        let path = |index: usize| format!("{}/{index}", "long-folder-name".repeat(20));
        PushedCommit {
            id: format!("{number:040x}").parse().unwrap(),
            author: None,
            committer: None,
            parents: Vec::new(),
            signature_verified: None,
            paths: Some((0..paths).map(path).collect()),
            paths_cut: false,
        }
    }

    fn push(commits: Vec<PushedCommit>) -> CommitPushed {
        CommitPushed {
            repository: "github.com/acme/api".parse().unwrap(),
            git_ref: "refs/heads/main".parse().unwrap(),
            before: None,
            after: None,
            forced: false,
            pusher: None,
            commits,
            commits_cut: false,
            pushed_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            looked_up: false,
        }
    }

    #[test]
    fn a_push_that_fits_stays_as_it_is() {
        let mut small = push((1..=20).map(|number| commit(number, 10)).collect());
        let before = small.clone();
        fit(&mut small);
        assert_eq!(small, before);
    }

    #[test]
    fn a_push_that_is_too_large_loses_paths_and_then_the_oldest_commits() {
        let mut large = push((1..=PUSH_COMMITS_MAX + 10).map(|number| commit(number, 20)).collect());
        fit(&mut large);
        assert!(large.commits_cut);
        assert!(serde_json::to_vec(&large).unwrap().len() < ENVELOPE_BYTES_MAX);
        assert_eq!(large.commits.len(), PUSH_COMMITS_MAX);
        let first = large.commits.first().unwrap();
        assert!(first.paths.is_none() && first.paths_cut);
        assert_eq!(large.commits.last().unwrap().id.as_str(), format!("{:040x}", PUSH_COMMITS_MAX + 10));
    }

    #[test]
    fn paths_are_sorted_and_an_empty_list_is_unknown() {
        assert_eq!(paths(["b", "a", "b"].into_iter()), (Some(vec!["a".to_owned(), "b".to_owned()]), false));
        assert_eq!(paths(std::iter::empty()), (None, false));
        let long = "x".repeat(PATH_BYTES_MAX + 1);
        assert_eq!(paths(["a", &long].into_iter()), (Some(vec!["a".to_owned()]), true));
    }

    #[test]
    fn changed_workflows_are_bounded_and_one_is_always_named() {
        let workflow = |name: &str| format!(".github/workflows/{name}");
        let touched = |all: &[String], is_whole| workflow_paths(all.iter().map(String::as_str), is_whole);
        assert_eq!(touched(&["README.md".to_owned()], true), None);
        assert_eq!(touched(&["README.md".to_owned()], false), Some(Vec::new()));
        let both = [workflow("b.yml"), "README.md".to_owned(), workflow("a.yml"), workflow("b.yml")];
        assert_eq!(touched(&both, false), Some(vec![workflow("a.yml"), workflow("b.yml")]));
        let many: Vec<String> = (0..1000).map(|n| workflow(&n.to_string())).collect();
        assert_eq!(touched(&many, true).unwrap().len(), WORKFLOW_PATHS_MAX);
        // Each control character takes six bytes, and the forge's path may be of any length.
        let long: Vec<String> =
            (0..9).map(|n| workflow(&format!("{n}{}", "\u{1}".repeat(30 * 1024)))).collect();
        let kept = touched(&long, true).unwrap();
        assert!((1..9).contains(&kept.len()), "{}", kept.len());
        assert!(serde_json::to_vec(&kept).unwrap().len() <= WORKFLOW_PATHS_BYTES_MAX);
    }
}
