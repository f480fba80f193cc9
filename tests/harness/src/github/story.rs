//! What happens at the forge, in the words of a story. Each step changes the model and gives the webhooks that GitHub would
//! send for it, for the test to deliver, repeat or lose.

use jiff::Timestamp;
use sha2::Digest as _;

use super::deliver::Delivery;
use super::model::{Activity, Commit, Merged, Model, Person, Pull, Repository, Review};
use super::shape;

pub const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// How a change is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeMethod {
    Merge,
    Squash,
    Rebase,
}

impl Model {
    /// Makes a commit that is on no ref yet.
    pub fn commit(
        &mut self,
        (owner, name): (&str, &str),
        parents: &[&str],
        author: &Person,
        files: &[&str],
    ) -> String {
        let number = self.fresh_id();
        let sha = sha_of(&format!("{owner}/{name} commit {number}"));
        let commit = Commit {
            sha: sha.clone(),
            parents: parents.iter().map(|parent| (*parent).to_owned()).collect(),
            author: author.clone(),
            committer: author.clone(),
            files: files.iter().map(|file| (*file).to_owned()).collect(),
            message: format!("Change {number}"),
            verified: false,
            at: Timestamp::now(),
        };
        self.repository(owner, name).commits.insert(sha.clone(), commit);
        sha
    }

    /// Points a branch at a commit: `push`.
    pub fn push(&mut self, repository: (&str, &str), branch: &str, head: &str, actor: &Person) -> Delivery {
        let git_ref = format!("refs/heads/{branch}");
        let kind = self.kind_of_push(repository, &git_ref, head);
        self.move_branch(repository, &git_ref, Some(head), actor, kind)
    }

    /// Deletes a branch.
    pub fn delete_branch(&mut self, repository: (&str, &str), branch: &str, actor: &Person) -> Delivery {
        let git_ref = format!("refs/heads/{branch}");
        self.move_branch(repository, &git_ref, None, actor, "branch_deletion")
    }

    /// Creates or moves a tag: lightweight, or annotated with an object of its own.
    pub fn tag(
        &mut self,
        repository: (&str, &str),
        tag: &str,
        commit: &str,
        is_annotated: bool,
        actor: &Person,
    ) -> Delivery {
        let number = self.fresh_id();
        let found = self.repository(repository.0, repository.1);
        let object = match is_annotated {
            true => sha_of(&format!("tag {tag} {number}")),
            false => commit.to_owned(),
        };
        if is_annotated {
            found.tag_objects.insert(object.clone(), commit.to_owned());
        }
        let git_ref = format!("refs/tags/{tag}");
        let before = found.refs.insert(git_ref.clone(), object.clone());
        found.pushed_at = Timestamp::now();
        let before = before.unwrap_or_else(|| NO_COMMIT.to_owned());
        let found = self.repository(repository.0, repository.1).clone();
        let head = found.commits.get(commit);
        let body = shape::push(self, &found, &git_ref, (&before, &object), false, (&[], head), actor);
        Delivery::new("push", body)
    }

    /// Opens a pull request from a branch of the repository.
    pub fn open_pull(
        &mut self,
        (owner, name): (&str, &str),
        head: (&str, &str),
        base_branch: &str,
        author: &Person,
    ) -> u64 {
        let number = self.fresh_id();
        let found = self.repository(owner, name);
        let (head_branch, head) = (head.0.to_owned(), head.1.to_owned());
        let base = found.refs.get(&format!("refs/heads/{base_branch}")).cloned();
        let commits = found.range(base.as_deref(), &head).iter().map(|commit| commit.sha.clone()).collect();
        let pull = Pull {
            number,
            author: author.clone(),
            head_branch,
            head,
            head_repository: None,
            base_branch: base_branch.to_owned(),
            commits,
            reviews: Vec::new(),
            merged: None,
            opened_at: Timestamp::now(),
        };
        found.pulls.insert(number, pull);
        number
    }

