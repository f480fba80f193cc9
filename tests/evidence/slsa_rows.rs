//! The regression table of slsa-verifier: what its users' options accept and refuse, answered from our facts.
//!
//! Each row names an artifact, the options and the expected result; it applies to every version folder of its builder.
//! What should be accepted and is not yet is counted apart, by name and by what it lacks.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::fixtures::{found, json, part, say, skipped};
use crate::slsa::public_trust;
use crate::slsa_rows::files::{RowFile, files_of};

mod by_command;
mod by_contract;
mod files;
mod github;
mod google;

pub(crate) use files::{accepted_artifacts, is_provenance_of};
pub(crate) use github::statement_of;

/// Names of rows by what they have in common.
type Groups = BTreeMap<String, Vec<String>>;

#[derive(Default)]
struct Count {
    accepted: usize,
    refused: usize,
    /// Rows that must be refused, and whose file is of a format that nothing here reads.
    unread_refused: usize,
    /// Rows that must be accepted, and whose evidence this version says it cannot verify.
    unsupported: Groups,
    /// Rows that must be accepted, and whose file is of a format that nothing here reads.
    unread: Groups,
    /// Rows without a file.
    no_file: Groups,
    wrong: Vec<String>,
}

impl Count {
    fn row(&mut self, name: &str, expected: &str, answer: Answer) {
        match (expected, answer) {
            (_, Answer::NoFile(why)) => self.no_file.entry(why).or_default().push(name.to_owned()),
            ("PASS", Answer::Unsupported(why)) => {
                self.unsupported.entry(why).or_default().push(name.to_owned())
            }
            ("PASS", Answer::Unread(why)) => self.unread.entry(why).or_default().push(name.to_owned()),
            // Whatever the reason: what must be refused was.
            (_, Answer::Unsupported(_)) => self.refused += 1,
            (_, Answer::Unread(_)) => self.unread_refused += 1,
            ("PASS", Answer::Accepted) => self.accepted += 1,
            ("PASS", Answer::Refused(why)) => self.wrong.push(format!("{name}: refused for {why:?}")),
            (expected, Answer::Accepted) => self.wrong.push(format!("{name}: accepted, expected {expected}")),
            (expected, Answer::Refused(why)) if why.is(expected) => self.refused += 1,
            (expected, Answer::Refused(why)) => {
                self.wrong.push(format!("{name}: refused for {why:?}, expected {expected}"))
            }
        }
    }
}

pub(crate) enum Answer {
    Accepted,
    Refused(Why),
    Unsupported(String),
    Unread(String),
    NoFile(String),
}

#[derive(Debug)]
pub(crate) enum Why {
    Evidence(String),
    Subject,
    Builder,
    Source,
    Branch,
    Tag,
    Inputs,
    Package,
}

impl Why {
    /// Whether the verifier's error is of this kind. It says `ErrorInvalidRef` where a ref is not of the asked kind.
    fn is(&self, error: &str) -> bool {
        match self {
            Why::Evidence(why) => {
                assert!(!why.is_empty());
                match why.as_str() {
                    "bad_subject" => error.contains("Hash") || error.contains("Subject"),
                    "contradiction" => error == "ErrorMismatchIntoto",
                    "malformed" if error == "ErrorInvalidFormat" => true,
                    why if why.starts_with("bad_log_entry") && error == "ErrorRekorSearch" => true,
                    _ => error.contains("Signature") || error.contains("Dsse") || error.contains("Untrusted"),
                }
            }
            Why::Subject => error.contains("Hash") || error.contains("Subject"),
            Why::Builder => {
                error.contains("Builder") || error.contains("Untrusted") || error.contains("NotSupported")
            }
            Why::Source => error == "ErrorMismatchSource",
            Why::Branch => error == "ErrorMismatchBranch" || error == "ErrorInvalidRef",
            Why::Tag => {
                error.starts_with("ErrorMismatch") && error.contains("Tag") || error == "ErrorInvalidRef"
            }
            Why::Inputs => error == "ErrorMismatchWorkflowInputs",
            Why::Package => error.contains("Package"),
        }
    }
}

#[test]
fn the_rows_of_slsa_verifier_get_their_answer() {
    let (Some(table), Some(testdata)) = (found("slsa/expected.json"), found("slsa/testdata")) else { return };
    if public_trust().is_none() {
        return skipped("no root to verify with");
    }
    let (table, digests) = (json(&table), digests_table());
    let mut count = Count::default();
    for (test, section) in table.as_object().unwrap() {
        let Some(rows) = section["cases"].as_array() else { continue };
        for row in rows {
            for file in files_of(&testdata, test, row) {
                let name = format!("{test}: {}: {}", row["name"].as_str().unwrap(), file.shown);
                let answer = answer(&testdata, &file, row, section, &digests);
                count.row(&name, row["expect"].as_str().unwrap(), answer);
            }
        }
    }
    let sum = |groups: &Groups| groups.values().map(Vec::len).sum::<usize>();
    let (unsupported, unread, no_file) = (sum(&count.unsupported), sum(&count.unread), sum(&count.no_file));
    let answered = count.accepted + count.refused + count.unread_refused + count.wrong.len();
    let total = answered + unsupported + unread + no_file;
    if total == 0 {
        return skipped("no row");
    }
    say(&format!(
        "SLSA rows: {} accepted and {} refused as expected of {total} found; to be refused, and of an unread \
         format: {}; to be accepted, but unsupported: {unsupported}, of an unread format: {unread}; without a \
         file: {no_file}; wrong: {}",
        count.accepted,
        count.refused,
        count.unread_refused,
        count.wrong.len(),
    ));
    let groups =
        [("unsupported", &count.unsupported), ("unread", &count.unread), ("no file", &count.no_file)];
    for (kind, groups) in groups {
        for (why, rows) in groups {
            say(&format!("SLSA rows, {kind}: {} with {why}:", rows.len()));
            for row in rows {
                say(&format!("    {row}"));
            }
        }
    }
    assert!(count.wrong.is_empty(), "{:#?}", count.wrong);
}

/// The digests of the artifacts that are not copied, by their names.
fn digests_table() -> Value {
    part("slsa/artifact-digests.json").map_or(Value::Null, |table| json(&table))
}

fn answer(testdata: &Path, file: &RowFile, row: &Value, section: &Value, digests: &Value) -> Answer {
    match file.builder.as_str() {
        "gcb_container" => google::cloud_build(testdata, file, row),
        "vsa" => google::verification_summary(testdata, file, row),
        _ => github::answer(testdata, file, row, section, digests),
    }
}
