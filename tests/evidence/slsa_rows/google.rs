//! The rows of slsa-verifier about Google Cloud Build and verification summaries.

use std::path::Path;

use bus_schema::Digest;
use correlator_core::facts::{Predicate, Provenance, Refusal, RefusalReason, Statement};
use evidence::{TrustSet, split_cloud_build};
use serde_json::Value;

use crate::cloud_build::content::has_known_key;
use crate::cloud_build::{check, googles_trust};
use crate::fixtures::{json_if_any, text};
use crate::slsa::piece;
use crate::slsa_rows::files::RowFile;
use crate::slsa_rows::github::is_version_of;
use crate::slsa_rows::{Answer, Why};
use crate::summaries::key_of;

pub(crate) fn cloud_build(testdata: &Path, file: &RowFile, row: &Value) -> Answer {
    let path = testdata.join(&file.artifact);
    if !path.is_file() {
        return Answer::NoFile(format!("no provenance at {}", file.artifact));
    }
    let document = json_if_any(&path).unwrap_or_default();
    let Some(trust) = googles_trust() else {
        return Answer::Unread("Google's keys, which no genuine document here tells".to_owned());
    };
    let statement = match verified(&std::fs::read(path).unwrap(), &trust) {
        Ok(statement) => statement,
        Err(refused) if refused.reason == RefusalReason::UntrustedSigner && !has_known_key(&document) => {
            return match row["expect"] == "PASS" {
                true => Answer::Unread("a key of Google's that no genuine document here tells".to_owned()),
                false => Answer::Refused(Why::Evidence(refused.reason.as_str().to_owned())),
            };
        }
        Err(refused) if refused.reason == RefusalReason::Unsupported => {
            return Answer::Unsupported(refused.found);
        }
        Err(refused) => return Answer::Refused(Why::Evidence(refused.reason.as_str().to_owned())),
    };
    let Predicate::Provenance(provenance) = &statement.predicate else {
        return Answer::Refused(Why::Evidence("no provenance".to_owned()));
    };
    let option = |key: &str| row[key].as_str();
    if !is_builder(provenance, option("pBuilderID")) {
        return Answer::Refused(Why::Builder);
    }
    let Some(digest) = digest_of(testdata, file, row) else {
        return Answer::NoFile(format!("no digest of {}", file.artifact));
    };
    if !statement.subjects.contains(&digest) {
        return Answer::Refused(Why::Subject);
    }
    if source_of(provenance).as_deref() != option("source") {
        return Answer::Refused(Why::Source);
    }
    let tag = provenance.tag.as_deref();
    let is_tag = option("ptag").is_none_or(|wanted| tag == Some(wanted))
        && option("pversiontag").is_none_or(|wanted| tag.is_some_and(|tag| is_version_of(tag, wanted)));
    if is_tag { Answer::Accepted } else { Answer::Refused(Why::Tag) }
}

/// The one build of a document that verifies, or why its last one does not.
fn verified(document: &[u8], trust: &TrustSet) -> Result<Statement, Refusal> {
    let alone = check(document, trust);
    let builds = split_cloud_build(document).unwrap_or_default();
    if builds.len() < 2 {
        return alone;
    }
    let mut outcomes: Vec<_> = builds.iter().map(|build| check(build, trust)).collect();
    let last = outcomes.len() - 1;
    let which = outcomes.iter().position(Result::is_ok).unwrap_or(last);
    outcomes.swap_remove(which)
}

/// The image's digest: the row's for the builder's version, or beside the provenance.
pub(crate) fn digest_of(testdata: &Path, file: &RowFile, row: &Value) -> Option<Digest> {
    let named = file.version.as_ref().and_then(|version| row["artifactDigest"][version].as_str());
    if let Some(named) = named {
        return Some(Digest::from_parts("sha256", named).unwrap());
    }
    let beside = testdata.join(format!("{}.digest.txt", file.artifacts.first()?));
    beside.is_file().then(|| text(&beside).trim().parse().unwrap())
}

/// The repository; or the archive in Google's storage that went into the build, without its generation.
fn source_of(provenance: &Provenance) -> Option<String> {
    let repository = provenance.repository.as_ref().map(bus_schema::RepositoryRef::path);
    repository.or_else(|| {
        let archive = provenance.materials.iter().find(|material| material.uri.starts_with("gs://"))?;
        archive.uri.split('#').next().map(str::to_owned)
    })
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
    if !key.is_file() || !testdata.join(&file.artifact).is_file() {
        return Answer::NoFile(format!("no summary with its key at {}", file.artifact));
    }
    let trust = key_of(&key, option("publicKeyID").unwrap());
    let Some(document) = json_if_any(&testdata.join(&file.artifact)) else {
        return Answer::Unread(format!("the format of {}", file.artifact));
    };
    let statement = match piece(file.shown.clone(), document, &trust).statement() {
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
