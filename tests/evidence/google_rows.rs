//! The rows of slsa-verifier about Google Cloud Build and verification summaries.

use std::path::Path;

use bus_schema::Digest;
use correlator_core::facts::{Predicate, Provenance};
use serde_json::Value;

use crate::cloud_build::{check, googles_trust};
use crate::fixtures::{json, text};
use crate::slsa::piece;
use crate::slsa_rows::{Answer, RowFile, Why};
use crate::summaries::key_of;

pub(crate) fn cloud_build(testdata: &Path, file: &RowFile, row: &Value) -> Answer {
    let trust = googles_trust().unwrap();
    let statement = match check(&std::fs::read(testdata.join(&file.artifact)).unwrap(), &trust) {
        Ok(statement) => statement,
        Err(refused) => return Answer::Refused(Why::Evidence(refused.reason.as_str().to_owned())),
    };
    let Predicate::Provenance(provenance) = &statement.predicate else {
        return Answer::Refused(Why::Evidence("no provenance".to_owned()));
    };
    if !is_builder(provenance, row["pBuilderID"].as_str()) {
        return Answer::Refused(Why::Builder);
    }
    let beside = testdata.join(&file.artifact).with_file_name(row["artifact"].as_str().unwrap());
    let digest: Digest = text(&beside.with_extension("digest.txt")).trim().parse().unwrap();
    if !statement.subjects.contains(&digest) {
        return Answer::Refused(Why::Subject);
    }
    let source = provenance.repository.as_ref().map(bus_schema::RepositoryRef::path);
    if source.as_deref() != row["source"].as_str() {
        return Answer::Refused(Why::Source);
    }
    Answer::Accepted
}

/// A builder is named with its version or without.
fn is_builder(provenance: &Provenance, wanted: Option<&str>) -> bool {
    let Some(wanted) = wanted else { return true };
    provenance.builder_id == wanted
        || !wanted.contains('@') && provenance.builder_id.split('@').next() == Some(wanted)
}

pub(crate) fn verification_summary(testdata: &Path, file: &RowFile, row: &Value) -> Answer {
    let option = |key: &str| row[key].as_str();
    let key = testdata.join("vsa").join(option("publicKeyPath").unwrap());
    let trust = key_of(&key, option("publicKeyID").unwrap());
    let statement = match piece(file.shown.clone(), json(&testdata.join(&file.artifact)), &trust).statement()
    {
        Ok(statement) => statement,
        Err(why) => return Answer::Refused(Why::Evidence(why)),
    };
    let Predicate::VerificationSummary(summary) = &statement.predicate else {
        return Answer::Refused(Why::Evidence("no verification summary".to_owned()));
    };
    let subjects: Vec<String> =
        statement.other_subjects.iter().map(|subject| format!("{}:{}", subject.scheme, subject.id)).collect();
    let wanted = |key: &str| row[key].as_array().into_iter().flatten().map(|text| text.as_str().unwrap());
    if !wanted("subjectDigests").all(|wanted| subjects.iter().any(|subject| subject == wanted)) {
        return Answer::Refused(Why::Subject);
    }
    let is = |key: &str, found: &str| option(key).is_none_or(|wanted| wanted == found);
    let says_so = summary.passed
        && is("verifierID", &summary.verifier)
        && is("resourceURI", &summary.resource_uri)
        && wanted("verifiedLevels").all(|wanted| summary.levels.iter().any(|level| level == wanted));
    match says_so {
        true => Answer::Accepted,
        false => Answer::Refused(Why::Evidence("another verdict".to_owned())),
    }
}
