//! Tests of the main flows, with keys and signatures made when they run. Certificates and logs are tested over the real
//! bundles of the fixtures, in `tests/evidence`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod authorities;
mod bad_input;
mod blob_signatures;
mod keyless;
mod producers;
mod schemes;
mod timestamps;

use std::collections::BTreeMap;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use correlator_core::facts::{Predicate, PredicateKind, RefusalReason, Signer};
use serde_json::{Value, json};

use crate::bounds::{ANNOTATIONS_MAX, EVIDENCE_BYTES_MAX, SUBJECTS_MAX};
use crate::testing::{
    BUNDLE, DSSE, Key, SIMPLE_SIGNING, image, refused, statement, verified, verify_bytes, verify_layer,
};
use crate::trust::{LogDemand, TrustSet, TrustedKey};

const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

fn provenance() -> Value {
    json!({
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": { "workflow": {
                "ref": "refs/heads/main",
                "repository": "https://github.com/acme/api",
                "path": ".github/workflows/release.yml",
            } },
            "internalParameters": { "github": {
                "event_name": "push", "repository_id": "11", "repository_owner_id": "22",
            } },
            "resolvedDependencies": [{
                "uri": "git+https://github.com/acme/api@refs/heads/main",
                "digest": { "gitCommit": "a".repeat(40) },
            }],
        },
        "runDetails": {
            "builder": { "id": "https://github.com/actions/runner/github-hosted" },
            "metadata": { "invocationId": "https://github.com/acme/api/actions/runs/7/attempts/2" },
        },
    })
}

fn check(key: &Key, document: &Value) -> correlator_core::facts::Outcome {
    verify_bytes(BUNDLE, document.to_string().as_bytes(), &key.trust())
}

#[test]
fn provenance_in_a_bundle_signed_by_a_key_is_verified_and_normalised() {
    let key = Key::generate();
    let found = verified(check(&key, &key.bundle(&statement(PROVENANCE, provenance()))));
    assert_eq!(found.subjects, [image()]);
    assert_eq!(found.signer, Signer::Key { fingerprint: key.fingerprint(), logged: false });
    assert_eq!((found.signed_at, found.root), (None, None));
    let Predicate::Provenance(found) = found.predicate else { panic!("{:?}", found.predicate) };
    let repository = found.repository.unwrap();
    assert_eq!(repository.path(), "github.com/acme/api");
    assert_eq!(repository.id.unwrap().as_str(), "11");
    assert_eq!(found.git_ref.unwrap().as_str(), "refs/heads/main");
    assert_eq!(found.commit.unwrap().to_string(), "a".repeat(40));
    assert_eq!(
        found.workflow.unwrap().to_string(),
        "github.com/acme/api/.github/workflows/release.yml@refs/heads/main"
    );
    assert_eq!(found.trigger.as_deref(), Some("push"));
    let run = found.run.unwrap();
    assert_eq!((run.id, run.attempt), (7, 2));
    assert_eq!((found.slsa_level, found.disagreements.len()), (1, 0));
}

#[test]
fn an_attestation_layer_of_cosigns_older_format_is_verified() {
    let key = Key::generate();
    let envelope = key.envelope(&statement("https://in-toto.io/Statement/any", json!({}))).to_string();
    let annotations = BTreeMap::from([(SIGNATURE.to_owned(), String::new())]);
    let found = verified(verify_layer(DSSE, envelope.as_bytes(), &annotations, &key.trust()));
    assert_eq!(
        found.predicate,
        Predicate::Other { predicate_type: "https://in-toto.io/Statement/any".to_owned() }
    );
}

fn simple_signing(kind: &str, digest: &str) -> String {
    json!({
        "critical": {
            "identity": { "docker-reference": "registry.example/api" },
            "image": { "docker-manifest-digest": digest },
            "type": kind,
        },
        "optional": { "build": "7", "number": 7 },
    })
    .to_string()
}

