//! Verification summaries, vulnerability scans and statements of types that nothing reads: kept, bound and shown.

use std::path::Path;
use std::sync::Arc;

use correlator_core::facts::{Outcome, Predicate, Statement};
use evidence::{LogDemand, TrustSet, TrustedKey};
use serde_json::{Value, json};

use crate::fixtures::{files, folder, json as read_json, say, text};
use crate::genuine::Piece;
use crate::keys::sign_and_verify;
use crate::slsa::piece;

/// The key of a verifier under the id that a user of it configures.
pub(crate) fn key_of(file: &Path, id: &str) -> Arc<TrustSet> {
    let key = TrustedKey::from_pem("verifier.pem", &text(file), LogDemand::NotRequired).unwrap();
    Arc::new(TrustSet::new(vec![], vec![key.with_id(Some(id.to_owned()))]).unwrap())
}

/// Every genuine summary, with the key beside it under the id that it is signed with.
pub(crate) fn genuine() -> Vec<Piece> {
    let Some(slsa) = folder("slsa") else { return Vec::new() };
    let summaries = slsa.join("testdata/vsa");
    let all = files(&summaries);
    let signed = all.iter().filter(|file| file.ends_with(".jsonl"));
    let read = |file: &String| {
        let document = read_json(&summaries.join(file));
        let id = document["signatures"][0]["keyid"].as_str().unwrap().to_owned();
        let beside = summaries.join(file).parent().unwrap().to_owned();
        let key = all.iter().map(|file| summaries.join(file)).find(|path| {
            path.parent() == Some(&beside) && path.extension().is_some_and(|ending| ending == "pem")
        });
        piece(format!("vsa/{file}"), document, &key_of(&key.unwrap(), &id))
    };
    signed.map(read).collect()
}

#[test]
fn verification_summaries_of_real_verifiers_are_kept() {
    let pieces = genuine();
    for piece in &pieces {
        let statement = piece.statement().unwrap_or_else(|why| panic!("{} was refused: {why}", piece.name));
        let Predicate::VerificationSummary(summary) = &statement.predicate else {
            panic!("{}: {:?}", piece.name, statement.predicate)
        };
        assert!(summary.passed && !summary.levels.is_empty(), "{}: {summary:?}", piece.name);
        assert!(summary.verified_at.is_some() && summary.policy.is_some(), "{}: {summary:?}", piece.name);
        // A machine image has a number and no digest: nothing here is bound by it.
        assert_eq!((statement.subjects.len(), statement.other_subjects.len()), (0, 1), "{}", piece.name);
    }
    say(&format!("verification summaries: {} accepted", pieces.len()));
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
