//! Everything that may be said on the bus, and nothing else.
//!
//! Identities are parsed here once, events are declared here once, subjects are built here once. The crate does no
//! I/O, knows no clock and no runtime. Every parser takes hostile text: it never panics, and its error names the
//! position and the reason.
//!
//! In: text and JSON of any origin. Out: values that print as the text that parses to them, and typed refusals. It never
//! judges.
//!
//! A new event is a struct with its [`event::EventData`] in the file of its stage, one line in the table of [`event`], its
//! schema under `schemas/` (written by the tests when `CUSTODY_REWRITE=1` is set), and samples under `samples/`: at least two
//! that are valid, one of them full with a field of the future, and two that are refused for the reason in their name.

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
pub mod digest_start;
pub mod envelope;
pub mod event;
pub mod fleet;
pub mod git_ref;
pub mod hash;
pub mod host;
pub mod image;
pub mod image_id;
pub mod json_error;
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
pub use agent::{ActionId, AgentId, AgentKind, CaseId, RequestId};
pub use commit::CommitId;
pub use digest::Digest;
pub use digest_start::DigestStart;
pub use envelope::Envelope;
pub use event::{Event, EventType, Stage};
pub use git_ref::GitRef;
pub use image::{ImageRef, ImageRepository, Tag};
pub use image_id::ImageId;
pub use json_error::JsonError;
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
