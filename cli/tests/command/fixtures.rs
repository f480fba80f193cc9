//! Where the fixtures are, and saying so past the capture of test output where they are not: `tests/run`
//! counts a test without them as skipped, not as passed.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A file or folder of the fixtures, or `None` after saying that it is absent. A relative `CUSTODY_FIXTURES`
/// is meant from the repository's root.
pub(crate) fn fixture(name: &str) -> Option<PathBuf> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let fixtures = std::env::var_os("CUSTODY_FIXTURES").unwrap_or_else(|| "../shared/fixtures".into());
    let path = repository.join(fixtures).join(name);
    if path.exists() {
        return path.canonicalize().ok();
    }
    skipped(&format!("fixtures absent: {}", path.display()));
    None
}

/// Says that the test of this thread has nothing to work on.
pub(crate) fn skipped(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("?");
    let _ = writeln!(std::io::stdout().lock(), "skipped: {} {test}: {why}", env!("CARGO_PKG_NAME"));
}
