//! Words past the capture of test output: totals are meant to be seen, and what was skipped is counted by
//! `tests/run`.

use std::io::Write as _;

/// Prints a line of one part of the tests.
pub fn say(part: &str, line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{part}: {line}");
}

/// Says that the test of this thread has nothing to work on: `tests/run` counts it as skipped, not as passed.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("?");
    say("skipped", &format!("{} {test}: {why}", env!("CARGO_PKG_NAME")));
}
