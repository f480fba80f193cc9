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
                records::key(["workflow", &super::source::path_key(repository), commit.as_str()])
            }
            Unit::Completeness { agent, scope } => records::key(["completeness", agent.as_str(), scope]),
            Unit::RemovedPipeline { pipeline } => records::key(["removed", pipeline]),
            Unit::Agent { agent } => records::key(["agent", agent.as_str()]),
            Unit::Lane { lane } => records::key(["lane", lane]),
        }
    }
}

impl Unit {
    /// The unit of a key, where the key alone tells it.
    fn of_key(key: &str) -> Option<Unit> {
        let (kind, rest) = key.split_once('\u{1f}')?;
        match kind {
            "image" => {
                let (digest, pipeline) = rest.split_once('\u{1f}')?;
                Some(Unit::Image { digest: digest.parse().ok()?, pipeline: pipeline.to_owned() })
            }
            // A part of a key holds no separator: those of the placement's own key were replaced.
            "placement" => Some(Unit::Placement { key: rest.replace('\u{fffd}', "\u{1f}") }),
            "lane" => Some(Unit::Lane { lane: rest.replace('\u{fffd}', "\u{1f}") }),
            "tag" => {
                let (repository, tag) = rest.split_once('\u{1f}')?;
                Some(Unit::Tag { repository: repository.parse().ok()?, tag: tag.parse().ok()? })
            }
            _ => None,
        }
    }
}

/// A unit in a row whose key ends with the unit's: absent where that tells it already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kept(Option<Unit>);

impl Kept {
    pub fn of(unit: &Unit) -> Kept {
        let is_told = Unit::of_key(&unit.key()).as_ref() == Some(unit);
        Kept((!is_told).then(|| unit.clone()))
    }

    /// The unit of a row, by its key in the table of units.
    pub fn unit(self, unit_key: &str) -> Option<Unit> {
        self.0.or_else(|| Unit::of_key(unit_key))
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
    pub unit: Kept,
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

/// Before a unit's key at the end of a row's.
const UNIT_FOLLOWS: char = '\u{1e}';

/// In the dependents table: from a fact to a unit. In the table of deadlines: from a time to a unit.
pub fn key_before(first: &str, unit: &Unit) -> String {
    format!("{first}{UNIT_FOLLOWS}{}", unit.key())
}

/// What a row's key says before its unit, and the unit's key.
pub fn parts_before(key: &str) -> Option<(&str, &str)> {
    key.split_once(UNIT_FOLLOWS)
}

pub fn prefix_before(first: &str) -> String {
    format!("{first}{UNIT_FOLLOWS}")
}

/// Facts that units depend on.
pub mod fact {
    use bus_schema::{ClusterId, CommitId, ForgeHost, ForgeId, GitRef, RequestId, RunId};
    use jiff::Timestamp;

    use crate::records::key;
    use crate::state::source::{SourceKey, sortable};

    /// A push to a ref at or before this time: an earlier or equal push that becomes known later matters.
    pub fn history(source: &SourceKey, git_ref: &GitRef, up_to: Timestamp) -> String {
        key(["history", source.as_str(), git_ref.as_str(), &sortable(up_to)])
    }

    pub fn history_prefix(source: &SourceKey, git_ref: &GitRef) -> String {
        key(["history", source.as_str(), git_ref.as_str()]) + "\u{1f}"
    }

    pub fn commit(source: &SourceKey, commit: &CommitId) -> String {
        key(["commit", source.as_str(), commit.as_str()])
    }

    /// Every fact about the source of a repository: each begins with one of these.
    pub fn source_prefixes(source: &SourceKey) -> [String; 2] {
        ["history", "commit"].map(|what| key([what, source.as_str()]) + "\u{1f}")
    }

    pub fn run(run: &RunId) -> String {
        key(["run", &run.to_string()])
    }

    /// Which runs of a repository began by this time: what becomes known of one that began then or earlier matters.
    pub fn runs_of(host: &ForgeHost, repository_id: &ForgeId, until: Timestamp) -> String {
        key(["runs-of", host.as_str(), repository_id.as_str(), &sortable(until)])
    }

    pub fn runs_of_prefix(host: &ForgeHost, repository_id: &ForgeId) -> String {
        key(["runs-of", host.as_str(), repository_id.as_str()]) + "\u{1f}"
    }

    pub fn request(request: &RequestId) -> String {
        key(["request", request.as_str()])
    }

    /// Which images that a pipeline claims run in a namespace.
    pub fn claimed_in(cluster: &ClusterId, namespace: &str) -> String {
        key(["claimed-in", cluster.as_str(), namespace])
    }

    /// What a kind of agent covers of a scope, and of those that it lies in: a repository lies in its owner and its host.
    pub fn coverage(kind: &str, scope: &str) -> String {
        key(["coverage", kind].into_iter().chain(scope.split('/')))
    }

    /// The same of every scope that lies in this one.
    pub fn coverage_within_prefix(kind: &str, scope: &str) -> String {
        coverage(kind, scope) + "\u{1f}"
    }

    /// The verdict of a digest under a pipeline.
    pub fn verdict(digest: &bus_schema::Digest, pipeline: &str) -> String {
        key(["verdict", &digest.to_string(), pipeline])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn units() -> Vec<Unit> {
        let digest = Digest::sha256_of(b"an image");
        let repository: ImageRepository = "registry.example:5000/acme/api".parse().unwrap();
        vec![
            Unit::Image { digest, pipeline: "payments".to_owned() },
            Unit::Image { digest: Digest::sha512_of(b"an image"), pipeline: "default".to_owned() },
            Unit::Placement { key: records::key(["placement", "cluster", "team", "Deployment", "api"]) },
            Unit::Placement { key: "a name with \u{fffd} in it".to_owned() },
            Unit::Tag { repository, tag: "v1.2.3".parse().unwrap() },
            Unit::Workflow {
                repository: "github.com/Acme/Api".parse().unwrap(),
                commit: "0123456789012345678901234567890123456789".parse().unwrap(),
            },
            Unit::Completeness { agent: "registry".parse().unwrap(), scope: "acme/**".to_owned() },
            Unit::RemovedPipeline { pipeline: "payments".to_owned() },
            Unit::Agent { agent: "registry".parse().unwrap() },
            Unit::Lane { lane: records::key(["namespace", "cluster", "team"]) },
        ]
    }

    #[test]
    fn a_row_gives_back_the_unit_that_it_was_made_for() {
        for unit in units() {
            let row = key_before("2026-01-01T00:00:00Z", &unit);
            let kept: Kept = serde_json::from_slice(&serde_json::to_vec(&Kept::of(&unit)).unwrap()).unwrap();
            let (first, unit_key) = parts_before(&row).unwrap();
            assert_eq!((first, unit_key), ("2026-01-01T00:00:00Z", unit.key().as_str()));
            assert_eq!(kept.unit(unit_key), Some(unit));
        }
        let image = &units()[0];
        assert_eq!(serde_json::to_string(&Kept::of(image)).unwrap(), "null");
        assert_eq!(Kept(None).unit("image\u{1f}no digest\u{1f}payments"), None);
    }
}
