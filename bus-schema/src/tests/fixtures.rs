//! The folder of outside test cases, where there is one.

use std::path::PathBuf;

/// The folder `below` the fixtures, or none with a line that says so.
pub(super) fn folder(below: &str) -> Option<PathBuf> {
    let root = std::env::var_os("CUSTODY_FIXTURES").map(PathBuf::from);
    let default = || super::agreement::crate_path("../../shared/fixtures");
    let folder = root.unwrap_or_else(default).join(below);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("fixtures absent: {}", folder.display());
    None
}
