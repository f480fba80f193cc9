//! Verification summaries, vulnerability scans and statements of types that nothing reads: kept, bound and shown.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use correlator_core::facts::{Outcome, Predicate, Statement};
use evidence::{LogDemand, TrustSet, TrustedKey};
use serde_json::{Value, json};

use crate::fixtures::{files, found, json_if_any, part, say, skipped, text};
use crate::genuine::Piece;
use crate::keys::sign_and_verify;
use crate::slsa::piece;
use crate::slsa_rows::{accepted_artifacts, statement_of};

/// The key of a verifier under the id that a user of it configures.
pub(crate) fn key_of(file: &Path, id: &str) -> Arc<TrustSet> {
    let key = TrustedKey::from_pem("verifier.pem", &text(file), LogDemand::NotRequired).unwrap();
    Arc::new(TrustSet::new(vec![], vec![key.with_id(Some(id.to_owned()))]).unwrap())
}

const SUMMARIES: &str = "slsa/testdata/vsa";

/// Every summary that verifies. One that a row accepts and that does not is found by the rows.
pub(crate) fn genuine() -> Vec<Piece> {
    with_their_keys().into_iter().filter(|piece| piece.statement().is_ok()).collect()
}

/// Every summary that has a key beside it, with this key under the id that it is signed with.
fn with_their_keys() -> Vec<Piece> {
    let Some(summaries) = part(SUMMARIES) else { return Vec::new() };
    let all = files(&summaries);
    let read = |file: &String| {
        let document = json_if_any(&summaries.join(file))?;
        let id = document["signatures"][0]["keyid"].as_str()?.to_owned();
        let beside = summaries.join(file).parent()?.to_owned();
        let key = all.iter().map(|file| summaries.join(file)).find(|path| {
            path.parent() == Some(&beside) && path.extension().is_some_and(|ending| ending == "pem")
        });
        Some(piece(format!("vsa/{file}"), document, &key_of(&key?, &id)))
    };
    all.iter().filter_map(read).collect()
}

#[test]
fn verification_summaries_of_real_verifiers_are_kept() {
    let Some(_) = found(SUMMARIES) else { return };
    let pieces = with_their_keys();
    if pieces.is_empty() {
        return skipped("no verification summary with its key");
    }
    let (mut kept, mut refused) = (0, Vec::new());
    for piece in &pieces {
        match piece.statement() {
            Ok(statement) => {
                check_kept(&piece.name, &statement, &statement_of(piece));
                kept += 1;
            }
            Err(why) => refused.push(format!("{}: {why}", piece.name)),
        }
    }
    say(&format!("verification summaries: {kept} accepted, {} refused: {refused:?}", refused.len()));
    let accepted: Vec<String> = accepted_artifacts();
    let is_wrong = |refused: &&String| accepted.iter().any(|file| refused.starts_with(file));
    let wrong: Vec<&String> = refused.iter().filter(is_wrong).collect();
    assert!(wrong.is_empty(), "genuine, and refused: {wrong:?}");
}

/// What was signed is what is kept: what each says, and of each subject whether it is bound by a digest.
fn check_kept(name: &str, statement: &Statement, signed: &Value) {
    let Predicate::VerificationSummary(summary) = &statement.predicate else {
        panic!("{name}: {:?}", statement.predicate)
    };
    // Version 0.1 writes its names with underscores, and one level.
    let predicate = &signed["predicate"];
    let either =
        |name: &str, old: &str| predicate.get(name).or(predicate.get(old)).cloned().unwrap_or_default();
    assert_eq!(summary.passed, either("verificationResult", "verification_result") == "PASSED", "{name}");
    let levels = match either("verifiedLevels", "policy_level") {
        Value::String(one) => json!([one]),
        Value::Null => json!([]),
        several => several,
    };
    assert_eq!(json!(summary.levels), levels, "{name}");
    assert_eq!(summary.verified_at.is_some(), either("timeVerified", "time_verified").is_string(), "{name}");
    assert_eq!(json!(summary.policy), predicate["policy"]["uri"], "{name}");
    let subjects = signed["subject"].as_array().unwrap().iter();
    let named = subjects.flat_map(|subject| subject["digest"].as_object().unwrap());
    let named: BTreeSet<(&str, &str)> =
        named.map(|(scheme, id)| (scheme.as_str(), id.as_str().unwrap())).collect();
    let of = |schemes: &[&str]| -> BTreeSet<(&str, &str)> {
        named.iter().copied().filter(|(scheme, _)| schemes.contains(scheme)).collect()
    };
    let hexes: Vec<(&str, String)> =
        statement.subjects.iter().map(|digest| (digest.algorithm(), digest.hex())).collect();
    let bound: BTreeSet<(&str, &str)> = hexes.iter().map(|(scheme, hex)| (*scheme, hex.as_str())).collect();
    assert_eq!(bound, of(&["sha256", "sha512"]), "{name}");
    // A machine image has a number and no digest: nothing here is bound by it.
    let other = statement.other_subjects.iter().map(|subject| (subject.scheme.as_str(), subject.id.as_str()));
    assert_eq!(other.collect::<BTreeSet<_>>(), of(&["gce_image_id"]), "{name}");
}

