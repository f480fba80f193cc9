//! Scenarios as text: steps in, a log of decisions out.
//!
//! A scenario's `input.yaml` says what is reported when, in few words; `expected.txt` says what the ledger concludes. Names
//! such as `D1` or `C1` stand for digests and commits that are derived from them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_debug_implementations)]

pub mod names;
pub mod play;
pub mod steps;
