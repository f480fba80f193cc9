//! The whole correlator on an embedded bus and a temporary folder: events in, verdicts, alerts and answers out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod alerts;
mod api_changes_nothing;
mod bad_input;
mod bucket;
mod contracts;
mod faults;
mod former_agents;
mod full_letters;
mod heads;
mod judging;
mod lost_events;
mod once;
mod restart;
mod rights;
pub(crate) mod signing_key;
pub(crate) mod stuck;
mod upgrade;
pub(crate) mod world;
