//! What every process of the fleet shares: the bus, settings, telemetry, health, intakes and drain.
//!
//! In: settings and signals of the process. Out: running tasks that end in time. It knows no forge, registry or
//! cluster, and judges nothing.

pub mod agent;
pub mod asked;
pub mod bus;
pub mod database;
pub mod dead_letters;
mod error_chain;
pub mod health;
pub mod heartbeat;
pub mod http;
pub mod instance;
pub mod intake;
pub mod kept_file;
pub mod metrics;
pub mod operations;
pub mod outbox;
pub mod outside_text;
pub mod publisher;
mod retry_after;
pub mod run;
pub mod settings;
pub mod telemetry;
pub mod trace;
pub mod verdicts;
pub mod worker;

pub use error_chain::error_chain;
pub use retry_after::retry_after;
