//! What the correlator may ask an agent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Partition;
use crate::{CommitId, Digest, GitRef, ImageRepository, RepositoryRef, RequestId, RunId};

/// A question about one subject. Its id is derived from it: the same question is one request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "what", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Question {
    /// What is this digest, and what is attached to it? Asked of the registry's agent.
    Image {
        /// The repository that should hold it.
        repository: ImageRepository,
        /// The digest that is asked about.
        digest: Digest,
    },
    /// Which attestations does the forge keep for this digest? Asked of the forge's CI agent.
    Attestations {
        /// The repository whose attestations are asked for.
        repository: RepositoryRef,
        /// The digest that is asked about.
        digest: Digest,
    },
    /// Which run is this? Asked of the forge's CI agent.
    Run {
        /// The repository whose workflow ran.
        repository: RepositoryRef,
        /// The attempt that is asked about.
        run: RunId,
    },
    /// Is this commit on the ref, and reviewed? Asked of the forge's source agent.
    Commit {
        /// The repository that should hold it.
        repository: RepositoryRef,
        /// The commit.
        commit: CommitId,
        /// The ref that it should be on; none asks for the commit alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        git_ref: Option<GitRef>,
    },
}

/// The kind of agent that can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answerer {
    /// The agent of the registry.
    Registry,
    /// The agent of the forge's CI.
    Ci,
    /// The agent of the forge's repositories.
    Source,
}

impl Answerer {
    /// Every kind of agent that answers questions.
    pub const ALL: [Answerer; 3] = [Answerer::Registry, Answerer::Ci, Answerer::Source];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Answerer::Registry => "registry",
            Answerer::Ci => "ci",
            Answerer::Source => "source",
        }
    }
}

impl Question {
    /// The id of this question: the same question has the same id.
    pub fn request_id(&self) -> RequestId {
        match self {
            Question::Image { repository, digest } => {
                RequestId::derive(["image", &repository.to_string(), &digest.to_string()])
            }
            Question::Attestations { repository, digest } => RequestId::derive([
                "attestations",
                &crate::source::repository_key(repository),
                &digest.to_string(),
            ]),
            Question::Run { run, .. } => RequestId::derive(["run", &run.to_string()]),
            Question::Commit { repository, commit, git_ref } => RequestId::derive([
                "commit",
                &crate::source::repository_key(repository),
                commit.as_str(),
                git_ref.as_ref().map_or("-", GitRef::as_str),
            ]),
        }
    }

    /// The kind of agent that can answer.
    pub fn answerer(&self) -> Answerer {
        match self {
            Question::Image { .. } => Answerer::Registry,
            Question::Attestations { .. } | Question::Run { .. } => Answerer::Ci,
            Question::Commit { .. } => Answerer::Source,
        }
    }

    /// The registry or forge host that is asked.
    pub fn host(&self) -> &str {
        match self {
            Question::Image { repository, .. } => repository.registry(),
            Question::Attestations { repository, .. }
            | Question::Run { repository, .. }
            | Question::Commit { repository, .. } => repository.host.as_str(),
        }
    }

    /// The scope that the question belongs to.
    pub fn partition(&self) -> Partition {
        match self {
            Question::Image { repository, .. } => Partition::image(repository),
            Question::Attestations { repository, .. }
            | Question::Run { repository, .. }
            | Question::Commit { repository, .. } => Partition::forge(repository),
        }
    }
}
