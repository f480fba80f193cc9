//! Comparing what is committed with what the program makes, and rewriting it on demand.

use std::path::{Path, PathBuf};

/// Set to `1`, this variable makes the tests rewrite committed files instead of comparing them.
const REWRITE_VARIABLE: &str = "CUSTODY_REWRITE";

pub(super) fn rewrites() -> bool {
    std::env::var(REWRITE_VARIABLE).is_ok_and(|value| value == "1")
}

/// A path below this crate's folder.
pub(super) fn crate_path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// Every file below `folder`, sorted, as paths relative to it.
pub(super) fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => waiting.push(path),
                false => found.push(path.strip_prefix(folder).unwrap().to_string_lossy().into_owned()),
            }
        }
    }
    found.sort();
    found
}

/// Compares the committed file with `expected`, or rewrites it. Gives what is wrong, and how to right it.
pub(super) fn compare(path: &Path, expected: &str) -> Option<String> {
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    if committed == expected {
        return None;
    }
    if rewrites() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, expected).unwrap();
        return None;
    }
    let line =
        committed.lines().zip(expected.lines()).position(|(old, new)| old != new).map_or(1, |at| at + 1);
    Some(format!("{} differs from line {line} on; run with {REWRITE_VARIABLE}=1", path.display()))
}
