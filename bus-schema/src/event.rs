//! Every event that may be said, in one table: its type, its stage, and its data.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::parse_error::check_token;
use crate::subject::Scope;
use crate::{ClusterId, ImageRepository, JsonError, OccurrenceKey, ParseError, RepositoryRef};

/// The part of the supply chain that an event is about; the first token of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The forge: commits, changes, workflows.
    Source,
    /// Runs and jobs.
    Ci,
    /// Images and what is attached to them.
    Registry,
    /// What runs.
    Cluster,
    /// The fleet itself.
    Fleet,
    /// What is concluded about images.
    Verdict,
    /// Problems.
    Case,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Stage; 7] = [
        Stage::Source,
        Stage::Ci,
        Stage::Registry,
        Stage::Cluster,
        Stage::Fleet,
        Stage::Verdict,
        Stage::Case,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Source => "source",
            Stage::Ci => "ci",
            Stage::Registry => "registry",
            Stage::Cluster => "cluster",
            Stage::Fleet => "fleet",
            Stage::Verdict => "verdict",
            Stage::Case => "case",
        }
    }

    /// The stage of a name on the wire.
    pub(crate) fn parse(text: &str) -> Option<Stage> {
        Stage::ALL.into_iter().find(|stage| stage.as_str() == text)
    }
}

/// `dev.custody.<stage>.<noun>.<verb>.v<version>`. Any well-formed type parses, so that an unknown one can be named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType {
    /// The part of the supply chain.
    pub stage: Stage,
    /// What it happened to.
    pub noun: String,
    /// What happened, in the past tense.
    pub verb: String,
    /// The version of the data's shape.
    pub version: u32,
}

const KIND: &str = "event type";
pub(crate) const TYPE_PREFIX: &str = "dev.custody.";
/// The longest noun or verb of an event type, in bytes.
pub const WORD_BYTES_MAX: usize = 32;

impl EventType {
    /// The name without prefix and version, as people write it: `image.pushed`, `source.tag.moved`.
    pub fn short(&self) -> String {
        match self.noun.as_str() {
            "tag" => format!("{}.{}.{}", self.stage.as_str(), self.noun, self.verb),
            _ => format!("{}.{}", self.noun, self.verb),
        }
    }

    /// A type from its words. The error comes with the word that it speaks of.
    pub(crate) fn from_words<'a>(
        stage: Stage,
        noun: &'a str,
        verb: &'a str,
        version: &'a str,
    ) -> Result<EventType, (&'a str, ParseError)> {
        for word in [noun, verb] {
            check_token(
                "word",
                word,
                WORD_BYTES_MAX,
                |byte| byte.is_ascii_lowercase(),
                "not a lower-case letter",
            )
            .map_err(|error| (word, error))?;
        }
        let number = version.strip_prefix('v').and_then(|digits| {
            let number: u32 = digits.parse().ok()?;
            (number > 0 && number.to_string() == digits).then_some(number)
        });
        match number {
            Some(version) => Ok(EventType { stage, noun: noun.to_owned(), verb: verb.to_owned(), version }),
            None => Err((version, ParseError::new("version", version, 0, "not a version such as v1"))),
        }
    }
}

impl FromStr for EventType {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<EventType, ParseError> {
        let Some(rest) = text.strip_prefix(TYPE_PREFIX) else {
            return Err(ParseError::new(KIND, text, 0, "it does not begin with dev.custody."));
        };
        let parts: Vec<&str> = rest.split('.').collect();
        let [stage, noun, verb, version] = parts[..] else {
            return Err(ParseError::new(KIND, text, TYPE_PREFIX.len(), "it is not stage.noun.verb.version"));
        };
        let Some(stage) = Stage::parse(stage) else {
            return Err(ParseError::new(KIND, text, TYPE_PREFIX.len(), "an unknown stage"));
        };
        EventType::from_words(stage, noun, verb, version).map_err(|(word, error)| {
            let at = word.as_ptr() as usize - text.as_ptr() as usize;
            error.inside(KIND, text, at)
        })
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EventType { stage, noun, verb, version } = self;
        write!(formatter, "{TYPE_PREFIX}{}.{noun}.{verb}.v{version}", stage.as_str())
    }
}

text_identity!(
    EventType,
    "EventType",
    "^dev\\.custody\\.[a-z]+\\.[a-z]+\\.[a-z]+\\.v[1-9][0-9]*$",
    "the type and version of an event"
);

/// The key by which events of one scope keep their order and may later be spread over correlators.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(String);

impl Partition {
    /// A partition by a name of the fleet's own.
    pub fn of(text: &str) -> Partition {
        Partition(text.to_owned())
    }

    /// The image repository.
    pub fn image(repository: &ImageRepository) -> Partition {
        Partition(repository.to_string())
    }

    /// The forge's repository, by id where it has one.
    pub fn forge(repository: &RepositoryRef) -> Partition {
        Partition(crate::source::repository_key(repository))
    }

