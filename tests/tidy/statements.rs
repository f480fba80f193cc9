//! A statement is what verification has proven: nobody else makes one.
//!
//! Its fields are public, so that judging can read them and the log can hold it; that only `evidence` writes one down is
//! checked in the text.

use crate::repository::{files_ending, no_objections, read_text};

/// Where a statement may be made: where bytes are verified, and in tests.
const MAKERS: &[&str] = &["correlator/evidence/", "tests/"];

#[test]
fn only_evidence_makes_a_statement() {
    let mut objections = Vec::new();
    for path in files_ending(".rs").filter(|path| !may_make(path)) {
        let text = read_text(path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let made =
            code.lines().enumerate().filter(|(_, line)| makes(line.split("//").next().unwrap_or_default()));
        objections.extend(made.map(|(at, line)| format!("{path}:{}: {}", at + 1, line.trim())));
    }
    no_objections(&objections, "Only `evidence` makes a `Statement`, and only from bytes and trust roots.");
}

fn may_make(path: &str) -> bool {
    MAKERS.iter().any(|maker| path.starts_with(maker))
        || path.ends_with("/tests.rs")
        || path.contains("/tests/")
}

/// Whether a line builds a statement: its name and a brace, where nothing says that it is declared or only named.
fn makes(line: &str) -> bool {
    line.match_indices("Statement {").any(|(at, _)| {
        let before = line[..at].trim_end();
        let is_longer_name = line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let is_declared = ["struct", "enum", "impl", "for", "->"].iter().any(|word| before.ends_with(word));
        !is_longer_name && !is_declared
    })
}

#[test]
fn making_is_told_from_declaring() {
    for (line, expected) in [
        ("pub struct Statement {", false),
        ("impl Statement {", false),
        ("impl From<X> for Statement {", false),
        ("fn read(bytes: &[u8]) -> Statement {", false),
        ("let bound = BoundStatement {", false),
        ("Outcome::Verified(Box::new(Statement {", true),
        ("    let made = facts::Statement { subjects, ..known };", true),
        ("Statement { subjects }", true),
    ] {
        assert_eq!(makes(line), expected, "{line}");
    }
}
