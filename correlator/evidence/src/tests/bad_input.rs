//! Bad input, each kind with its own refusal.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use correlator_core::facts::{Refusal, RefusalReason};
use serde_json::{Value, json};

use super::{PROVENANCE, provenance};
use crate::Demands;
use crate::bounds::EVIDENCE_BYTES_MAX;
use crate::testing::authority::{Authority, Identity, release_claims};
use crate::testing::{BUNDLE, DSSE, Key, refused, statement, verified, verify_bytes, verify_layer};
use crate::trust::{LogDemand, TrustError, TrustSet, TrustedKey};

fn bundle(key: &Key) -> Value {
    key.bundle(&statement(PROVENANCE, provenance()))
}

fn envelope(key: &Key) -> Value {
    key.envelope(&statement(PROVENANCE, provenance()))
}

fn of(media_type: &str, bytes: &[u8], key: &Key) -> Refusal {
    refused(verify_bytes(media_type, bytes, &key.trust()))
}

#[track_caller]
fn says(found: &Refusal, reason: RefusalReason, word: &str) {
    assert_eq!(found.reason, reason, "{found:?}");
    let text = format!("{}; {}", found.expected, found.found);
    assert!(text.contains(word), "{text:?} does not say {word:?}");
}

#[test]
fn what_is_cut_off_anywhere_is_malformed() {
    let key = Key::generate();
    for (media_type, document) in [(BUNDLE, bundle(&key)), (DSSE, envelope(&key))] {
        let whole = document.to_string();
        for length in (0..whole.len()).step_by(whole.len() / 50) {
            says(&of(media_type, &whole.as_bytes()[..length], &key), RefusalReason::Malformed, "EOF");
        }
    }
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let key = Key::generate();
    let large = vec![b'x'; EVIDENCE_BYTES_MAX + 1];
    says(&of(BUNDLE, &large, &key), RefusalReason::TooLarge, "bytes of evidence");
}

#[test]
fn what_is_encoded_twice_is_refused() {
    let key = Key::generate();
    let as_text = json!(bundle(&key).to_string()).to_string();
    says(&of(BUNDLE, as_text.as_bytes(), &key), RefusalReason::Malformed, "a Sigstore bundle");
    let in_base64 = STANDARD.encode(bundle(&key).to_string());
    says(&of(BUNDLE, in_base64.as_bytes(), &key), RefusalReason::Malformed, "a Sigstore bundle");

    let said = statement(PROVENANCE, provenance()).to_string();
    let twice = key.envelope_of(b"application/vnd.in-toto+json", STANDARD.encode(said).as_bytes());
    says(&of(DSSE, twice.to_string().as_bytes(), &key), RefusalReason::Malformed, "an in-toto statement");
}

#[test]
fn a_wrong_media_type_is_no_help() {
    let key = Key::generate();
    let bytes = bundle(&key).to_string();
    says(&of(DSSE, bytes.as_bytes(), &key), RefusalReason::Malformed, "a DSSE envelope");
    says(&of("text/plain", bytes.as_bytes(), &key), RefusalReason::Unsupported, "text/plain");
    let bytes = envelope(&key).to_string();
    says(&of(BUNDLE, bytes.as_bytes(), &key), RefusalReason::Unsupported, "a bundle of version");
}

#[test]
fn a_key_that_stands_twice_is_refused_at_every_level() {
    let key = Key::generate();
    let whole = bundle(&key).to_string();
    for name in ["mediaType", "payload", "sig", "hint"] {
        let member = format!("\"{name}\":");
        let twice = whole.replacen(&member, &format!("{member}\"\",{member}"), 1);
        assert_ne!(twice, whole, "{name}");
        says(&of(BUNDLE, twice.as_bytes(), &key), RefusalReason::Malformed, "twice");
    }
}

#[test]
fn base64_has_one_reading_with_padding_or_without() {
    let key = Key::generate();
    let plain = envelope(&key);
    let with = |field: &str, text: String| {
        let mut changed = plain.clone();
        changed[field] = json!(text);
        verify_bytes(DSSE, changed.to_string().as_bytes(), &key.trust())
    };
    let payload = STANDARD.decode(plain["payload"].as_str().unwrap()).unwrap();
    verified(with("payload", STANDARD_NO_PAD.encode(&payload)));
    for text in [
        format!("{}=", STANDARD.encode(&payload)),
        format!("{}\n", STANDARD.encode(&payload)),
        format!(" {}", STANDARD.encode(&payload)),
        "not base64!".to_owned(),
    ] {
        says(&refused(with("payload", text)), RefusalReason::Malformed, "in base64");
    }
}