#[test]
fn an_image_signature_of_cosigns_older_format_is_verified() {
    let key = Key::generate();
    let other = bus_schema::Digest::sha256_of(b"another image");
    let payload = simple_signing("cosign container image signature", &other.to_string());
    let annotations = BTreeMap::from([(SIGNATURE.to_owned(), key.sign(payload.as_bytes()))]);
    let found = verified(verify_layer(SIMPLE_SIGNING, payload.as_bytes(), &annotations, &key.trust()));
    assert_eq!(found.subjects, [other], "the payload names the image, whatever the layer is attached to");
    let expected = [("build", "7"), ("number", "7")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(found.predicate, Predicate::ImageSignature { annotations: expected.into() });

    let changed = payload.replace("\"7\"", "\"8\"");
    let found = refused(verify_layer(SIMPLE_SIGNING, changed.as_bytes(), &annotations, &key.trust()));
    assert_eq!(found.reason, RefusalReason::BadSignature);
    assert_eq!((found.claims, found.claimed_subjects), (Some(PredicateKind::ImageSignature), vec![other]));
    let found = refused(verify_layer(SIMPLE_SIGNING, payload.as_bytes(), &BTreeMap::new(), &key.trust()));
    assert_eq!(found.reason, RefusalReason::Unsigned);
    for (kind, digest, reason) in [
        ("atomic container signature", other.to_string(), RefusalReason::Unsupported),
        ("cosign container image signature", "latest".to_owned(), RefusalReason::BadSubject),
    ] {
        let payload = simple_signing(kind, &digest);
        let annotations = BTreeMap::from([(SIGNATURE.to_owned(), key.sign(payload.as_bytes()))]);
        let found = refused(verify_layer(SIMPLE_SIGNING, payload.as_bytes(), &annotations, &key.trust()));
        assert_eq!(found.reason, reason);
    }
}

#[test]
fn an_image_signature_as_a_statement_is_verified() {
    let key = Key::generate();
    let mut said = statement("https://sigstore.dev/cosign/sign/v1", json!({}));
    said["subject"][0]["annotations"] = json!({ "team": "payments" });
    let found = verified(check(&key, &key.bundle(&said)));
    let annotations = BTreeMap::from([("team".to_owned(), "payments".to_owned())]);
    assert_eq!(found.predicate, Predicate::ImageSignature { annotations });
}

#[test]
fn a_key_that_must_be_logged_does_not_count_without_a_log_entry() {
    let key = Key::generate();
    let trust = TrustSet::new(vec![], vec![key.trusted(LogDemand::Required)]).unwrap();
    let bundle = key.bundle(&statement(PROVENANCE, provenance())).to_string();
    let found = refused(verify_bytes(BUNDLE, bundle.as_bytes(), &trust));
    assert_eq!(found.reason, RefusalReason::BadLogEntry);
    assert_eq!((found.claims, found.claimed_subjects), (Some(PredicateKind::Provenance), vec![image()]));
}

#[test]
fn only_configured_keys_count() {
    let (key, other) = (Key::generate(), Key::generate());
    let bundle = key.bundle(&statement(PROVENANCE, provenance())).to_string();
    let reason =
        |document: &str, trust: &TrustSet| refused(verify_bytes(BUNDLE, document.as_bytes(), trust)).reason;
    assert_eq!(reason(&bundle, &other.trust()), RefusalReason::UntrustedSigner);
    assert_eq!(reason(&bundle, &TrustSet::new(vec![], vec![]).unwrap()), RefusalReason::UntrustedSigner);
    let mut without_hint: Value = serde_json::from_str(&bundle).unwrap();
    without_hint["verificationMaterial"]["publicKey"]["hint"] = json!("");
    assert_eq!(reason(&without_hint.to_string(), &other.trust()), RefusalReason::BadSignature);
    let both = [&other, &key].map(|key| key.trusted(LogDemand::NotRequired)).to_vec();
    let both = TrustSet::new(vec![], both).unwrap();
    let found = verified(verify_bytes(BUNDLE, without_hint.to_string().as_bytes(), &both));
    assert_eq!(found.signer, Signer::Key { fingerprint: key.fingerprint(), logged: false });
}

/// Every place of a bundle, changed in one way; none of the results verifies.
#[test]
fn nothing_altered_verifies() {
    let key = Key::generate();
    let bundle = key.bundle(&statement(PROVENANCE, provenance()));
    let alter = |change: &dyn Fn(&mut Value)| {
        let mut altered = bundle.clone();
        change(&mut altered);
        assert_ne!(altered, bundle);
        refused(check(&key, &altered)).reason
    };
    let other = Key::generate();
    let other_bundle = other.bundle(&statement(PROVENANCE, provenance()));
    let mut said = statement(PROVENANCE, provenance());
    said["subject"][0]["digest"]["sha256"] = json!(bus_schema::Digest::sha256_of(b"evil").hex());
    let other_payload = key.envelope(&said)["payload"].clone();

    let envelope = |field: &'static str, value: Value| {
        move |altered: &mut Value| altered["dsseEnvelope"][field] = value.clone()
    };
    let signature = other_bundle["dsseEnvelope"]["signatures"].clone();
    assert_eq!(alter(&envelope("signatures", signature)), RefusalReason::BadSignature);
    assert_eq!(alter(&envelope("payload", other_payload)), RefusalReason::BadSignature);
    assert_eq!(alter(&envelope("payloadType", json!("text/plain"))), RefusalReason::Unsupported);
    assert_eq!(alter(&envelope("signatures", json!([]))), RefusalReason::Unsigned);
    let twice = [&bundle, &bundle].map(|bundle| bundle["dsseEnvelope"]["signatures"][0].clone());
    assert_eq!(alter(&envelope("signatures", json!(twice))), RefusalReason::Unsupported);
    let hint = other_bundle["verificationMaterial"]["publicKey"].clone();
    let with_hint = |altered: &mut Value| altered["verificationMaterial"]["publicKey"] = hint.clone();
    assert_eq!(alter(&with_hint), RefusalReason::UntrustedSigner);
    let key_id = hex::encode(other.fingerprint().bytes());
    let with_key_id = |altered: &mut Value| altered["dsseEnvelope"]["signatures"][0]["keyid"] = json!(key_id);
    assert_eq!(alter(&with_key_id), RefusalReason::UntrustedSigner);
    let no_material = |altered: &mut Value| altered["verificationMaterial"] = json!(null);
    assert_eq!(alter(&no_material), RefusalReason::Malformed);
    let version = |altered: &mut Value| {
        altered["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=99.9")
    };
    assert_eq!(alter(&version), RefusalReason::Unsupported);
    let both = |altered: &mut Value| altered["messageSignature"] = json!({ "signature": "AAEC" });
    assert_eq!(alter(&both), RefusalReason::Malformed);
}

