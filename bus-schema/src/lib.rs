//! Everything that may be said on the bus, and nothing else.
//!
//! Identities are parsed here once, events are declared here once, subjects are built here once. The crate does no
//! I/O, knows no clock and no runtime. Every parser takes hostile text: it never panics, and its error names the
//! position and the reason.

#![warn(missing_docs)]

#[macro_use]
mod open_enum;
#[macro_use]
mod text_identity;

pub mod actor;
pub mod agent;
pub mod blob;
pub mod case;
pub mod ci;
pub mod cluster;
pub mod commit;
mod depth;
pub mod digest;
pub mod envelope;
pub mod event;
pub mod fleet;
pub mod git_ref;
pub mod hash;
pub mod host;
pub mod image;
pub mod occurrence;
pub mod parse_error;
pub mod purl;
pub mod question;
pub mod registry;
pub mod repository;
pub mod run;
pub mod schema;
pub mod source;
pub mod subject;
pub mod trace;
pub mod verdict;
pub mod workflow;
pub mod workload;

pub use actor::Actor;
pub use agent::{ActionId, AgentId, CaseId, RequestId};
pub use commit::CommitId;
pub use digest::Digest;
pub use envelope::Envelope;
pub use event::{Event, EventType, Stage};
pub use git_ref::GitRef;
pub use image::{ImageRef, ImageRepository, Tag};
pub use occurrence::{EventId, OccurrenceKey};
pub use parse_error::ParseError;
pub use purl::Purl;
pub use repository::{ForgeHost, ForgeId, RepositoryRef};
pub use run::RunId;
pub use subject::{Scope, Subject};
pub use trace::TraceParent;
pub use workflow::{WorkflowPath, WorkflowRef};
pub use workload::{ClusterId, WorkloadRef};

#[cfg(test)]
mod tests;
