//! The whole correlator on an embedded bus and a temporary folder: events in, verdicts, alerts and answers out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod alerts;
mod bad_input;
mod contracts;
mod judging;
mod restart;
pub(crate) mod signing_key;
pub(crate) mod world;