#[test]
fn key_ids_in_every_form_that_signers_write_are_read() {
    use base64::Engine as _;
    let key = Key::generate();
    let hash = key.fingerprint();
    let plain = base64::engine::general_purpose::STANDARD_NO_PAD.encode(hash.bytes());
    // The lines of this text end as on Windows; no signer takes its hash with those.
    let of_pem = bus_schema::Digest::sha256_of(key.pem().replace("\r\n", "\n").as_bytes()).hex();
    for name in [hash.hex(), of_pem, format!("SHA256:{plain}"), plain, String::new(), "test".to_owned()] {
        let mut bundle = key.bundle(&statement(PROVENANCE, provenance()));
        bundle["dsseEnvelope"]["signatures"][0]["keyid"] = json!(name);
        bundle["verificationMaterial"]["publicKey"]["hint"] = json!(name);
        verified(check(&key, &bundle));
    }
}

#[test]
fn a_refused_name_of_a_key_is_the_one_that_no_key_answers_to() {
    let (key, other) = (Key::generate(), Key::generate());
    let trust = TrustSet::new(vec![], [&key, &other].map(|key| key.trusted(LogDemand::NotRequired)).into());
    let trust = trust.unwrap();
    let (known, of_other) = (key.fingerprint().hex(), other.fingerprint().hex());
    for (hint, key_id, found) in [
        (&*known, "nobody's", "a key named nobody's".to_owned()),
        ("nobody's", &*known, "a key named nobody's".to_owned()),
        ("", "nobody's", "a key named nobody's".to_owned()),
        (&*known, &*of_other, format!("two keys, named {known} and {of_other}")),
    ] {
        let mut bundle = key.bundle(&statement(PROVENANCE, provenance()));
        bundle["verificationMaterial"]["publicKey"]["hint"] = json!(hint);
        bundle["dsseEnvelope"]["signatures"][0]["keyid"] = json!(key_id);
        let refused = refused(verify_bytes(BUNDLE, bundle.to_string().as_bytes(), &trust));
        assert_eq!((refused.reason, refused.found), (RefusalReason::UntrustedSigner, found));
    }
}

