//! The crates that decide and verify have no clock, no chance and no world around them.
//!
//! The time library is linked, for its types; features are shared by the whole workspace, so its clock cannot be left out of
//! the build. That nobody reads it is checked in the text.

use crate::repository::{files_ending, no_objections, read_text};

const PURE_FOLDERS: &[&str] =
    &["bus-schema/src/", "correlator/correlator-core/src/", "correlator/evidence/src/"];

/// What reads the world, with what to do instead.
const WORLDLY: &[(&str, &str)] = &[
    ("Timestamp::now", "take the time from the input"),
    ("Zoned::now", "take the time from the input"),
    ("SystemTime", "take the time from the input"),
    ("Instant::now", "take the time from the input"),
    ("rand::", "derive ids from what they name"),
    ("RandomState", "use ordered maps"),
    ("std::env", "take settings as an argument"),
    ("std::fs", "take bytes as an argument"),
    ("std::net::Tcp", "take bytes as an argument"),
    ("std::net::Udp", "take bytes as an argument"),
    ("std::thread", "leave concurrency to the caller"),
    ("async fn", "leave waiting to the caller"),
    (".await", "leave waiting to the caller"),
    ("tokio::", "leave waiting to the caller"),
    ("reqwest::", "take bytes as an argument"),
];

/// Where state is kept and decisions are made, order must not differ from run to run either.
const ORDERED_FOLDERS: &[&str] = &["bus-schema/src/", "correlator/correlator-core/src/"];
const UNORDERED: &[(&str, &str)] = &[("HashMap", "use BTreeMap"), ("HashSet", "use BTreeSet")];

#[test]
fn what_decides_reads_no_clock_no_chance_and_no_world() {
    let objections = [uses(PURE_FOLDERS, WORLDLY), uses(ORDERED_FOLDERS, UNORDERED)].concat();
    no_objections(
        &objections,
        "The same inputs must give the same decisions on every machine and in every replay.",
    );
}

/// Every use of one of the words in the code of the folders, tests and comments left out.
fn uses(folders: &[&str], words: &[(&str, &str)]) -> Vec<String> {
    let is_there = |path: &&str| folders.iter().any(|folder| path.starts_with(folder)) && !is_test(path);
    let mut found = Vec::new();
    for path in files_ending(".rs").filter(is_there) {
        let text = read_text(path).unwrap();
        // A module of tests at the end of a file may do as it likes.
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (at, line) in code.lines().enumerate() {
            let statement = line.split("//").next().unwrap_or_default();
            let used = words.iter().filter(|(word, _)| holds_word(statement, word));
            found.extend(used.map(|(word, instead)| format!("{path}:{}: {word}: {instead}", at + 1)));
        }
    }
    found
}

/// Whether the word stands in the line and is not a part of a longer one.
fn holds_word(line: &str, word: &str) -> bool {
    let is_inner = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let goes_on_before = word.starts_with(is_inner) && line[..at].ends_with(is_inner);
        let goes_on_after = word.ends_with(is_inner) && line[at + word.len()..].starts_with(is_inner);
        !goes_on_before && !goes_on_after
    })
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

#[test]
fn words_are_told_from_parts_of_words() {
    for (line, word, expected) in [
        ("let now = Timestamp::now();", "Timestamp::now", true),
        ("self.awaiting.len()", ".await", false),
        ("socket.read().await?", ".await", true),
        ("Operand::Add", "rand::", false),
        ("rand::random()", "rand::", true),
        ("FxHashMap", "HashMap", false),
    ] {
        assert_eq!(holds_word(line, word), expected, "{line}");
    }
}
