//! The CI agent: runs and jobs on a forge, and the attestations that the forge keeps.
//!
//! In: webhooks (`workflow_run`, `workflow_job`) and the correlator's questions about runs and attestations. Out: events of
//! the CI stage, and the attestations it was asked for, durable before a webhook is answered. It reads the forge with a
//! credential of its own, never writes there, and judges nothing.

mod agent;
pub mod github;
pub mod settings;

pub use agent::{AGENT_KIND, CiAgent};