#[test]
fn statements_that_bind_nothing_are_refused() {
    let key = Key::generate();
    let reason = |change: &dyn Fn(&mut Value)| {
        let mut said = statement(PROVENANCE, provenance());
        change(&mut said);
        refused(check(&key, &key.bundle(&said))).reason
    };
    assert_eq!(reason(&|said| said["subject"] = json!([])), RefusalReason::BadSubject);
    assert_eq!(reason(&|said| said["subject"] = json!([{ "name": "api" }])), RefusalReason::BadSubject);
    assert_eq!(reason(&|said| said["subject"][0]["digest"] = json!({})), RefusalReason::BadSubject);
    let sha1 = json!({ "sha1": "a".repeat(40) });
    assert_eq!(reason(&|said| said["subject"][0]["digest"] = sha1.clone()), RefusalReason::BadSubject);
    let short = json!({ "sha256": "aa" });
    assert_eq!(reason(&|said| said["subject"][0]["digest"] = short.clone()), RefusalReason::BadSubject);
    let upper = json!({ "sha256": image().hex().to_uppercase() });
    assert_eq!(reason(&|said| said["subject"][0]["digest"] = upper.clone()), RefusalReason::BadSubject);
    let many: Vec<Value> = (0..=SUBJECTS_MAX)
        .map(|number| json!({ "digest": { "sha256": bus_schema::Digest::sha256_of(&number.to_be_bytes()).hex() } }))
        .collect();
    assert_eq!(reason(&|said| said["subject"] = json!(many)), RefusalReason::TooLarge);
    assert_eq!(
        reason(&|said| said["_type"] = json!("https://in-toto.io/Statement/v9")),
        RefusalReason::Unsupported
    );
    assert_eq!(reason(&|said| said["predicate"] = json!({ "buildDefinition": 7 })), RefusalReason::Malformed);
    assert_eq!(reason(&|said| said["predicateType"] = json!("")), RefusalReason::Malformed);
}

#[test]
fn many_subjects_and_both_algorithms_are_kept_in_order() {
    let key = Key::generate();
    let second = bus_schema::Digest::sha512_of(b"second");
    let mut said = statement(PROVENANCE, provenance());
    said["subject"] = json!([
        { "name": "one", "digest": { "sha256": image().hex(), "sha1": "00" } },
        { "name": "commit", "digest": { "gitCommit": "a".repeat(40) } },
        { "name": "two", "digest": { "sha512": second.hex() } },
        { "name": "one again", "digest": { "sha256": image().hex() } },
    ]);
    assert_eq!(verified(check(&key, &key.bundle(&said))).subjects, [image(), second]);
}

#[test]
fn a_payload_with_two_readings_is_refused_even_when_signed() {
    let key = Key::generate();
    let text = statement(PROVENANCE, provenance()).to_string();
    let twice = text.replacen('{', "{\"_type\":\"https://in-toto.io/Statement/v1\",", 1);
    let envelope = key.envelope_of(b"application/vnd.in-toto+json", twice.as_bytes()).to_string();
    let found = refused(verify_layer(DSSE, envelope.as_bytes(), &BTreeMap::new(), &key.trust()));
    assert_eq!(found.reason, RefusalReason::Malformed);
    assert!(found.found.contains("twice"), "{found:?}");
}

