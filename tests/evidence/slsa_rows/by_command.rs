//! The same rows by the judgement of `custody check`: what its flags can say of a row gets the row's answer.
//!
//! Where the command is stricter than slsa-verifier on purpose, the difference has a name here and is counted.

use std::collections::BTreeMap;
use std::path::Path;

use bus_schema::fleet::Unavailable;
use bus_schema::verdict::VerdictState;
use bus_schema::{Digest, ImageRepository};
use correlator_core::facts::{CertificateClaims, Signer};
use correlator_service::one_shot::evidence_file::pieces;
use correlator_service::one_shot::expectation::{Expectation, Lenience, Ref, Roots, Source};
use correlator_service::one_shot::{Case, Judged, Terms, judge};
use jiff::Timestamp;
use serde_json::Value;

use crate::fixtures::{found, json, say, skipped, text};
use crate::genuine::Piece;
use crate::slsa_rows::digests_table;
use crate::slsa_rows::files::{RowFile, files_of, numbers};
use crate::slsa_rows::github::{builder_named_by_default, digests_of, pieces_of, statement_of};

/// Options that no flag of the command has.
const OTHER_OPTIONS: [&str; 4] = ["inputs", "pversiontag", "pkgName", "pkgVersion"];

#[derive(Default)]
struct Count {
    trusted: usize,
    refused: usize,
    /// By the name of the difference.
    differ: BTreeMap<&'static str, usize>,
    wrong: Vec<String>,
}

#[test]
fn the_command_answers_as_slsa_verifier_does() {
    let (Some(table), Some(testdata)) = (found("slsa/expected.json"), found("slsa/testdata")) else { return };
    let Some(root) = found("sigstore/trusted-roots/public-good.json") else { return };
    let (table, digests, root) = (json(&table), digests_table(), text(&root));
    let mut count = Count::default();
    for (test, section) in table.as_object().unwrap() {
        for row in section["cases"].as_array().into_iter().flatten() {
            for file in files_of(&testdata, test, row) {
                if matches!(file.builder.as_str(), "gcb_container" | "vsa") {
                    continue;
                }
                check(&testdata, &file, row, section, &digests, &root, &mut count);
            }
        }
    }
    if count.trusted + count.refused + count.differ.len() + count.wrong.len() == 0 {
        return skipped("no row that the command has flags for");
    }
    let differ: Vec<String> = count.differ.iter().map(|(name, rows)| format!("{rows} with {name}")).collect();
    say(&format!(
        "SLSA rows by the command's judgement: {} trusted and {} refused as expected; another answer on purpose: {}; wrong: {}",
        count.trusted,
        count.refused,
        if differ.is_empty() { "none".to_owned() } else { differ.join(", ") },
        count.wrong.len()
    ));
    assert!(count.wrong.is_empty(), "{:#?}", count.wrong);
}

fn check(
    testdata: &Path,
    file: &RowFile,
    row: &Value,
    section: &Value,
    digests: &Value,
    root: &str,
    count: &mut Count,
) {
    let accepts = row["expect"] == "PASS";
    let speaks_of_more = OTHER_OPTIONS.iter().any(|option| row.get(option).is_some());
    // What else is asked for decides a refusal.
    if speaks_of_more && !accepts {
        return;
    }
    let (Ok(found), Ok(digests)) = (pieces_of(testdata, file, row), digests_of(testdata, file, digests))
    else {
        return;
    };
    for builder in builders(file, row, section) {
        let judged = judged(&found, &subjects(&digests, &found), row, builder.as_deref(), root);
        let trusted = judged.iter().all(|judged| judged.verdict.state == VerdictState::Trusted);
        match (trusted, accepts) {
            (true, true) => count.trusted += 1,
            (false, false) => count.refused += 1,
            _ => match difference(row, &found, trusted) {
                Some(name) => *count.differ.entry(name).or_default() += 1,
                None => count.wrong.push(format!(
                    "{} of {} with builder {builder:?}: trusted is {trusted}: {:?}",
                    row["name"],
                    file.shown,
                    judged.iter().map(|judged| &judged.verdict.links).collect::<Vec<_>>()
                )),
            },
        }
    }
}

