//! How to find, read and list the fixtures.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use evidence::{Demands, LogDemand, TrustRoot, TrustSet, TrustedKey};
pub(crate) use harness::fixtures::found;
pub(crate) use harness::said::skipped;
use serde_json::Value;

/// A file or folder of the fixtures that a test goes on without, or `None` after saying once that it is
/// absent.
pub(crate) fn part(name: &str) -> Option<PathBuf> {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let path = harness::fixtures::path(name);
    if path.exists() {
        return Some(path);
    }
    if SAID.lock().unwrap().insert(name.to_owned()) {
        say(&format!("fixtures absent, and left out: {}", path.display()));
    }
    None
}

/// Prints past the capture of test output: counts are meant to be seen.
pub(crate) fn say(line: &str) {
    harness::said::say("evidence", line);
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

/// The document in a file, which may as well be none.
pub(crate) fn json_if_any(path: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// What can be met by signatures that only a timestamp authority witnessed.
pub(crate) const TIME_ONLY: Demands =
    Demands { certificate_transparency: false, log: false, signed_time: true };

pub(crate) fn trust(root: &Path, demands: Demands, key: Option<&Path>) -> TrustSet {
    let root = TrustRoot::from_json("root", &text(root), demands).unwrap();
    let key = key.map(|key| TrustedKey::from_pem("key", &text(key), LogDemand::Required).unwrap());
    TrustSet::new(vec![root], key.into_iter().collect()).unwrap()
}