#[test]
fn sboms_are_read_from_signed_attestations_and_named_where_unsigned() {
    let key = Key::generate();
    let document = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.6",
        "components": [{ "name": "a", "components": [{ "name": "b" }] }, { "name": "c" }],
    });
    let facts = |predicate: Value| match verified(check(
        &key,
        &key.bundle(&statement("https://cyclonedx.org/bom", predicate)),
    ))
    .predicate
    {
        Predicate::Sbom(facts) => (facts.format, facts.components),
        other => panic!("{other:?}"),
    };
    assert_eq!(facts(document.clone()), ("CycloneDX 1.6".to_owned(), 3));
    assert_eq!(facts(json!(document.to_string())), ("CycloneDX 1.6".to_owned(), 3));
    assert_eq!(facts(json!({ "Data": document.to_string() })), ("CycloneDX 1.6".to_owned(), 3));
    assert_eq!(
        facts(json!({ "bomFormat": "CycloneDX", "specVersion": "1.6" })),
        ("CycloneDX 1.6".to_owned(), 0)
    );
    let broken = key.bundle(&statement("https://cyclonedx.org/bom", json!({ "components": 7 })));
    let found = refused(check(&key, &broken));
    assert_eq!((found.reason, found.claims), (RefusalReason::Malformed, Some(PredicateKind::Sbom)));

    let bytes = document.to_string();
    let found = refused(verify_bytes("application/vnd.cyclonedx+json", bytes.as_bytes(), &key.trust()));
    assert_eq!((found.reason, found.claims), (RefusalReason::Unsigned, Some(PredicateKind::Sbom)));
    let unsigned = statement(PROVENANCE, provenance()).to_string();
    let found = refused(verify_bytes("application/vnd.in-toto+json", unsigned.as_bytes(), &key.trust()));
    assert_eq!((found.reason, found.claims), (RefusalReason::Unsigned, Some(PredicateKind::Provenance)));
}

#[test]
fn bounds_come_before_everything() {
    let key = Key::generate();
    let large = vec![b' '; EVIDENCE_BYTES_MAX + 1];
    assert_eq!(refused(verify_bytes(BUNDLE, &large, &key.trust())).reason, RefusalReason::TooLarge);
    let many = |prefix: &str| {
        (0..=ANNOTATIONS_MAX).map(|number| (format!("{prefix}{number}"), String::new())).collect()
    };
    let carried = many("dev.sigstore.cosign/");
    assert_eq!(refused(verify_layer(BUNDLE, b"{}", &carried, &key.trust())).reason, RefusalReason::TooLarge);
    // What whoever attached it wrote beside those is no part of it.
    let good = key.bundle(&statement(PROVENANCE, provenance())).to_string();
    verified(verify_layer(BUNDLE, good.as_bytes(), &many("beside "), &key.trust()));
    let mut entries = key.bundle(&statement(PROVENANCE, provenance()));
    entries["verificationMaterial"]["tlogEntries"] = json!(vec![json!({}); 100]);
    assert_eq!(refused(check(&key, &entries)).reason, RefusalReason::TooLarge);
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    assert_eq!(refused(verify_bytes(BUNDLE, deep.as_bytes(), &key.trust())).reason, RefusalReason::TooLarge);
}

#[test]
fn rubbish_of_every_media_type_is_refused() {
    let key = Key::generate();
    let types = [
        BUNDLE,
        DSSE,
        SIMPLE_SIGNING,
        "application/vnd.in-toto+json",
        "application/vnd.pypi.attestation.v1+json",
        "application/vnd.dev.sigstore.bundle+json;version=0.1",
        "application/spdx+json",
        "text/plain",
        "",
        "\u{1b}[31m",
    ];
    let bytes: [&[u8]; 8] =
        [b"", b"null", b"{}", b"[]", b"{\"critical\":{}}", b"\xff\xfe", b"\x1f\x8b\x08", b"\"\\ud800\""];
    for media_type in types {
        for content in bytes {
            let found = refused(verify_bytes(media_type, content, &key.trust()));
            assert!(!found.found.chars().any(char::is_control), "{found:?}");
        }
    }
}