/// The row's builder; or none, and where the verifier has one by default, that one with and without its version.
fn builders(file: &RowFile, row: &Value, section: &Value) -> Vec<Option<String>> {
    if let Some(named) = row["pBuilderID"].as_str().or(row["builderID"].as_str()) {
        return vec![Some(named.to_owned())];
    }
    let Some(default) = builder_named_by_default(&file.builder, section) else { return vec![None] };
    let mut builders = vec![Some(default.to_owned())];
    // A delegator's caller has to be named, unless it is one of the generator's own.
    if file.builder != "gha_delegator" {
        builders.push(None);
    }
    // Before version 1.1 the builders ran from the main branch.
    if let Some(version) = file.version.as_ref().filter(|version| numbers(version) > vec![1, 0, 0]) {
        builders.push(Some(format!("{default}@{version}")));
        builders.push(Some(format!("{default}@refs/tags/{version}")));
    }
    builders
}

fn subjects(digests: &[Digest], found: &[Piece]) -> Vec<Digest> {
    if !digests.is_empty() {
        return digests.to_vec();
    }
    // npm names its packages by SHA-512.
    let named = |piece: &Piece| {
        let hex = statement_of(piece)["subject"][0]["digest"]["sha512"].as_str().map(str::to_owned);
        hex.map(|hex| Digest::from_parts("sha512", &hex).unwrap())
    };
    found.iter().find_map(named).into_iter().collect()
}

/// Each artifact by itself, as the command takes them.
fn judged(
    found: &[Piece],
    digests: &[Digest],
    row: &Value,
    builder: Option<&str>,
    root: &str,
) -> Vec<Judged> {
    let repository: ImageRepository = "localhost/file".parse().unwrap();
    let option = |key: &str| row[key].as_str().map(str::to_owned);
    let git_ref = match (option("ptag"), option("pbranch")) {
        (Some(tag), _) => Ref::Tag(tag),
        (None, Some(branch)) => Ref::Branch(branch),
        (None, None) => Ref::Any,
    };
    let is_undated = found.iter().any(|piece| piece.document["signatures"][0].get("cert").is_some());
    let lenience = match is_undated && row["expect"] != "ErrorRekorSearch" {
        true => Lenience { ignore_certificate_log: true, ignore_log: true, allow_undated: true },
        false => Lenience::default(),
    };
    let expectation = Expectation {
        repository: repository.clone(),
        signer: None,
        source: Some(Source { uri: option("source").unwrap(), git_ref }),
        builder: builder.map(str::to_owned),
        roots: Roots::Given(root.to_owned()),
        lenience,
    };
    let terms = Terms::check(&expectation.contracts().unwrap(), Timestamp::now()).unwrap();
    let case = |digest: &Digest| {
        let mut case = Case {
            repository: repository.clone(),
            digest: *digest,
            found: Vec::new(),
            blobs: BTreeMap::new(),
            file: None,
            end: Unavailable::NotFound,
            end_detail: "nothing beyond".to_owned(),
            looked_at: "the row".to_owned(),
        };
        for piece in found {
            let bytes = piece.raw.clone().unwrap_or_else(|| piece.document.to_string().into_bytes());
            for (mut item, bytes) in pieces(&bytes).unwrap() {
                item.annotations.clone_from(&piece.annotations);
                case.hand_over(item, bytes, Timestamp::now());
            }
        }
        judge(&case, &terms, Timestamp::now()).unwrap()
    };
    digests.iter().map(case).collect()
}

/// Why the command may refuse what a row accepts.
fn difference(row: &Value, found: &[Piece], trusted: bool) -> Option<&'static str> {
    let claims = found.iter().filter_map(|piece| match piece.statement().ok()?.signer {
        Signer::Keyless(claims) => Some(claims),
        Signer::Key { .. } | Signer::CloudBuild { .. } => None,
    });
    let claims: Vec<_> = claims.collect();
    let signer = |claims: &CertificateClaims| claims.build_signer_uri.clone().unwrap_or_default();
    let is_branch = claims.iter().any(|claims| signer(claims).contains("@refs/heads/"));
    let is_tag = claims.iter().any(|claims| {
        claims.source_repository_ref.as_deref().is_some_and(|git_ref| git_ref.starts_with("refs/tags/"))
    });
    let is_unsupported = |piece: &Piece| piece.verify().is_err_and(|why| why.starts_with("unsupported"));
    match trusted {
        false if found.iter().any(is_unsupported) => Some("evidence of an unsupported kind"),
        // Its own tests let the verifier take builders of the main branch.
        false if is_branch => Some("a builder at a branch"),
        false if is_tag && row.get("pbranch").is_some() => {
            Some("a branch that only the event's payload names")
        }
        _ => None,
    }
}