fn said(predicate_type: &str, predicate: Value) -> Result<Statement, String> {
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "api", "digest": { "sha256": "a".repeat(64) } }],
        "predicateType": predicate_type,
        "predicate": predicate,
    });
    match sign_and_verify(statement.to_string().as_bytes()) {
        Outcome::Verified(verified) => Ok(*verified),
        Outcome::Refused(refused) => Err(refused.reason.as_str().to_owned()),
    }
}

#[test]
fn summaries_of_each_version_are_read_and_a_result_of_neither_kind_is_refused() {
    let v1 = json!({
        "verifier": { "id": "https://verifier.example" },
        "timeVerified": "2026-01-02T03:04:05Z",
        "resourceUri": "oci://registry.example/api",
        "policy": { "uri": "https://policy.example" },
        "verificationResult": "FAILED",
        "verifiedLevels": ["SLSA_BUILD_LEVEL_3"],
    });
    let old = json!({
        "verifier": { "id": "https://verifier.example" },
        "time_verified": "2026-01-02T03:04:05Z",
        "resource_uri": "oci://registry.example/api",
        "policy": { "uri": "https://policy.example" },
        "verification_result": "FAILED",
        "policy_level": "SLSA_LEVEL_3",
    });
    for (kind, predicate, level) in [
        ("https://slsa.dev/verification_summary/v1", &v1, "SLSA_BUILD_LEVEL_3"),
        ("https://slsa.dev/verification_summary/v0.2", &v1, "SLSA_BUILD_LEVEL_3"),
        ("https://slsa.dev/verification_summary/v0.1", &old, "SLSA_LEVEL_3"),
    ] {
        let statement = said(kind, predicate.clone()).unwrap();
        let Predicate::VerificationSummary(read) = statement.predicate else { panic!("{kind}") };
        assert_eq!((read.passed, read.levels), (false, vec![level.to_owned()]));
        assert_eq!(read.verifier, "https://verifier.example");
    }
    let mut odd = v1.clone();
    odd["verificationResult"] = json!("passed");
    assert_eq!(said("https://slsa.dev/verification_summary/v1", odd).unwrap_err(), "malformed");
    let mut late = v1;
    late["timeVerified"] = json!("2150-01-01T00:00:00Z");
    assert_eq!(said("https://slsa.dev/verification_summary/v1", late).unwrap_err(), "bad_time");
}

#[test]
fn vulnerability_scans_of_both_predicates_are_kept() {
    let listed = json!({
        "scanner": {
            "uri": "pkg:github/aquasecurity/trivy@v0.19.2",
            "version": "0.19.2",
            "result": [{ "id": "CVE-2021-1" }, { "id": "CVE-2021-2", "severity": [] }],
        },
        "metadata": { "scanStartedOn": "2021-08-06T17:45:50Z", "scanFinishedOn": "2021-08-06T17:50:50Z" },
    });
    let mut foreign = listed.clone();
    foreign["scanner"]["result"] = json!({ "Results": [{ "Vulnerabilities": [] }] });
    for (kind, predicate, count) in [
        ("https://in-toto.io/attestation/vulns/v0.1", &listed, Some(2)),
        ("https://in-toto.io/attestation/vulns/v0.2", &listed, Some(2)),
        ("https://cosign.sigstore.dev/attestation/vuln/v1", &foreign, None),
    ] {
        let Predicate::VulnerabilityScan(read) = said(kind, predicate.clone()).unwrap().predicate else {
            panic!("{kind}")
        };
        assert_eq!((read.vulnerabilities, read.version.as_deref()), (count, Some("0.19.2")), "{kind}");
        assert_eq!(read.scanner, "pkg:github/aquasecurity/trivy@v0.19.2");
        assert_eq!(read.finished_at.unwrap().to_string(), "2021-08-06T17:50:50Z");
    }
    let refused = said("https://in-toto.io/attestation/vulns/v0.1", json!({})).unwrap_err();
    assert_eq!(refused, "malformed");
}

#[test]
fn a_statement_of_any_other_type_is_kept_by_its_name() {
    let kind = "https://example.com/any/statement/v7";
    let statement = said(kind, json!({ "anything": [1, 2] })).unwrap();
    assert_eq!(statement.predicate, Predicate::Other { predicate_type: kind.to_owned() });
    assert_eq!(statement.predicate.kind().as_str(), "claimed");
}
