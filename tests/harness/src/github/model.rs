//! What the stand-in knows: repositories with their commits, refs, changes, runs and attestations. Plain data, all of it open
//! to the test.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

/// A user, an organisation or an app's bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub login: String,
    pub id: u64,
    pub kind: &'static str,
}

impl Person {
    pub fn user(login: &str, id: u64) -> Person {
        Person { login: login.to_owned(), id, kind: "User" }
    }

    pub fn bot(login: &str, id: u64) -> Person {
        Person { login: login.to_owned(), id, kind: "Bot" }
    }

    pub fn organization(login: &str, id: u64) -> Person {
        Person { login: login.to_owned(), id, kind: "Organization" }
    }

    /// GitHub's own account for merges and edits on its pages.
    pub fn web_flow() -> Person {
        Person::user("web-flow", 19_864_447)
    }
}

#[derive(Debug, Clone)]
pub struct Commit {
    pub sha: String,
    pub parents: Vec<String>,
    pub author: Person,
    pub committer: Person,
    /// Changed paths against the first parent.
    pub files: Vec<String>,
    pub message: String,
    pub verified: bool,
    pub at: Timestamp,
}

/// A pull request.
#[derive(Debug, Clone)]
pub struct Pull {
    pub number: u64,
    pub author: Person,
    pub head_branch: String,
    pub head: String,
    /// Owner and name of a fork; absent: the repository itself.
    pub head_repository: Option<(String, String)>,
    pub base_branch: String,
    /// Its own commits, oldest first.
    pub commits: Vec<String>,
    pub reviews: Vec<Review>,
    pub merged: Option<Merged>,
    pub opened_at: Timestamp,
}

#[derive(Debug, Clone)]
pub struct Merged {
    pub commit: String,
    pub by: Person,
    pub at: Timestamp,
    /// The commits that the merge put on the base, so that each leads back to this change.
    pub brought: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Review {
    pub id: u64,
    pub reviewer: Person,
    /// `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED`, `DISMISSED`.
    pub state: String,
    pub commit: String,
    pub at: Timestamp,
}

/// One entry of a branch's record.
#[derive(Debug, Clone)]
pub struct Activity {
    pub id: u64,
    pub before: String,
    pub after: String,
    pub git_ref: String,
    pub at: Timestamp,
    pub kind: &'static str,
    pub actor: Person,
}

#[derive(Debug, Clone)]
pub struct Run {
    pub id: u64,
    pub attempt: u32,
    pub workflow: String,
    pub head_branch: Option<String>,
    pub head_sha: String,
    /// Owner and name of a fork; absent: the repository itself.
    pub head_repository: Option<(String, String)>,
    pub event: String,
    pub actor: Person,
    pub started_at: Timestamp,
    /// When and how it ended.
    pub ended: Option<(Timestamp, String)>,
    /// `path`, `ref`, `sha` of called workflows.
    pub called: Vec<(String, String, String)>,
    pub jobs: Vec<Job>,
}

#[derive(Debug, Clone)]
pub struct Job {
    pub id: u64,
    pub name: String,
    pub labels: Vec<String>,
    pub runner_group: Option<String>,
    pub started_at: Timestamp,
    pub ended: Option<(Timestamp, String)>,
}

#[derive(Debug, Clone)]
pub struct Repository {
    pub owner: Person,
    pub name: String,
    pub id: u64,
    pub private: bool,
    pub commits: BTreeMap<String, Commit>,
    /// Full ref names; a tag's value may name a tag object.
    pub refs: BTreeMap<String, String>,
    /// Annotated tags: the object and the commit that it names.
    pub tag_objects: BTreeMap<String, String>,
    pub pulls: BTreeMap<u64, Pull>,
    pub activity: Vec<Activity>,
    /// `admin`, `write`, `read` by login; nobody else has any.
    pub permissions: BTreeMap<String, String>,
    /// By id and attempt.
    pub runs: BTreeMap<(u64, u32), Run>,
    /// By subject digest.
    pub attestations: BTreeMap<String, Vec<Value>>,
    pub pushed_at: Timestamp,
}

/// Something that goes wrong with answers.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Another status, with headers and a body.
    Status { status: u16, headers: Vec<(String, String)>, body: String },
    /// 200 and half of the body, then the connection breaks.
    HalfBody,
    /// No answer for so long.
    Silence(Duration),
}

/// The whole forge.
#[derive(Debug)]
pub struct Model {
    /// The host that pages name.
    pub host: String,
    /// Where the API is.
    pub api: String,
    pub repositories: BTreeMap<(String, String), Repository>,
    /// Faults by a part of the path: the first that fits is used, so many times.
    pub faults: Vec<(String, Fault, u32)>,
    /// Bearer token that every request must carry, when set.
    pub token: Option<String>,
    /// The installation whose tokens a GitHub App may ask for, when set; its token is [`Model::token`].
    pub installation: Option<u64>,
    /// What is left of the rate limit, as answers state it.
    pub rate_limit_left: u64,
    next_id: u64,
}

impl Model {
    pub(crate) fn new(host: &str, api: &str) -> Model {
        Model {
            host: host.to_owned(),
            api: api.to_owned(),
            repositories: BTreeMap::new(),
            faults: Vec::new(),
            token: None,
            installation: None,
            rate_limit_left: 5000,
            next_id: 1000,
        }
    }

    /// Ids that are never given twice.
    pub fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Adds an empty repository of an organisation, with `main` on its first commit.
    pub fn add_repository(&mut self, owner: Person, name: &str, id: u64) -> (String, String) {
        let key = (owner.login.clone(), name.to_owned());
        let repository = Repository {
            owner,
            name: name.to_owned(),
            id,
            private: false,
            commits: BTreeMap::new(),
            refs: BTreeMap::new(),
            tag_objects: BTreeMap::new(),
            pulls: BTreeMap::new(),
            activity: Vec::new(),
            permissions: BTreeMap::new(),
            runs: BTreeMap::new(),
            attestations: BTreeMap::new(),
            pushed_at: Timestamp::now(),
        };
        self.repositories.insert(key.clone(), repository);
        key
    }

    /// A repository that the test has added.
    ///
    /// # Panics
    /// When it has not: a mistake of the test.
    #[expect(clippy::panic, reason = "a mistake of the test ends the test")]
    pub fn repository(&mut self, owner: &str, name: &str) -> &mut Repository {
        match self.repositories.get_mut(&(owner.to_owned(), name.to_owned())) {
            Some(repository) => repository,
            None => panic!("the test has no repository {owner}/{name}"),
        }
    }

    pub(crate) fn take_fault(&mut self, path: &str) -> Option<Fault> {
        let place =
            self.faults.iter().position(|(part, _, times)| path.contains(part.as_str()) && *times > 0)?;
        let (_, fault, times) = &mut self.faults[place];
        *times -= 1;
        Some(fault.clone())
    }
}
