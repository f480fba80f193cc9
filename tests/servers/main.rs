//! Every test server starts and does its work once, for real.
//!
//! These tests are about the equipment of the other tests, not about the product: when one fails, look at the machine and
//! at `tests/provision` first. A server that is not built fails its test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;
mod conformance;
mod nats;
mod process;
mod registries;
mod schemes;
mod signing;
