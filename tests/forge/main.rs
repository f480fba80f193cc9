//! The forge's agents against a stand-in for GitHub: webhooks in, questions asked, events out, on the embedded bus.
//! Everything that the stand-in says is checked against GitHub's own description.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attested;
mod faults;
mod heartbeats;
mod intake;
mod judge;
mod recorded;
mod reviewed;
mod runs;
mod world;
