//! Where the fixtures are, and how to read and list them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use evidence::{Demands, LogDemand, TrustRoot, TrustSet, TrustedKey};
use serde_json::Value;

/// A folder of the fixtures, or `None` after saying that it is absent.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures");
    let root = std::env::var_os("CUSTODY_FIXTURES").map_or(beside, |set| {
        // A relative folder is meant from the repository's root.
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(set)
    });
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    say_skipped(&folder);
    None
}

/// Says so past the capture of test output: `tests/run` counts it as skipped, not as passed.
fn say_skipped(missing: &Path) {
    use std::io::Write as _;
    let (thread, package) = (std::thread::current(), env!("CARGO_PKG_NAME"));
    let test = thread.name().unwrap_or("?");
    let line = format!("skipped: {package} {test}: fixtures absent: {}", missing.display());
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Prints past the capture of test output: counts are meant to be seen.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "evidence: {line}");
}

/// All files below a folder, sorted, by their path below it. Other fixtures of the same layout may lack a folder; tests say
/// how many files they found.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = folder.is_dir().then(|| folder.to_owned()).into_iter().collect();
    while let Some(next) = left.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The names of the folders directly in a folder, sorted.
pub(crate) fn folders(folder: &Path) -> Vec<String> {
    if !folder.is_dir() {
        return Vec::new();
    }
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut found: Vec<String> = entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    found.sort();
    found
}

pub(crate) fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_str(&text(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What can be met by signatures that only a timestamp authority witnessed.
pub(crate) const TIME_ONLY: Demands =
    Demands { certificate_transparency: false, log: false, signed_time: true };

pub(crate) fn trust(root: &Path, demands: Demands, key: Option<&Path>) -> TrustSet {
    let root = TrustRoot::from_json("root", &text(root), demands).unwrap();
    let key = key.map(|key| TrustedKey::from_pem("key", &text(key), LogDemand::Required).unwrap());
    TrustSet::new(vec![root], key.into_iter().collect()).unwrap()
}