#[test]
fn pem_with_anything_around_it_is_refused() {
    let key = Key::generate();
    for text in [format!("{}tail", key.pem()), format!("head\n{}", key.pem()), key.pem().repeat(2)] {
        let error = TrustedKey::from_pem("it", &text, LogDemand::Required).unwrap_err();
        assert!(matches!(error, TrustError::KeyMalformed { .. }), "{error}");
    }
    let (authority, trust) = sigstore();
    let identity = authority.identity(&release_claims());
    let said = identity.envelope(&statement(PROVENANCE, provenance())).to_string();
    let mut annotations: BTreeMap<String, String> = BTreeMap::new();
    annotations.insert("dev.sigstore.cosign/certificate".to_owned(), format!("{}tail", identity.pem()));
    let found = refused(verify_layer(DSSE, said.as_bytes(), &annotations, &trust));
    says(&found, RefusalReason::BadCertificate, "outside of the PEM blocks");
}

fn sigstore() -> (Authority, TrustSet) {
    let authority = Authority::new();
    let trust = TrustSet::new(vec![authority.root(Demands::default())], vec![]).unwrap();
    (authority, trust)
}

fn signed_by(authority: &Authority, identity: &Identity, trust: &TrustSet) -> Refusal {
    let bundle = authority.bundle(identity, &statement(PROVENANCE, provenance()));
    refused(verify_bytes(BUNDLE, bundle.to_string().as_bytes(), trust))
}

#[test]
fn a_certificate_with_a_critical_extension_that_nobody_knows_is_refused() {
    let (authority, trust) = sigstore();
    let extension = |critical: bool| {
        let mut extension =
            rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
        extension.set_criticality(critical);
        authority.identity_with(&release_claims(), true, |params| params.custom_extensions.push(extension))
    };
    let plain = authority.bundle(&extension(false), &statement(PROVENANCE, provenance()));
    verified(verify_bytes(BUNDLE, plain.to_string().as_bytes(), &trust));
    let found = signed_by(&authority, &extension(true), &trust);
    says(&found, RefusalReason::BadCertificate, "UnsupportedCriticalExtension");
}

#[test]
fn certificates_before_the_epoch_and_after_2100_are_not_valid_when_they_signed() {
    let authority = Authority::new();
    let demands = Demands { certificate_transparency: false, ..Demands::default() };
    let trust = TrustSet::new(vec![authority.root(demands)], vec![]).unwrap();
    let good = authority.identity_with(&release_claims(), false, |_| {});
    let good = authority.bundle(&good, &statement(PROVENANCE, provenance()));
    verified(verify_bytes(BUNDLE, good.to_string().as_bytes(), &trust));
    for (from, to) in [(1950, 1960), (1960, 1969), (2101, 2102), (2150, 9999)] {
        let identity = authority.identity_with(&release_claims(), false, |params| {
            params.not_before = rcgen::date_time_ymd(from, 1, 2);
            params.not_after = rcgen::date_time_ymd(to, 1, 2);
        });
        let found = signed_by(&authority, &identity, &trust);
        assert!(
            matches!(found.reason, RefusalReason::BadTime | RefusalReason::BadCertificate),
            "{from} to {to}: {found:?}"
        );
    }
}

#[test]
fn log_times_before_the_epoch_and_after_2100_are_refused() {
    let (authority, trust) = sigstore();
    let identity = authority.identity(&release_claims());
    let genuine = authority.bundle(&identity, &statement(PROVENANCE, provenance()));
    for time in ["-1", "-62135596800", "4133980801", "9223372036854775807", "99999999999999999999", "1e9", ""]
    {
        let mut altered = genuine.clone();
        altered["verificationMaterial"]["tlogEntries"][0]["integratedTime"] = json!(time);
        let found = refused(verify_bytes(BUNDLE, altered.to_string().as_bytes(), &trust));
        assert!(
            matches!(
                found.reason,
                RefusalReason::Malformed | RefusalReason::BadTime | RefusalReason::BadLogEntry
            ),
            "{time}: {found:?}"
        );
    }
}