    /// Reviews the present head: `pull_request_review`.
    pub fn review(
        &mut self,
        (owner, name): (&str, &str),
        number: u64,
        reviewer: &Person,
        state: &str,
    ) -> Delivery {
        let id = self.fresh_id();
        let found = self.repository(owner, name);
        let pull = pull_of(found, number);
        let review = Review {
            id,
            reviewer: reviewer.clone(),
            state: state.to_owned(),
            commit: pull.head.clone(),
            at: Timestamp::now(),
        };
        pull.reviews.push(review.clone());
        let found = found.clone();
        let body = shape::review_event(self, &found, &found.pulls[&number], &review);
        Delivery::new("pull_request_review", body)
    }

    /// Merges a change: `push` for the base and `pull_request` closed, in the order in which GitHub tends to send them.
    pub fn merge(
        &mut self,
        repository: (&str, &str),
        number: u64,
        method: MergeMethod,
        by: &Person,
    ) -> Vec<Delivery> {
        let (base_ref, brought) = self.merge_commits(repository, number, method, by);
        let Some(tip) = brought.last().cloned() else { return Vec::new() };
        let found = self.repository(repository.0, repository.1);
        let merged = Merged { commit: tip.clone(), by: by.clone(), at: Timestamp::now(), brought };
        pull_of(found, number).merged = Some(merged);
        let pushed = self.move_branch(repository, &base_ref, Some(&tip), by, "pr_merge");
        let found = self.repository(repository.0, repository.1).clone();
        let body = shape::pull_event(self, &found, &found.pulls[&number], "closed", by);
        vec![pushed, Delivery::new("pull_request", body)]
    }

    /// Merges several changes in one push, each by a merge commit: a merge queue.
    pub fn merge_queue(&mut self, repository: (&str, &str), numbers: &[u64], by: &Person) -> Vec<Delivery> {
        let mut merges = Vec::new();
        let mut tip: Option<(String, String)> = None;
        for number in numbers {
            let (base_ref, brought) = match &tip {
                None => self.merge_commits(repository, *number, MergeMethod::Merge, by),
                Some((base_ref, tip)) => {
                    let head = pull_of(self.repository(repository.0, repository.1), *number).head.clone();
                    let files = self.files_of_pull(repository, *number);
                    let files: Vec<&str> = files.iter().map(String::as_str).collect();
                    let merge = self.commit(repository, &[tip.as_str(), head.as_str()], by, &files);
                    let own = pull_of(self.repository(repository.0, repository.1), *number).commits.clone();
                    (base_ref.clone(), own.into_iter().chain([merge]).collect())
                }
            };
            tip = brought.last().map(|commit| (base_ref, commit.clone()));
            merges.push((*number, brought));
        }
        let Some((base_ref, tip)) = tip else { return Vec::new() };
        for (number, brought) in merges {
            let commit = brought.last().cloned().unwrap_or_default();
            let merged = Merged { commit, by: by.clone(), at: Timestamp::now(), brought };
            pull_of(self.repository(repository.0, repository.1), number).merged = Some(merged);
        }
        let mut deliveries =
            vec![self.move_branch(repository, &base_ref, Some(&tip), by, "merge_queue_merge")];
        let found = self.repository(repository.0, repository.1).clone();
        for number in numbers {
            let body = shape::pull_event(self, &found, &found.pulls[number], "closed", by);
            deliveries.push(Delivery::new("pull_request", body));
        }
        deliveries
    }

    /// The commits that a merge puts on the base, the last one being its new head.
    fn merge_commits(
        &mut self,
        repository: (&str, &str),
        number: u64,
        method: MergeMethod,
        by: &Person,
    ) -> (String, Vec<String>) {
        let found = self.repository(repository.0, repository.1);
        let pull = pull_of(found, number).clone();
        let base_ref = format!("refs/heads/{}", pull.base_branch);
        let base = found.refs.get(&base_ref).cloned().unwrap_or_default();
        let files = self.files_of_pull(repository, number);
        let all: Vec<&str> = files.iter().map(String::as_str).collect();
        let commits = match method {
            MergeMethod::Merge => {
                let merge = self.commit(repository, &[&base, &pull.head], by, &all);
                self.by_web_flow(repository, &merge);
                pull.commits.iter().cloned().chain([merge]).collect()
            }
            MergeMethod::Squash => {
                let squashed = self.commit(repository, &[&base], &pull.author, &all);
                self.by_web_flow(repository, &squashed);
                vec![squashed]
            }
            MergeMethod::Rebase => self.rebase(repository, &pull, &base),
        };
        (base_ref, commits)
    }

