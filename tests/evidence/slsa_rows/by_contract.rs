//! The rows about Google Cloud Build by the judgement of `custody check --pipeline`: a contract names Google's keys.

use std::collections::BTreeMap;
use std::path::Path;

use bus_schema::fleet::Unavailable;
use bus_schema::verdict::VerdictState;
use bus_schema::{Digest, RepositoryRef};
use correlator_core::input::ContractLoaded;
use correlator_service::one_shot::evidence_file::pieces;
use correlator_service::one_shot::{Case, Judged, Terms, judge};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cloud_build::content::{has_known_key, has_two_of_one_key};
use crate::cloud_build::googles_keys;
use crate::fixtures::{found, json as read_json, json_if_any, say, skipped};
use crate::slsa_rows::files::{RowFile, files_of};
use crate::slsa_rows::google::digest_of;

const TEST: &str = "Test_runVerifyGCBArtifactImage";
const REPOSITORY: &str = "localhost/image";
/// Options that a contract has no words for: a builder is what the contract's keys say it is.
const OTHER_OPTIONS: [&str; 3] = ["pBuilderID", "ptag", "pversiontag"];

#[test]
fn a_contract_with_googles_keys_answers_as_slsa_verifier_does() {
    let (Some(table), Some(testdata)) = (found("slsa/expected.json"), found("slsa/testdata")) else { return };
    if googles_keys().is_none() {
        return skipped("no genuine document of Google Cloud Build");
    }
    let table = read_json(&table);
    let (mut trusted, mut refused, mut several, mut unknown, mut wrong) = (0, 0, 0, 0, Vec::new());
    for row in table[TEST]["cases"].as_array().into_iter().flatten() {
        let accepts = row["expect"] == "PASS";
        let is_repository =
            row["source"].as_str().is_some_and(|source| source.parse::<RepositoryRef>().is_ok());
        if !is_repository || OTHER_OPTIONS.iter().any(|option| row.get(option).is_some()) {
            continue;
        }
        for file in files_of(&testdata, TEST, row) {
            let Some(judged) = judged(&testdata, &file, row) else { continue };
            let document = json_if_any(&testdata.join(&file.artifact)).unwrap_or_default();
            match (judged.as_ref().map(|judged| judged.verdict.state == VerdictState::Trusted), accepts) {
                (Ok(true), true) => trusted += 1,
                (Ok(false) | Err(_), false) => refused += 1,
                // Of one key there is one signature, or none counts.
                (Ok(false), true) if has_two_of_one_key(&document) => several += 1,
                (Ok(false), true) if !has_known_key(&document) => unknown += 1,
                (answer, _) => {
                    wrong.push(format!("{} of {}: {answer:?}: {judged:?}", row["name"], file.shown))
                }
            }
        }
    }
    if trusted + refused + several + unknown + wrong.len() == 0 {
        return skipped("no row that a contract has words for");
    }
    say(&format!(
        "Google's rows by a contract's judgement: {trusted} trusted and {refused} refused as expected; several signatures of \
         one key, refused: {several}; by keys that nothing here tells: {unknown}; wrong: {}",
        wrong.len()
    ));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// `None` where a file is not there; an error where the file holds no evidence that can be read.
fn judged(testdata: &Path, file: &RowFile, row: &Value) -> Option<Result<Judged, String>> {
    let bytes = std::fs::read(testdata.join(&file.artifact)).ok()?;
    let digest = digest_of(testdata, file, row)?;
    let pieces = match pieces(&bytes) {
        Ok(pieces) => pieces,
        Err(error) => return Some(Err(error.to_string())),
    };
    let terms = terms(row["source"].as_str()?);
    let mut case = case(digest);
    for (item, bytes) in pieces {
        case.hand_over(item, bytes, Timestamp::now());
    }
    Some(Ok(judge(&case, &terms, Timestamp::now()).unwrap()))
}

fn terms(source: &str) -> Terms {
    let mut files = BTreeMap::new();
    let mut signers = Vec::new();
    for (number, (id, pem)) in googles_keys().unwrap().iter().enumerate() {
        let file = format!("google-{number}.pem");
        signers.push(json!({ "key": { "file": &file, "id": id, "log": "not-required" } }));
        files.insert(file, pem.clone());
    }
    let pipeline = json!({
        "apiVersion": "custody.dev/v1",
        "kind": "Pipeline",
        "metadata": { "name": "image" },
        "spec": {
            "images": [REPOSITORY],
            "require": ["provenance"],
            "source": { "repository": source, "refs": ["refs/heads/**", "refs/tags/**"], "reviews": 0 },
            "signatures": { "anyOf": signers },
        },
    });
    let documents = BTreeMap::from([("image.yaml".to_owned(), pipeline.to_string())]);
    Terms::check(&ContractLoaded { documents, files }, Timestamp::now()).unwrap()
}

fn case(digest: Digest) -> Case {
    Case {
        repository: REPOSITORY.parse().unwrap(),
        digest,
        found: Vec::new(),
        blobs: BTreeMap::new(),
        file: None,
        end: Unavailable::NotFound,
        end_detail: "nothing beyond".to_owned(),
        looked_at: "the row".to_owned(),
    }
}