#[test]
fn build_times_before_the_epoch_and_after_2100_are_refused() {
    let key = Key::generate();
    for (time, reason) in [
        ("1969-12-31T23:59:59Z", RefusalReason::BadTime),
        ("2101-01-01T00:00:00Z", RefusalReason::BadTime),
        ("yesterday", RefusalReason::Malformed),
    ] {
        let mut predicate = provenance();
        predicate["runDetails"]["metadata"]["startedOn"] = json!(time);
        let bundle = key.bundle(&statement(PROVENANCE, predicate));
        says(&of(BUNDLE, bundle.to_string().as_bytes(), &key), reason, "the build's start");
    }
}

#[test]
fn certificates_that_vouch_for_each_other_lead_nowhere() {
    let (authority, trust) = sigstore();
    let (identity, circle) = Authority::circle();
    let mut bundle = authority.bundle(&identity, &statement(PROVENANCE, provenance()));
    let certificates: Vec<Value> = [identity.certificate.clone()]
        .into_iter()
        .chain(circle)
        .map(|der| json!({ "rawBytes": STANDARD.encode(der) }))
        .collect();
    bundle["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.2");
    bundle["verificationMaterial"]["x509CertificateChain"] = json!({ "certificates": certificates });
    bundle["verificationMaterial"].as_object_mut().unwrap().remove("certificate");
    let found = refused(verify_bytes(BUNDLE, bundle.to_string().as_bytes(), &trust));
    says(&found, RefusalReason::UntrustedSigner, "an authority of a trust root");
}

#[test]
fn bytes_that_are_not_utf_8_are_refused_outside_and_inside() {
    let key = Key::generate();
    let mut bytes = bundle(&key).to_string().into_bytes();
    let at = bytes.windows(4).position(|window| window == b"json").unwrap();
    bytes[at] = 0xff;
    says(&of(BUNDLE, &bytes, &key), RefusalReason::Malformed, "a Sigstore bundle");
    let mut said = statement(PROVENANCE, provenance()).to_string().into_bytes();
    let at = said.windows(4).position(|window| window == b"acme").unwrap();
    said[at] = 0xff;
    let envelope = key.envelope_of(b"application/vnd.in-toto+json", &said);
    says(&of(DSSE, envelope.to_string().as_bytes(), &key), RefusalReason::Malformed, "an in-toto statement");
}

#[test]
fn a_payload_that_is_no_statement_is_refused_by_what_it_is() {
    let key = Key::generate();
    for (payload, reason, word) in [
        ("", RefusalReason::Malformed, "an in-toto statement"),
        ("[]", RefusalReason::Malformed, "an in-toto statement"),
        ("{}", RefusalReason::Malformed, "_type"),
        ("\"text\"", RefusalReason::Malformed, "an in-toto statement"),
        ("{\"_type\":\"https://in-toto.io/Link/v1\"}", RefusalReason::Unsupported, "Link"),
    ] {
        let envelope = key.envelope_of(b"application/vnd.in-toto+json", payload.as_bytes());
        says(&of(DSSE, envelope.to_string().as_bytes(), &key), reason, word);
    }
    let other = key.envelope_of(b"text/plain", b"hello");
    says(&of(DSSE, other.to_string().as_bytes(), &key), RefusalReason::Unsupported, "text/plain");
}

#[test]
fn several_signatures_are_unsupported_and_none_is_unsigned() {
    let key = Key::generate();
    let mut several = envelope(&key);
    let one = several["signatures"][0].clone();
    several["signatures"] = json!([one, { "sig": Key::generate().sign(b"x") }]);
    says(&of(DSSE, several.to_string().as_bytes(), &key), RefusalReason::Unsupported, "2 signatures");
    several["signatures"] = json!([]);
    says(&of(DSSE, several.to_string().as_bytes(), &key), RefusalReason::Unsigned, "one signature");
}

#[test]
fn an_empty_list_of_subjects_binds_nothing() {
    let key = Key::generate();
    let mut said = statement(PROVENANCE, provenance());
    said["subject"] = json!([]);
    let found = of(BUNDLE, key.bundle(&said).to_string().as_bytes(), &key);
    says(&found, RefusalReason::BadSubject, "digest of a subject");
}
