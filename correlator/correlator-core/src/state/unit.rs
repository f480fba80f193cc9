//! Units: the smallest things that are judged as one, each from the facts it depends on.
//!
//! A unit's conclusion is a pure function of the records and the time, so it can be judged again at any moment and in any
//! order. Facts mark the units that depend on them; deadlines mark them too.

use std::fmt;

use bus_schema::{AgentId, CommitId, Digest, ImageRepository, RepositoryRef, Tag, TraceParent};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::records;

/// What is judged as one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "unit", rename_all = "snake_case")]
pub enum Unit {
    /// One digest under one pipeline.
    Image { digest: Digest, pipeline: String },
    /// One placement, by its key.
    Placement { key: String },
    /// One tag.
    Tag { repository: ImageRepository, tag: Tag },
    /// One commit that changed workflows.
    Workflow { repository: RepositoryRef, commit: CommitId },
    /// The completeness of one agent's scope.
    Completeness { agent: AgentId, scope: String },
    /// One pipeline that was removed.
    RemovedPipeline { pipeline: String },
    /// The reports of one agent.
    Agent { agent: AgentId },
    /// The questions of one namespace or repository.
    Lane { lane: String },
}

impl Unit {
    pub fn key(&self) -> String {
        match self {
            Unit::Image { digest, pipeline } => records::key(["image", &digest.to_string(), pipeline]),
            Unit::Placement { key } => records::key(["placement", key]),
            Unit::Tag { repository, tag } => records::key(["tag", &repository.to_string(), tag.as_str()]),
            Unit::Workflow { repository, commit } => {
                records::key(["workflow", &super::source::repository_key(repository), commit.as_str()])
            }
            Unit::Completeness { agent, scope } => records::key(["completeness", agent.as_str(), scope]),
            Unit::RemovedPipeline { pipeline } => records::key(["removed", pipeline]),
            Unit::Agent { agent } => records::key(["agent", agent.as_str()]),
            Unit::Lane { lane } => records::key(["lane", lane]),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.key().replace('\u{1f}', " "))
    }
}

/// What was concluded about a unit the last time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitRecord {
    pub unit: Unit,
    /// When it must be judged again.
    pub deadline: Option<Timestamp>,
    /// The facts that it depends on, as keys of the dependents table.
    pub depends_on: Vec<String>,
    /// The cases that its findings keep open.
    pub cases: Vec<String>,
    /// The trace of what marked it last, so that what only time decides belongs to one too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
}

/// In the dependents table: from a fact to a unit.
pub fn dependent_key(fact: &str, unit: &Unit) -> String {
    format!("{fact}\u{1e}{}", unit.key())
}

pub fn dependents_prefix(fact: &str) -> String {
    format!("{fact}\u{1e}")
}

/// Facts that units depend on.
pub mod fact {
    use bus_schema::{ClusterId, CommitId, ForgeHost, ForgeId, GitRef, RepositoryRef, RequestId, RunId};
    use jiff::Timestamp;

    use crate::records::key;
    use crate::state::source::{repository_key, sortable};

    /// A push to a ref at or before this time: an earlier or equal push that becomes known later matters.
    pub fn history(repository: &RepositoryRef, git_ref: &GitRef, up_to: Timestamp) -> String {
        key(["history", &repository_key(repository), git_ref.as_str(), &sortable(up_to)])
    }

    pub fn history_prefix(repository: &RepositoryRef, git_ref: &GitRef) -> String {
        key(["history", &repository_key(repository), git_ref.as_str()]) + "\u{1f}"
    }

    pub fn commit(repository: &RepositoryRef, commit: &CommitId) -> String {
        key(["commit", &repository_key(repository), commit.as_str()])
    }

    pub fn run(run: &RunId) -> String {
        key(["run", &run.to_string()])
    }

    /// Which runs a repository had.
    pub fn runs_of(host: &ForgeHost, repository_id: &ForgeId) -> String {
        key(["runs-of", host.as_str(), repository_id.as_str()])
    }

    pub fn request(request: &RequestId) -> String {
        key(["request", request.as_str()])
    }

    /// What runs in a namespace.
    pub fn namespace(cluster: &ClusterId, namespace: &str) -> String {
        key(["namespace", cluster.as_str(), namespace])
    }

    pub fn coverage(kind: &str, scope: &str) -> String {
        key(["coverage", kind, scope])
    }

    /// The verdict of a digest under a pipeline.
    pub fn verdict(digest: &bus_schema::Digest, pipeline: &str) -> String {
        key(["verdict", &digest.to_string(), pipeline])
    }
}
