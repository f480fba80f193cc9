//! The folder of outside test cases, where there is one.

use std::path::PathBuf;

/// The folder `below` the fixtures, or none with a line that says so. A relative folder is meant from the
/// repository's root.
pub(super) fn folder(below: &str) -> Option<PathBuf> {
    let fixtures = std::env::var_os("CUSTODY_FIXTURES").unwrap_or_else(|| "../shared/fixtures".into());
    let folder = super::agreement::crate_path("..").join(fixtures).join(below);
    if folder.is_dir() {
        return Some(folder);
    }
    say_skipped(&folder);
    None
}

/// Says so past the capture of test output: `tests/run` counts it as skipped, not as passed.
fn say_skipped(missing: &std::path::Path) {
    use std::io::Write as _;
    let (thread, package) = (std::thread::current(), env!("CARGO_PKG_NAME"));
    let test = thread.name().unwrap_or("?");
    let line = format!("skipped: {package} {test}: fixtures absent: {}", missing.display());
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
