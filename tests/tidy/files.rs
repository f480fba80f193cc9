//! What a tracked file must not be or hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use harness::fixtures::found;
use harness::said::skipped;
use sha2::Digest as _;

use crate::repository::{files, files_ending, no_objections, read, read_text, root};

/// The largest tracked file, in bytes.
const FILE_BYTES_MAX: usize = 1024 * 1024;
/// Smaller files may be equal by chance.
const COPY_BYTES_MIN: usize = 128;

#[test]
fn no_tracked_file_is_larger_than_one_mebibyte() {
    let objections: Vec<String> = files()
        .iter()
        .map(|path| (path, read(path).len()))
        .filter(|(_, bytes)| *bytes > FILE_BYTES_MAX)
        .map(|(path, bytes)| format!("{path} has {bytes} bytes"))
        .collect();
    no_objections(&objections, "Make it when it is needed, split it, or trim it.");
}

#[test]
fn no_code_is_left_to_be_written() {
    // Put together here, so that this file does not object to itself.
    let words =
        [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME"), concat!("X", "XX:")];
    let objections =
        lines_with(files_ending(".rs"), |line| words.iter().find(|word| line.contains(**word)).copied());
    no_objections(&objections, "Write it, or write down as an issue what is missing and why it can wait.");
}

#[test]
fn no_file_names_a_folder_of_one_machine() {
    let here = root().to_string_lossy().into_owned();
    let mut words: Vec<String> =
        [concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/ro", "ot/")].map(str::to_owned).into();
    words.push(here.clone());
    // The folder beside which the fixtures lie is one of this machine as well.
    words.extend(
        root().parent().filter(|parent| parent.components().count() > 1).map(|p| format!("{}/", p.display())),
    );
    let runner = concat!("/ho", "me/runner/");
    let names_it = |line: &str| {
        // Runners of the forge have this folder on every machine.
        let line = line.replace(runner, "");
        words.iter().find(|word| begins_a_path(&line, word)).cloned()
    };
    let objections = lines_with(files().iter().map(String::as_str), names_it);
    no_objections(&objections, "Use a path relative to the repository, a variable, or a setting.");
}

/// Whether `word` stands in the line and is not the middle of a longer path or address.
fn begins_a_path(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| {
            c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '}' | '*' | '>')
        })
    })
}

#[test]
fn no_fixture_is_copied_into_the_repository() {
    let Some(folder) = found("") else { return };
    let mut fixtures = BTreeMap::new();
    collect_hashes(&folder, &mut fixtures);
    if fixtures.is_empty() {
        return skipped(&format!("{} holds no files", folder.display()));
    }
    let copied = |path: &String| {
        let bytes = read(path);
        let source = fixtures.get(&hash(&bytes)).filter(|_| bytes.len() >= COPY_BYTES_MIN)?;
        Some(format!("{path} is a copy of {}", source.strip_prefix(&folder).unwrap_or(source).display()))
    };
    let objections: Vec<String> = files().iter().filter_map(copied).collect();
    no_objections(
        &objections,
        "Read the fixture from its folder (CUSTODY_FIXTURES), or write a payload of your own.",
    );
}

fn collect_hashes(folder: &Path, found: &mut BTreeMap<[u8; 32], PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => collect_hashes(&path, found),
            false => drop(found.insert(hash(&std::fs::read(&path).unwrap()), path)),
        }
    }
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(bytes).into()
}

/// Every line of the text files for which `objection` has something to say.
fn lines_with<T: std::fmt::Display>(
    paths: impl Iterator<Item = &'static str>,
    objection: impl Fn(&str) -> Option<T>,
) -> Vec<String> {
    let mut found = Vec::new();
    for path in paths {
        for (at, line) in read_text(path).unwrap_or_default().lines().enumerate() {
            found.extend(objection(line).map(|why| format!("{path}:{}: {why}", at + 1)));
        }
    }
    found
}
