//! `custody policy baseline`: one exception per pipeline for the digests that ran at installation and fail only because
//! nobody watched before.
//!
//! In: the running verdicts. Out: YAML of `kind: Exception` on standard output, for a person to read, keep and load.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bus_schema::Digest;
use bus_schema::verdict::{LinkKind, LinkState, UnknownReason};
use correlator_service::api::types::VerdictShown;
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use serde::Serialize;

use crate::answers::Answers;
use crate::data::DataFolder;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// What the administrator says about the exceptions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said<'a> {
    pub(super) owner: &'a str,
    pub(super) reason: &'a str,
    pub(super) control: &'a str,
    pub(super) days: u16,
}

/// What is written, for scripts.
#[derive(Debug, Serialize)]
struct Written<'a> {
    exceptions: Vec<Exception<'a>>,
}

/// The exception of one pipeline.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Exception<'a> {
    name: String,
    pipeline: &'a str,
    owner: &'a str,
    reason: &'a str,
    /// The day on which it expires.
    expires: &'a str,
    compensating_control: &'a str,
    digests: &'a [Digest],
    links: &'a [LinkKind],
}

/// What is covered under one pipeline.
#[derive(Debug, Default, PartialEq, Eq)]
struct Covered {
    digests: Vec<Digest>,
    links: Vec<LinkKind>,
}

pub(super) async fn run(said: Said<'_>, data: &DataFolder, output: Output) -> anyhow::Result<Exit> {
    for (flag, text) in [("--owner", said.owner), ("--reason", said.reason), ("--control", said.control)] {
        if text.trim().is_empty() {
            return Err(Failure::usage(format!("{flag} must say something")));
        }
    }
    let verdicts = Answers::of(data).await?.verdicts().await?;
    let covered = covered(&verdicts);
    let expires = Timestamp::now().to_zoned(TimeZone::UTC).checked_add(i64::from(said.days).days())?.date();
    let expires = expires.to_string();
    let exceptions = covered.iter().map(|(pipeline, covered)| Exception {
        name: name_of(pipeline),
        pipeline,
        owner: said.owner,
        reason: said.reason,
        expires: &expires,
        compensating_control: said.control,
        digests: &covered.digests,
        links: &covered.links,
    });
    let written = Written { exceptions: exceptions.collect() };
    output.either(&written, |_| document(&covered, said, &expires))?;
    Ok(Exit::Fine)
}

fn covered(verdicts: &[VerdictShown]) -> BTreeMap<String, Covered> {
    let mut covered: BTreeMap<String, Covered> = BTreeMap::new();
    let wanted = verdicts.iter().filter(|shown| shown.settled && shown.running && shown.only_uncovered);
    for shown in wanted {
        let verdict = &shown.verdict;
        if verdict.pipeline == correlator_core::contracts::DEFAULT_PIPELINE {
            continue;
        }
        let entry = covered.entry(verdict.pipeline.clone()).or_default();
        entry.digests.push(verdict.digest);
        let links = verdict.links.iter().filter(|link| {
            matches!(&link.state, LinkState::Unknown { reason: UnknownReason::Uncovered, .. })
        });
        entry.links.extend(links.map(|link| link.kind));
    }
    for entry in covered.values_mut() {
        entry.digests.sort();
        entry.digests.dedup();
        entry.links.sort();
        entry.links.dedup();
    }
    covered
}

fn document(covered: &BTreeMap<String, Covered>, said: Said<'_>, expires: &str) -> String {
    if covered.is_empty() {
        return "# Nothing runs that fails only because nobody watched before: no exception is needed.\n"
            .to_owned();
    }
    let mut text = String::new();
    for (pipeline, covered) in covered {
        if !text.is_empty() {
            text.push_str("---\n");
        }
        let links: Vec<&str> = covered.links.iter().map(|link| link.as_str()).collect();
        // A JSON text is a YAML text: quotes and escapes are right whatever people wrote.
        let quoted = |text: &str| serde_json::Value::String(text.to_owned()).to_string();
        let _ = writeln!(text, "apiVersion: custody.dev/v1\nkind: Exception");
        let _ = writeln!(text, "metadata: {{ name: {} }}", name_of(pipeline));
        let _ = writeln!(text, "spec:\n  owner: {}", quoted(said.owner));
        let _ = writeln!(text, "  reason: {}", quoted(said.reason));
        let _ = writeln!(text, "  expires: {}", quoted(expires));
        let _ = writeln!(text, "  compensatingControl: {}", quoted(said.control));
        let _ =
            writeln!(text, "  scope:\n    pipeline: {}\n    links: [{}]", quoted(pipeline), links.join(", "));
        text.push_str("    digests:\n");
        for digest in &covered.digests {
            let _ = writeln!(text, "      - {:?}", digest.to_string());
        }
    }
    text
}

/// At most 63 characters, as names of documents are.
fn name_of(pipeline: &str) -> String {
    let short: String = pipeline.chars().take(54).collect();
    format!("baseline-{short}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use correlator_core::contracts::parse;
    use correlator_core::input::ContractLoaded;

    use super::*;

    #[test]
    fn what_is_written_is_a_contract_that_loads() {
        let covered = BTreeMap::from([(
            "payments-api".to_owned(),
            Covered {
                digests: vec![Digest::sha256_of(b"one"), Digest::sha256_of(b"two")],
                links: vec![LinkKind::Source, LinkKind::Build],
            },
        )]);
        let said =
            Said { owner: "platform: \"team\"", reason: "ran before", control: "rebuilt\nsoon", days: 90 };
        let expires = Timestamp::now().to_zoned(TimeZone::UTC).checked_add(90.days()).unwrap().date();
        let pipeline = "apiVersion: custody.dev/v1\nkind: Pipeline\nmetadata: { name: payments-api }\nspec:\n  \
                        images: [\"ghcr.io/acme/payments-api\"]\n  require: [artifact]\n  artifact: { pushers: [ci-bot] }\n";
        let documents = BTreeMap::from([
            ("pipeline.yaml".to_owned(), pipeline.to_owned()),
            ("baseline.yaml".to_owned(), document(&covered, said, &expires.to_string())),
        ]);
        let set = parse::parse(&ContractLoaded { documents, files: BTreeMap::new() }).unwrap();
        let exception = &set.exceptions["baseline-payments-api"];
        assert_eq!(exception.scope.digests.len(), 2);
        assert_eq!(exception.owner, "platform: \"team\"");
        assert_eq!(set.problems_at(Timestamp::now()), Vec::<String>::new());
    }
}