#[test]
fn a_signature_over_a_file_speaks_of_the_digest_it_says_wherever_it_was_found() {
    use base64::Engine as _;
    let key = Key::generate();
    let manifest = b"an image manifest";
    let bundle = |digest: bus_schema::Digest| {
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": { "publicKey": { "hint": "" } },
            "messageSignature": {
                "messageDigest": {
                    "algorithm": "SHA2_256",
                    "digest": base64::engine::general_purpose::STANDARD.encode(digest.bytes()),
                },
                "signature": key.sign(manifest),
            },
        })
    };
    assert_eq!(verified(check(&key, &bundle(image()))).subjects, [image()]);
    let other = bus_schema::Digest::sha256_of(b"another manifest");
    assert_eq!(refused(check(&key, &bundle(other))).reason, RefusalReason::BadSignature);
    let mut silent = bundle(image());
    silent["messageSignature"]["messageDigest"] = json!(null);
    assert_eq!(refused(check(&key, &silent)).reason, RefusalReason::BadSubject);
}

/// A bundle with a signature over the digest of something that lies elsewhere.
fn message_bundle(signature: &[u8], algorithm: &str, digest: &bus_schema::Digest) -> Value {
    json!({
        "mediaType": BUNDLE,
        "verificationMaterial": { "publicKey": { "hint": "" }, "tlogEntries": [] },
        "messageSignature": {
            "messageDigest": { "algorithm": algorithm, "digest": STANDARD.encode(digest.bytes()) },
            "signature": STANDARD.encode(signature),
        },
    })
}

#[test]
fn a_signature_over_a_digest_is_verified_or_says_what_it_needs() {
    let manifest = b"an image manifest";
    let trust = |key: &dyn AsDer<PublicKeyX509Der<'static>>| {
        let der = STANDARD.encode(key.as_der().unwrap().as_ref());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n");
        let key = TrustedKey::from_pem("test", &pem, LogDemand::NotRequired).unwrap();
        TrustSet::new(vec![], vec![key]).unwrap()
    };
    let check = |bundle: &Value, trust: &TrustSet| verify_bytes(BUNDLE, bundle.to_string().as_bytes(), trust);
    let digest = bus_schema::Digest::sha512_of(manifest);

    let p521 = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_ASN1_SIGNING).unwrap();
    let trusted = trust(p521.public_key());
    let signature = p521.sign(&SystemRandom::new(), manifest).unwrap();
    let found = verified(check(&message_bundle(signature.as_ref(), "SHA2_512", &digest), &trusted));
    assert_eq!(found.subjects, [digest]);
    let other = bus_schema::Digest::sha512_of(b"another");
    let found = refused(check(&message_bundle(signature.as_ref(), "SHA2_512", &other), &trusted));
    assert_eq!(found.reason, RefusalReason::BadSignature);
    for spelling in ["sha2_512", "sha512", "SHA-512"] {
        let found = refused(check(&message_bundle(signature.as_ref(), spelling, &digest), &trusted));
        assert_eq!(found.reason, RefusalReason::Unsupported, "{spelling}");
    }

    let mut of_48_bytes = message_bundle(signature.as_ref(), "SHA2_384", &digest);
    of_48_bytes["messageSignature"]["messageDigest"]["digest"] = json!(STANDARD.encode([7; 48]));
    assert_eq!(refused(check(&of_48_bytes, &trusted)).reason, RefusalReason::Unsupported);

    let ed25519 = Ed25519KeyPair::generate().unwrap();
    let bundle = message_bundle(ed25519.sign(manifest).as_ref(), "SHA2_512", &digest);
    let found = refused(check(&bundle, &trust(ed25519.public_key())));
    assert_eq!(found.reason, RefusalReason::Unsupported, "{found:?}");
}

#[test]
fn what_is_said_beside_one_subject_is_not_said_of_another() {
    let key = Key::generate();
    let mut said = statement("https://sigstore.dev/cosign/sign/v1", json!({}));
    let other = bus_schema::Digest::sha256_of(b"another image").hex();
    said["subject"][0]["annotations"] = json!({ "env": "prod", "team": "a" });
    let second = json!({ "digest": { "sha256": other }, "annotations": { "env": "dev", "team": "a" } });
    said["subject"].as_array_mut().unwrap().push(second);
    let found = verified(check(&key, &key.bundle(&said)));
    assert_eq!(found.subjects.len(), 2);
    let common = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
    assert_eq!(found.predicate, Predicate::ImageSignature { annotations: common });
}
