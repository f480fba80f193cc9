//! The agent as a whole, against a registry in this process, on the embedded bus.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod away;
mod bench;
mod fixtures;
mod intake;
mod looks;
mod polls;