    /// The cluster.
    pub fn cluster(cluster: &ClusterId) -> Partition {
        Partition(cluster.to_string())
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The partition as a subject token.
    pub fn scope(&self) -> Scope {
        Scope::of(&self.0)
    }
}

/// What every event's data can say about itself.
pub trait EventData: Serialize + DeserializeOwned {
    /// What happened, told apart from who reports it.
    fn occurrence(&self) -> OccurrenceKey;
    /// The CloudEvents `subject`: what it is about, for people.
    fn subject(&self) -> String;
    /// The scope that the event belongs to.
    fn partition(&self) -> Partition;
}

/// Why the data of an event could not be read.
#[expect(missing_docs, reason = "the message of each variant says it")]
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("the event type {0} is unknown")]
    UnknownType(EventType),
    /// A version that this program does not know yet; the event can be replayed after an upgrade.
    #[error("version {} of {} is unknown, this program reads v{known}", .found.version, .found.short())]
    UnknownVersion { found: EventType, known: u32 },
    #[error("the data of {} does not fit its schema", .event_type.short())]
    Malformed { event_type: EventType, source: JsonError },
}

macro_rules! events {
    ($($variant:ident($data:path) = $stage:ident, $noun:literal, $verb:literal, $version:literal;)+) => {
        /// Any event of the fleet.
        #[expect(missing_docs, reason = "the data of each variant says it")]
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Event {
            $($variant($data),)+
        }

        impl Event {
            /// The type of the event.
            pub fn event_type(&self) -> EventType {
                match self {
                    $(Event::$variant(_) => EventType {
                        stage: Stage::$stage,
                        noun: $noun.to_owned(),
                        verb: $verb.to_owned(),
                        version: $version,
                    },)+
                }
            }

            /// What happened, told apart from who reports it.
            pub fn occurrence(&self) -> OccurrenceKey {
                match self { $(Event::$variant(data) => data.occurrence(),)+ }
            }

            /// What it is about, for people.
            pub fn subject(&self) -> String {
                match self { $(Event::$variant(data) => data.subject(),)+ }
            }

            /// The scope that it belongs to.
            pub fn partition(&self) -> Partition {
                match self { $(Event::$variant(data) => data.partition(),)+ }
            }

            /// The data as JSON text.
            pub fn data_json(&self) -> Result<Box<serde_json::value::RawValue>, serde_json::Error> {
                match self { $(Event::$variant(data) => serde_json::value::to_raw_value(data),)+ }
            }

            /// Reads the data of an event of the given type.
            pub fn from_data(event_type: &EventType, data: &str) -> Result<Event, DataError> {
                $(if event_type.stage == Stage::$stage && event_type.noun == $noun && event_type.verb == $verb {
                    if event_type.version != $version {
                        return Err(DataError::UnknownVersion { found: event_type.clone(), known: $version });
                    }
                    return serde_json::from_str(data)
                        .map(Event::$variant)
                        .map_err(|error| DataError::Malformed { event_type: event_type.clone(), source: error.into() });
                })+
                Err(DataError::UnknownType(event_type.clone()))
            }

            /// Every type with the schema of its data.
            pub fn schemas() -> Vec<(EventType, schemars::Schema)> {
                vec![$((
                    EventType {
                        stage: Stage::$stage,
                        noun: $noun.to_owned(),
                        verb: $verb.to_owned(),
                        version: $version,
                    },
                    schemars::schema_for!($data),
                ),)+]
            }
        }
    };
}

events! {
    CommitPushed(crate::source::CommitPushed) = Source, "commit", "pushed", 1;
    SourceTagMoved(crate::source::SourceTagMoved) = Source, "tag", "moved", 1;
    ChangeReviewed(crate::source::ChangeReviewed) = Source, "change", "reviewed", 1;
    ChangeMerged(crate::source::ChangeMerged) = Source, "change", "merged", 1;
    WorkflowChanged(crate::source::WorkflowChanged) = Source, "workflow", "changed", 1;
    RunStarted(crate::ci::RunStarted) = Ci, "run", "started", 1;
    JobFinished(crate::ci::JobFinished) = Ci, "job", "finished", 1;
    RunFinished(crate::ci::RunFinished) = Ci, "run", "finished", 1;
    ImagePushed(crate::registry::ImagePushed) = Registry, "image", "pushed", 1;
    ImageResolved(crate::registry::ImageResolved) = Registry, "image", "resolved", 1;
    RegistryTagMoved(crate::registry::RegistryTagMoved) = Registry, "tag", "moved", 1;
    ImageDeleted(crate::registry::ImageDeleted) = Registry, "image", "deleted", 1;
    AttestationAttached(crate::registry::AttestationAttached) = Registry, "attestation", "attached", 1;
    ContainerStarted(crate::cluster::ContainerStarted) = Cluster, "container", "started", 1;
    ContainerStopped(crate::cluster::ContainerStopped) = Cluster, "container", "stopped", 1;
    InventoryObserved(crate::cluster::InventoryObserved) = Cluster, "inventory", "observed", 1;
    AgentReported(crate::fleet::AgentReported) = Fleet, "agent", "reported", 1;
    AgentGap(crate::fleet::AgentGap) = Fleet, "agent", "gap", 1;
    EvidenceRequested(crate::fleet::EvidenceRequested) = Fleet, "evidence", "requested", 1;
    EvidenceUnavailable(crate::fleet::EvidenceUnavailable) = Fleet, "evidence", "unavailable", 1;
    VerdictChanged(crate::verdict::VerdictChanged) = Verdict, "verdict", "changed", 1;
    CaseOpened(crate::case::CaseOpened) = Case, "case", "opened", 1;
    CaseUpdated(crate::case::CaseUpdated) = Case, "case", "updated", 1;
    CaseResolved(crate::case::CaseResolved) = Case, "case", "resolved", 1;
}
