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

/// Says so past the capture of test output: `tests/run` counts it as skipped, not as passed.
pub(crate) fn say_skipped(missing: &std::path::Path) {
    use std::io::Write as _;
    let (thread, package) = (std::thread::current(), env!("CARGO_PKG_NAME"));
    let test = thread.name().unwrap_or("?");
    let line = format!("skipped: {package} {test}: fixtures absent: {}", missing.display());
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
