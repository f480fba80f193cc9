//! The source agent: what happens to commits, tags and changes on a forge.
//!
//! In: webhooks (`push`, `pull_request`, `pull_request_review`) and the correlator's questions about commits. Out: events
//! of the source stage, durable before a webhook is answered. It reads the forge with a credential of its own, never
//! writes there, and judges nothing.

mod agent;
pub mod github;
pub mod settings;

pub use agent::{AGENT_KIND, SourceAgent};