    fn rebase(&mut self, repository: (&str, &str), pull: &Pull, base: &str) -> Vec<String> {
        let mut tip = base.to_owned();
        let mut rebased = Vec::new();
        for sha in &pull.commits {
            let Some(commit) = self.repository(repository.0, repository.1).commits.get(sha).cloned() else {
                continue;
            };
            let files: Vec<&str> = commit.files.iter().map(String::as_str).collect();
            tip = self.commit(repository, &[&tip], &commit.author, &files);
            self.by_web_flow(repository, &tip);
            rebased.push(tip.clone());
        }
        rebased
    }

    fn by_web_flow(&mut self, repository: (&str, &str), sha: &str) {
        if let Some(commit) = self.repository(repository.0, repository.1).commits.get_mut(sha) {
            commit.committer = Person::web_flow();
            commit.verified = true;
        }
    }

    fn files_of_pull(&mut self, (owner, name): (&str, &str), number: u64) -> Vec<String> {
        let found = self.repository(owner, name);
        let commits = pull_of(found, number).commits.clone();
        let mut files: Vec<String> = commits
            .iter()
            .filter_map(|sha| found.commits.get(sha))
            .flat_map(|commit| commit.files.clone())
            .collect();
        files.sort();
        files.dedup();
        files
    }

    fn kind_of_push(&mut self, (owner, name): (&str, &str), git_ref: &str, head: &str) -> &'static str {
        let found = self.repository(owner, name);
        match found.refs.get(git_ref) {
            None => "branch_creation",
            Some(before) if found.reachable(head).contains(before) => "push",
            Some(_) => "force_push",
        }
    }

    fn move_branch(
        &mut self,
        (owner, name): (&str, &str),
        git_ref: &str,
        head: Option<&str>,
        actor: &Person,
        kind: &'static str,
    ) -> Delivery {
        let id = self.fresh_id();
        let found = self.repository(owner, name);
        let before = match head {
            Some(head) => found.refs.insert(git_ref.to_owned(), head.to_owned()),
            None => found.refs.remove(git_ref),
        };
        let at = Timestamp::now();
        found.pushed_at = at;
        let (had, has) = (before.as_deref().unwrap_or(NO_COMMIT), head.unwrap_or(NO_COMMIT));
        found.activity.push(Activity {
            id,
            before: had.to_owned(),
            after: has.to_owned(),
            git_ref: git_ref.to_owned(),
            at,
            kind,
            actor: actor.clone(),
        });
        for pull in found.pulls.values_mut().filter(|pull| pull.merged.is_none()) {
            if let Some(head) = head
                && git_ref == format!("refs/heads/{}", pull.head_branch)
            {
                pull.head = head.to_owned();
            }
        }
        refresh_pulls(found);
        let found = self.repository(owner, name).clone();
        let commits: Vec<&Commit> = match head {
            Some(head) => found.range(before.as_deref(), head),
            None => Vec::new(),
        };
        let head_commit = head.and_then(|head| found.commits.get(head));
        let is_forced = kind == "force_push";
        let body = shape::push(self, &found, git_ref, (had, has), is_forced, (&commits, head_commit), actor);
        Delivery::new("push", body)
    }
}

/// Open changes hold what their head has and their base has not.
fn refresh_pulls(repository: &mut Repository) {
    let snapshot = repository.clone();
    for pull in repository.pulls.values_mut().filter(|pull| pull.merged.is_none()) {
        let base = snapshot.refs.get(&format!("refs/heads/{}", pull.base_branch));
        let range = snapshot.range(base.map(String::as_str), &pull.head);
        pull.commits = range.iter().map(|commit| commit.sha.clone()).collect();
    }
}

#[expect(clippy::panic, reason = "a mistake of the test ends the test")]
fn pull_of(repository: &mut Repository, number: u64) -> &mut Pull {
    let name = repository.name.clone();
    match repository.pulls.get_mut(&number) {
        Some(pull) => pull,
        None => panic!("the test has no pull request {number} in {name}"),
    }
}

pub(crate) fn sha_of(text: &str) -> String {
    hex::encode(&sha2::Sha256::digest(text.as_bytes())[..20])
}
