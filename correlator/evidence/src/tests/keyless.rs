//! Certificates and logs of a small Sigstore that the tests make.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus_schema::Digest;
use bus_schema::verdict::BreakReason;
use correlator_core::facts::{Predicate, RefusalReason, Signer, Statement};
use rcgen::{OtherNameValue, SanType};
use serde_json::{Value, json};

use super::{PROVENANCE, provenance, simple_signing};
use crate::Demands;
use crate::bounds::{
    CERTIFICATES_MAX, CHECKPOINT_BYTES_MAX, CHECKPOINT_SIGNATURES_MAX, ENTRY_BODY_BYTES_MAX,
    PROOF_HASHES_MAX, ROOTS_MAX,
};
use crate::bundle::UnverifiedBundle;
use crate::proof::{Artifact, prove};
use crate::testing::authority::{Authority, SIGNED_AT, rekord, release_claims};
use crate::testing::{
    BUNDLE, DSSE, Key, SIMPLE_SIGNING, image, refused, statement, verified, verify_bytes, verify_layer,
};
use crate::trust::{LogDemand, TrustRoot, TrustSet};
use crate::work::Work;

pub(super) fn trust(authority: &Authority, demands: Demands) -> TrustSet {
    TrustSet::new(vec![authority.root(demands)], vec![]).unwrap()
}

pub(super) fn check(document: &Value, trust: &TrustSet) -> correlator_core::facts::Outcome {
    verify_bytes(BUNDLE, document.to_string().as_bytes(), trust)
}

pub(super) fn reason(document: &Value, trust: &TrustSet) -> RefusalReason {
    refused(check(document, trust)).reason
}

#[track_caller]
fn assert_release(found: &Statement) {
    let Signer::Keyless(claims) = &found.signer else { panic!("{:?}", found.signer) };
    assert_eq!(claims.issuer.as_deref(), Some("https://token.actions.githubusercontent.com"));
    assert_eq!(claims.source_repository_id.as_deref(), Some("11"));
    assert_eq!(found.signed_at.map(|time| time.as_second()), Some(SIGNED_AT + 60));
    assert_eq!(found.root.as_ref().map(|root| root.name.as_str()), Some("test"));
}

#[test]
fn provenance_signed_by_a_certificate_is_verified_with_everything_that_is_demanded() {
    let authority = Authority::new();
    let identity = authority.identity(&release_claims());
    let bundle = authority.bundle(&identity, &statement(PROVENANCE, provenance()));
    let found = verified(check(&bundle, &trust(&authority, Demands::default())));
    assert_release(&found);
    // What it rests on is told apart, so that the contracts can withdraw it.
    assert_eq!(found.rests_on, authority.parts());
    assert_eq!(found.subjects, [image()]);
    let Predicate::Provenance(read) = found.predicate else { panic!("{:?}", found.predicate) };
    assert_eq!((read.slsa_level, read.disagreements), (2, vec![]));
}

/// The same bundle with a certificate beside the signer's.
pub(super) fn with_chain(bundle: &Value, certificate: &[u8]) -> Value {
    let mut changed = bundle.clone();
    let leaf = changed["verificationMaterial"].as_object_mut().unwrap().remove("certificate").unwrap();
    let chain = json!({ "certificates": [leaf, { "rawBytes": STANDARD.encode(certificate) }] });
    changed["verificationMaterial"]["x509CertificateChain"] = chain;
    changed["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.2");
    changed
}

/// The verifying crate has no word for the curve P-521: not in authorities, not in logs, not between the two.
#[test]
fn authorities_and_logs_may_have_keys_on_p521() {
    let said = statement(PROVENANCE, provenance());
    let usual = Authority::new();
    for authority in
        [Authority::on_p521(), Authority::of_certificates_on_p521(), Authority::of_a_log_on_p521()]
    {
        let all = trust(&authority, Demands::default());
        let bundle = authority.bundle(&authority.identity(&release_claims()), &said);
        let found = verified(check(&bundle, &all));
        assert_release(&found);
        assert_eq!(found.rests_on, authority.parts());
        refused(check(&bundle, &trust(&usual, Demands::default())));
        refused(check(&usual.bundle(&usual.identity(&release_claims()), &said), &all));
        let unproven = authority.bundle(&authority.identity_without_proof(&release_claims()), &said);
        assert_eq!(reason(&unproven, &all), RefusalReason::BadCertificateTransparency);
        // Both logs of one id: the root is refused, whatever the keys are of.
        let mut root = authority.root_json(None);
        let log = root["tlogs"][0].clone();
        root["tlogs"].as_array_mut().unwrap().push(log);
        TrustRoot::from_json("twice", &root.to_string(), Demands::default()).unwrap_err();
        let mut root = authority.root_json(Some("2019-01-01T00:00:00Z"));
        TrustRoot::from_json("ended", &root.to_string(), Demands::default()).unwrap_err();
        root["tlogs"][0]["publicKey"]["rawBytes"] = json!("AAAA");
        TrustRoot::from_json("no key", &root.to_string(), Demands::default()).unwrap_err();
        let ended = authority.root_json(Some("2024-01-01T00:00:00Z")).to_string();
        let ended = TrustRoot::from_json("ended", &ended, Demands::default()).unwrap();
        let ended = TrustSet::new(vec![ended], vec![]).unwrap();
        assert_eq!(reason(&bundle, &ended), RefusalReason::BadLogEntry);
    }
}

#[test]
fn one_signature_may_be_in_two_logs_with_the_same_body() {
    let (authority, other) = (Authority::new(), Authority::new());
    let bundle =
        authority.bundle(&authority.identity(&release_claims()), &statement(PROVENANCE, provenance()));
    let first = bundle["verificationMaterial"]["tlogEntries"][0].clone();
    let body = STANDARD.decode(first["canonicalizedBody"].as_str().unwrap()).unwrap();
    let (promise, proof) = other.entry(&body);
    let mut second = first.clone();
    second["logId"]["keyId"] = json!(STANDARD.encode(other.log_id()));
    second["inclusionPromise"]["signedEntryTimestamp"] = json!(STANDARD.encode(promise));
    second["inclusionProof"] = proof;
    let with = |entries: &[&Value]| {
        let mut changed = bundle.clone();
        changed["verificationMaterial"]["tlogEntries"] = json!(entries);
        changed
    };
    let mut both = authority.root_json(None);
    both["tlogs"].as_array_mut().unwrap().push(other.root_json(None)["tlogs"][0].clone());
    let both = TrustRoot::from_json("test", &both.to_string(), Demands::default()).unwrap();
    let both = TrustSet::new(vec![both], vec![]).unwrap();
    let found = verified(check(&with(&[&first, &second]), &both));
    assert_release(&found);
    let logs = &found.rests_on.logs;
    assert!(logs.is_superset(&authority.parts().logs) && logs.len() == authority.parts().logs.len() + 1);
    // Each entry counts, and in each log once.
    assert_eq!(reason(&with(&[&first, &second, &first]), &both), RefusalReason::Malformed);
    let one = trust(&authority, Demands::default());
    assert_eq!(reason(&with(&[&first, &second]), &one), RefusalReason::BadLogEntry);
    let mut unsigned = second.clone();
    unsigned["inclusionPromise"] = first["inclusionPromise"].clone();
    assert_eq!(reason(&with(&[&first, &unsigned]), &both), RefusalReason::BadLogEntry);
    unsigned = second.clone();
    unsigned["inclusionProof"] = first["inclusionProof"].clone();
    assert_eq!(reason(&with(&[&first, &unsigned]), &both), RefusalReason::BadLogEntry);
}

#[test]
fn a_certificate_between_may_have_a_key_on_p521() {
    let root = Authority::new();
    let (between, certificate) = root.between_on_p521();
    let bundle = between.bundle(&between.identity(&release_claims()), &statement(PROVENANCE, provenance()));
    let with_chain = with_chain(&bundle, &certificate);
    // Its logs are its own; its certificates are the root's.
    let mut trusted = between.root_json(None);
    trusted["certificateAuthorities"] = root.root_json(None)["certificateAuthorities"].clone();
    let trusted = TrustRoot::from_json("test", &trusted.to_string(), Demands::default()).unwrap();
    let trusted = TrustSet::new(vec![trusted], vec![]).unwrap();
    assert_release(&verified(check(&with_chain, &trusted)));
    assert_eq!(reason(&bundle, &trusted), RefusalReason::UntrustedSigner);
}

#[test]
fn what_the_certificate_contradicts_is_listed() {
    let authority = Authority::new();
    let claims: Vec<(u64, String)> = release_claims()
        .into_iter()
        .map(|(number, text)| match number {
            12 => (number, "https://github.com/acme/other".to_owned()),
            13 => (number, "b".repeat(40)),
            14 => (number, "refs/heads/dev".to_owned()),
            15 => (number, "12".to_owned()),
            18 => {
                (number, "https://github.com/acme/api/.github/workflows/other.yml@refs/heads/main".to_owned())
            }
            20 => (number, "pull_request".to_owned()),
            21 => (number, "https://github.com/acme/api/actions/runs/7/attempts/3".to_owned()),
            _ => (number, text),
        })
        .collect();
    let mut predicate = provenance();
    predicate["runDetails"]["builder"]["id"] =
        json!("https://github.com/acme/api/.github/workflows/x.yml@refs/heads/main");
    let bundle = authority.bundle(&authority.identity(&claims), &statement(PROVENANCE, predicate));
    let found = verified(check(&bundle, &trust(&authority, Demands::default())));
    let Predicate::Provenance(read) = found.predicate else { panic!("{:?}", found.predicate) };
    let reasons: Vec<BreakReason> = read.disagreements.iter().map(|one| one.reason.clone()).collect();
    let expected = [
        BreakReason::WrongBuilder,
        BreakReason::WrongRepository,
        BreakReason::WrongCommit,
        BreakReason::WrongRef,
        BreakReason::WrongWorkflow,
        BreakReason::WrongTrigger,
        BreakReason::RunContradicts,
    ];
    assert_eq!(reasons, expected);
}

#[test]
fn each_claim_that_is_contradicted_is_told_by_itself() {
    let authority = Authority::new();
    for (number, certified, reason) in [
        (12, "https://github.com/acme/other", BreakReason::WrongRepository),
        (13, "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", BreakReason::WrongCommit),
        (14, "refs/heads/dev", BreakReason::WrongRef),
        (15, "12", BreakReason::WrongRepository),
        (
            18,
            "https://github.com/acme/api/.github/workflows/other.yml@refs/heads/main",
            BreakReason::WrongWorkflow,
        ),
        (20, "pull_request", BreakReason::WrongTrigger),
        (21, "https://github.com/acme/api/actions/runs/7/attempts/3", BreakReason::RunContradicts),
        (21, "https://github.com/acme/api/actions/runs/8/attempts/2", BreakReason::RunContradicts),
    ] {
        let mut claims = release_claims();
        claims.iter_mut().find(|claim| claim.0 == number).unwrap().1 = certified.to_owned();
        // Of two repositories of one id one was renamed: the name alone decides where the predicate has no id.
        let mut predicate = provenance();
        if number == 12 {
            predicate["buildDefinition"]["internalParameters"] = json!({});
        }
        let bundle = authority.bundle(&authority.identity(&claims), &statement(PROVENANCE, predicate));
        let found = verified(check(&bundle, &trust(&authority, Demands::default())));
        let Predicate::Provenance(read) = found.predicate else { panic!("{:?}", found.predicate) };
        let [disagreement] = &read.disagreements[..] else { panic!("{number}: {:?}", read.disagreements) };
        assert_eq!(disagreement.reason, reason, "{number}");
    }
}

#[test]
fn image_signatures_and_attestations_of_cosigns_older_formats_are_verified() {
    let authority = Authority::new();
    let identity = authority.identity(&release_claims());
    let trust = trust(&authority, Demands::default());
    let layer = simple_signing("cosign container image signature", &image().to_string());
    let annotations: BTreeMap<String, String> =
        authority.signature_annotations(&identity, layer.as_bytes()).into_iter().collect();
    let found = verified(verify_layer(SIMPLE_SIGNING, layer.as_bytes(), &annotations, &trust));
    assert_release(&found);
    assert_eq!(found.subjects, [image()]);
    for part in ["certificate", "bundle"] {
        let mut without = annotations.clone();
        without.remove(&format!("dev.sigstore.cosign/{part}"));
        refused(verify_layer(SIMPLE_SIGNING, layer.as_bytes(), &without, &trust));
    }
    let stranger = Authority::new();
    let signature = stranger.signature_annotations(&stranger.identity(&release_claims()), layer.as_bytes());
    let found =
        refused(verify_layer(SIMPLE_SIGNING, layer.as_bytes(), &signature.into_iter().collect(), &trust));
    assert_eq!(found.reason, RefusalReason::BadLogEntry);

    let envelope = identity.envelope(&statement(PROVENANCE, provenance()));
    let bytes = envelope.to_string();
    let payload = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    let older = |hash: &Digest| {
        json!({
            "apiVersion": "0.0.1",
            "kind": "intoto",
            "spec": {
                "content": {
                    "hash": { "algorithm": "sha256", "value": hash.hex() },
                    "payloadHash": { "algorithm": "sha256", "value": Digest::sha256_of(&payload).hex() },
                },
                "publicKey": STANDARD.encode(identity.pem()),
            },
        })
    };
    let verify = |body: &Value| {
        let annotations = authority.annotations(&identity, body.to_string().as_bytes()).into_iter().collect();
        verify_layer(DSSE, bytes.as_bytes(), &annotations, &trust)
    };
    let found = verified(verify(&older(&Digest::sha256_of(bytes.as_bytes()))));
    assert_release(&found);
    assert_eq!(found.rests_on, authority.parts());
    assert_eq!(refused(verify(&older(&image()))).reason, RefusalReason::BadLogEntry);
    let unknown = json!({ "apiVersion": "0.0.1", "kind": "tuf", "spec": {} });
    assert_eq!(refused(verify(&unknown)).reason, RefusalReason::Unsupported);
}

/// An entry of kind `rekord` 0.0.1, as cosign wrote it for signatures of images in 2021.
#[test]
fn the_older_entry_of_an_image_signature_is_read() {
    let (authority, key, stranger) = (Authority::new(), Key::generate(), Key::generate());
    let identity = authority.identity(&release_claims());
    let layer = simple_signing("cosign container image signature", &image().to_string());
    let other_layer = layer.replace("\"7\"", "\"8\"");
    assert_ne!(layer, other_layer);
    let signer = [(&identity.pem(), Some(&*identity.certificate)), (&key.pem(), None)];
    for (pem, certificate) in signer {
        let sign = |layer: &str| match certificate {
            Some(_) => identity.sign(layer.as_bytes()),
            None => key.sign(layer.as_bytes()),
        };
        let signature = sign(&layer);
        let body = |layer: &str, signature: &str, pem: &str| rekord(layer.as_bytes(), signature, pem);
        let keys = match certificate {
            Some(_) => vec![],
            None => vec![key.trusted(LogDemand::Required)],
        };
        let trust = TrustSet::new(vec![authority.root(Demands::default())], keys).unwrap();
        let verify_as = |media_type: &str, layer: &str, by: &Authority, body: &Value| {
            let annotations = by.annotations_of(certificate, body.to_string().as_bytes());
            let mut annotations: BTreeMap<String, String> = annotations.into_iter().collect();
            annotations.insert(super::SIGNATURE.to_owned(), signature.clone());
            annotations.remove("dev.sigstore.cosign/chain");
            verify_layer(media_type, layer.as_bytes(), &annotations, &trust)
        };
        let verify = |body: &Value| verify_as(SIMPLE_SIGNING, &layer, &authority, body);
        let good = body(&layer, &signature, pem);
        let found = verified(verify(&good));
        assert_eq!(found.signed_at.map(|time| time.as_second()), Some(SIGNED_AT + 60));
        assert_eq!(found.subjects, [image()]);
        match certificate {
            Some(_) => assert_eq!(found.rests_on, authority.parts()),
            None => {
                assert_eq!(found.signer, Signer::Key { fingerprint: key.fingerprint(), logged: true });
                let log = Digest::Sha256(authority.log_id().try_into().unwrap());
                assert_eq!(found.rests_on.logs, [log].into());
            }
        }
        let changed = |place: &str, value: Value| {
            let mut changed = good.clone();
            *changed.pointer_mut(place).unwrap() = value;
            changed
        };
        let another_certificate = authority.identity_without_proof(&release_claims()).pem();
        for other in [
            body(&other_layer, &signature, pem),
            body(&layer, &sign(&layer), pem),
            body(&layer, &sign(&other_layer), pem),
            body(&layer, &signature, &stranger.pem()),
            body(&layer, &signature, &another_certificate),
            body(&layer, &signature, &format!("{pem}{pem}")),
            changed("/kind", json!("intoto")),
            changed("/apiVersion", json!("0.0.2")),
            changed("/spec/signature/format", json!("pgp")),
            changed("/spec/data/hash/algorithm", json!("sha512")),
        ] {
            let found = refused(verify(&other)).reason;
            let reasons = [RefusalReason::BadLogEntry, RefusalReason::Unsupported];
            assert!(reasons.contains(&found), "{found:?}: {other}");
        }
        // Signed by nobody, promised by nobody, and no entry of an attestation.
        let logged = body(&other_layer, &signature, pem);
        let found = refused(verify_as(SIMPLE_SIGNING, &other_layer, &authority, &logged));
        assert_eq!(found.reason, RefusalReason::BadSignature);
        let found = refused(verify_as(SIMPLE_SIGNING, &layer, &Authority::new(), &good));
        assert!(matches!(found.reason, RefusalReason::BadLogEntry | RefusalReason::BadTime), "{found:?}");
        let envelope = match certificate {
            Some(_) => identity.envelope(&statement(PROVENANCE, provenance())),
            None => key.envelope(&statement(PROVENANCE, provenance())),
        };
        let envelope = envelope.to_string();
        let found = refused(verify_as(DSSE, &envelope, &authority, &body(&envelope, &signature, pem)));
        assert_eq!(found.reason, RefusalReason::BadLogEntry);
    }
}

/// An entry of kind `intoto` 0.0.1 by a key, as `cosign attest --key` wrote it until 2023.
#[test]
fn the_older_entry_of_an_envelope_may_name_a_key() {
    let (authority, key, stranger) = (Authority::new(), Key::generate(), Key::generate());
    let envelope = key.envelope(&statement(PROVENANCE, provenance())).to_string();
    let payload = statement(PROVENANCE, provenance()).to_string();
    let body = |envelope: &str, payload: &str, key: &Key| {
        let hash =
            |text: &str| json!({ "algorithm": "sha256", "value": Digest::sha256_of(text.as_bytes()).hex() });
        let content = json!({ "hash": hash(envelope), "payloadHash": hash(payload) });
        let spec = json!({ "content": content, "publicKey": STANDARD.encode(key.pem()) });
        json!({ "apiVersion": "0.0.1", "kind": "intoto", "spec": spec }).to_string()
    };
    let verify = |by: &Authority, body: &str, demand: LogDemand| {
        let root = authority.root(Demands::default());
        let trust = TrustSet::new(vec![root], vec![key.trusted(demand)]).unwrap();
        let annotations = by.annotations_of(None, body.as_bytes()).into_iter().collect();
        verify_layer(DSSE, envelope.as_bytes(), &annotations, &trust)
    };
    let good = body(&envelope, &payload, &key);
    for demand in [LogDemand::Required, LogDemand::NotRequired] {
        let found = verified(verify(&authority, &good, demand));
        assert_eq!(found.signer, Signer::Key { fingerprint: key.fingerprint(), logged: true });
        assert_eq!(found.signed_at.map(|time| time.as_second()), Some(SIGNED_AT + 60));
        assert_eq!(found.rests_on.logs, [Digest::Sha256(authority.log_id().try_into().unwrap())].into());
        for other in [
            body("another envelope", &payload, &key),
            body(&envelope, "another payload", &key),
            body(&envelope, &payload, &stranger),
        ] {
            assert_eq!(refused(verify(&authority, &other, demand)).reason, RefusalReason::BadLogEntry);
        }
    }
    // A log that no root knows dates nothing.
    let unknown = Authority::new();
    let found = refused(verify(&unknown, &good, LogDemand::Required));
    assert_eq!(found.reason, RefusalReason::BadLogEntry);
    let found = verified(verify(&unknown, &good, LogDemand::NotRequired));
    assert_eq!(found.signer, Signer::Key { fingerprint: key.fingerprint(), logged: false });
}

#[test]
fn each_part_is_demanded_unless_the_contract_says_otherwise() {
    let authority = Authority::new();
    let said = statement(PROVENANCE, provenance());
    let all = Demands::default();
    let without_proof = authority.bundle(&authority.identity_without_proof(&release_claims()), &said);
    assert_eq!(reason(&without_proof, &trust(&authority, all)), RefusalReason::BadCertificateTransparency);
    let lenient = Demands { certificate_transparency: false, ..all };
    assert_release(&verified(check(&without_proof, &trust(&authority, lenient))));

    let mut unlogged = authority.bundle(&authority.identity(&release_claims()), &said);
    unlogged["verificationMaterial"]["tlogEntries"] = json!([]);
    assert_eq!(reason(&unlogged, &trust(&authority, all)), RefusalReason::BadLogEntry);
    let no_log = Demands { log: false, ..all };
    assert_eq!(reason(&unlogged, &trust(&authority, no_log)), RefusalReason::BadTime);
    let nothing = Demands { log: false, signed_time: false, ..all };
    let found = verified(check(&unlogged, &trust(&authority, nothing)));
    assert_eq!(found.signed_at, None);
    let mut other = unlogged.clone();
    other["verificationMaterial"]["certificate"]["rawBytes"] = {
        let identity = authority.identity(&release_claims());
        json!(STANDARD.encode(identity.certificate))
    };
    assert_eq!(reason(&other, &trust(&authority, nothing)), RefusalReason::BadSignature);
    let bare = without_log(&without_proof);
    assert_eq!(reason(&bare, &trust(&authority, nothing)), RefusalReason::BadCertificateTransparency);
}

fn without_log(bundle: &Value) -> Value {
    let mut bundle = bundle.clone();
    bundle["verificationMaterial"]["tlogEntries"] = json!([]);
    bundle
}

#[test]
fn the_root_that_issued_the_certificate_is_found_and_its_refusal_is_told() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let other =
        TrustRoot::from_json("another", &stranger.root_json(None).to_string(), Demands::default()).unwrap();
    let both = TrustSet::new(vec![other, authority.root(Demands::default())], vec![]).unwrap();
    let bundle =
        authority.bundle(&authority.identity(&release_claims()), &statement(PROVENANCE, provenance()));
    assert_release(&verified(check(&bundle, &both)));
    let mut changed = bundle.clone();
    let signature = Key::generate().envelope(&statement(PROVENANCE, provenance()))["signatures"].clone();
    changed["dsseEnvelope"]["signatures"] = signature;
    assert_eq!(reason(&changed, &both), RefusalReason::BadSignature);
    assert_eq!(reason(&bundle, &TrustSet::new(vec![], vec![]).unwrap()), RefusalReason::UntrustedSigner);
}

#[test]
fn the_fields_that_nobody_signs_must_agree_with_those_that_somebody_does() {
    let authority = Authority::new();
    let trust = trust(&authority, Demands::default());
    let bundle =
        authority.bundle(&authority.identity(&release_claims()), &statement(PROVENANCE, provenance()));

    // A log without a tree says any size beside its one entry.
    verified(check(&authority.with_checkpoint_size(&bundle, 42), &trust));
    let change = |pointer: &str, value: Value| {
        let mut changed = bundle.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        reason(&changed, &trust)
    };
    let entry = "/verificationMaterial/tlogEntries/0";
    assert_eq!(change(&format!("{entry}/inclusionProof/treeSize"), json!("2")), RefusalReason::BadLogEntry);
    assert_eq!(change(&format!("{entry}/logIndex"), json!("6")), RefusalReason::BadLogEntry);
    assert_eq!(
        change(&format!("{entry}/integratedTime"), json!((SIGNED_AT + 61).to_string())),
        RefusalReason::BadLogEntry
    );
    assert_eq!(
        change("/dsseEnvelope/signatures/0", {
            let mut signature = bundle["dsseEnvelope"]["signatures"][0].clone();
            signature["keyid"] = json!("mine");
            signature
        }),
        RefusalReason::Malformed
    );
    let checkpoint = format!("{entry}/inclusionProof/checkpoint/envelope");
    let said = bundle.pointer(&checkpoint).unwrap().as_str().unwrap();
    let twice = format!("{said}{}\n", said.lines().last().unwrap());
    assert_eq!(change(&checkpoint, json!(twice)), RefusalReason::Malformed);
    let entries = &bundle["verificationMaterial"]["tlogEntries"][0];
    assert_eq!(
        change("/verificationMaterial/tlogEntries", json!([entries, entries])),
        RefusalReason::Malformed
    );
    let mut bare = entries.clone();
    bare.as_object_mut().unwrap().retain(|key, _| !key.starts_with("inclusion"));
    assert_eq!(change("/verificationMaterial/tlogEntries/0", bare), RefusalReason::BadLogEntry);
}

#[test]
fn a_log_that_had_ended_vouches_for_nothing() {
    let authority = Authority::new();
    let bundle =
        authority.bundle(&authority.identity(&release_claims()), &statement(PROVENANCE, provenance()));
    let with_log_until = |until: &str| {
        let root = authority.root_json(Some(until)).to_string();
        TrustSet::new(vec![TrustRoot::from_json("test", &root, Demands::default()).unwrap()], vec![]).unwrap()
    };
    assert_release(&verified(check(&bundle, &with_log_until("2024-01-02T00:01:00Z"))));
    assert_eq!(reason(&bundle, &with_log_until("2024-01-02T00:00:59Z")), RefusalReason::BadLogEntry);
}

#[test]
fn a_key_and_a_root_do_not_stand_in_for_each_other() {
    let authority = Authority::new();
    let key = Key::generate();
    let said = statement(PROVENANCE, provenance());
    let both =
        TrustSet::new(vec![authority.root(Demands::default())], vec![key.trusted(LogDemand::Required)])
            .unwrap();
    assert_eq!(reason(&key.bundle(&said), &both), RefusalReason::BadLogEntry);
    let mut mixed = key.bundle(&said);
    let keyless = authority.bundle(&authority.identity(&release_claims()), &said);
    mixed["verificationMaterial"]["tlogEntries"] = keyless["verificationMaterial"]["tlogEntries"].clone();
    assert_eq!(reason(&mixed, &both), RefusalReason::BadLogEntry);
}

#[test]
fn certificates_that_no_chain_needs_are_refused_in_a_bounded_number_of_steps() {
    let authority = Authority::new();
    let identity = authority.identity(&release_claims());
    let mut bundle = authority.bundle(&identity, &statement(PROVENANCE, provenance()));
    let chain = |others: &[Vec<u8>]| {
        let all = std::iter::once(&identity.certificate).chain(others);
        let certificates: Vec<Value> = all.map(|der| json!({ "rawBytes": STANDARD.encode(der) })).collect();
        json!({ "certificates": certificates })
    };
    let material = bundle["verificationMaterial"].as_object_mut().unwrap();
    material.remove("certificate");
    bundle["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.2");
    // Every root takes the certificate for its own until the log's keys are looked at.
    let roots = |count: usize| {
        let own = authority.root_json(None);
        let other = Authority::new().root_json(None);
        let root = |number: usize| {
            let mut root = own.clone();
            root["tlogs"] = other["tlogs"].clone();
            TrustRoot::from_json(&format!("r{number}"), &root.to_string(), Demands::default()).unwrap()
        };
        let last = std::iter::once(authority.root(Demands::default()));
        TrustSet::new((1..count).map(root).chain(last).collect(), vec![]).unwrap()
    };
    let trust = roots(ROOTS_MAX);
    let mut attempt = |others: &[Vec<u8>]| {
        bundle["verificationMaterial"]["x509CertificateChain"] = chain(others);
        let unverified = UnverifiedBundle::from_json(bundle.to_string().as_bytes()).unwrap();
        let mut work = Work::default();
        let result = prove(&unverified, Artifact::Digest(image()), &trust, &mut work);
        assert!(work.steps() <= ROOTS_MAX + 1, "{} steps", work.steps());
        result
    };
    attempt(&[authority.certificate().to_vec()]).unwrap();
    let strangers: Vec<Vec<u8>> =
        (0..CERTIFICATES_MAX - 1).map(|_| Authority::new().certificate().to_vec()).collect();
    let refused = attempt(&strangers).unwrap_err();
    assert_eq!(refused.reason, RefusalReason::BadCertificate, "{refused:?}");
    assert_eq!(refused.expected, "certificates of the chain only");
}

#[test]
fn the_parts_of_a_log_entry_have_bounds_of_their_own() {
    let authority = Authority::new();
    let trust = trust(&authority, Demands::default());
    let bundle =
        authority.bundle(&authority.identity(&release_claims()), &statement(PROVENANCE, provenance()));
    let entry = "/verificationMaterial/tlogEntries/0";
    let change = |place: &str, value: Value| {
        let mut changed = bundle.clone();
        *changed.pointer_mut(&format!("{entry}/{place}")).unwrap() = value;
        refused(check(&changed, &trust))
    };
    let hashes = vec![json!(STANDARD.encode([0; 32])); PROOF_HASHES_MAX + 1];
    let found = change("inclusionProof/hashes", json!(hashes));
    assert_eq!(found.reason, RefusalReason::TooLarge, "{found:?}");
    let checkpoint = bundle.pointer(&format!("{entry}/inclusionProof/checkpoint/envelope")).unwrap();
    let checkpoint = checkpoint.as_str().unwrap();
    let signature = checkpoint.lines().last().unwrap();
    let many = format!("{checkpoint}{}", format!("{signature}\n").repeat(CHECKPOINT_SIGNATURES_MAX));
    let found = change("inclusionProof/checkpoint/envelope", json!(many));
    assert_eq!(found.reason, RefusalReason::TooLarge, "{found:?}");
    let (text, signatures) = checkpoint.split_once("\n\n").unwrap();
    let long = format!("{text}\n{}\n\n{signatures}", "x".repeat(CHECKPOINT_BYTES_MAX));
    let found = change("inclusionProof/checkpoint/envelope", json!(long));
    assert_eq!(found.reason, RefusalReason::TooLarge, "{found:?}");
    let found = change("canonicalizedBody", json!(STANDARD.encode(vec![b'x'; ENTRY_BODY_BYTES_MAX + 1])));
    assert_eq!(found.reason, RefusalReason::TooLarge, "{found:?}");
}

#[test]
fn a_signature_that_this_version_cannot_verify_is_no_forgery() {
    let authority = Authority::new();
    let trust = trust(&authority, Demands::default());
    let said = statement(PROVENANCE, provenance());
    let identity = authority.identity(&release_claims());
    // The key's curve becomes prime192v1 (RFC 5480, section 2.1.1.1), which nobody signs with any more.
    let mut certificate = identity.certificate.clone();
    let curve = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let place = certificate.windows(curve.len()).position(|bytes| bytes == curve).unwrap();
    certificate[place + curve.len() - 1] = 0x01;
    let mut bundle = authority.bundle(&identity, &said);
    bundle["verificationMaterial"]["certificate"]["rawBytes"] = json!(STANDARD.encode(certificate));
    let found = refused(check(&bundle, &trust));
    assert_eq!(found.reason, RefusalReason::Unsupported, "{found:?}");
}

/// Clients before 2023 had no checkpoint to write: the promise vouches for the entry, and the proof proves nothing.
#[test]
fn a_proof_without_a_checkpoint_is_let_pass_in_version_0_1_alone() {
    let authority = Authority::new();
    let all = trust(&authority, Demands::default());
    let signed =
        authority.bundle(&authority.identity(&release_claims()), &statement(PROVENANCE, provenance()));
    let mut bundle = signed.clone();
    bundle["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.1");
    proof_of(&mut bundle).as_object_mut().unwrap().remove("checkpoint");
    let found = verified(check(&bundle, &all));
    assert_release(&found);
    assert_eq!(found.rests_on, authority.parts());

    let changed = |change: fn(&mut Value)| {
        let mut other = bundle.clone();
        change(&mut other);
        reason(&other, &all)
    };
    let elsewhere = json!(STANDARD.encode([7; 32]));
    for (field, value) in
        [("rootHash", elsewhere.clone()), ("hashes", json!([elsewhere])), ("logIndex", json!("1"))]
    {
        let mut other = bundle.clone();
        proof_of(&mut other)[field] = value;
        assert_eq!(reason(&other, &all), RefusalReason::BadLogEntry, "{field}");
    }
    // Without the promise nothing is left that vouches for the entry.
    let promise = |bundle: &mut Value| {
        bundle["verificationMaterial"]["tlogEntries"][0].as_object_mut().unwrap().remove("inclusionPromise");
    };
    assert_eq!(changed(promise), RefusalReason::BadLogEntry);
    let newer = |bundle: &mut Value| {
        bundle["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.2");
    };
    assert_eq!(changed(newer), RefusalReason::BadLogEntry);
    for empty in [json!({}), json!({ "envelope": "" })] {
        let mut other = bundle.clone();
        proof_of(&mut other)["checkpoint"] = empty;
        assert_eq!(reason(&other, &all), RefusalReason::Malformed);
    }
}

#[test]
fn a_member_that_is_null_is_an_absent_one() {
    let authority = Authority::new();
    let all = trust(&authority, Demands::default());
    let bundle =
        authority.bundle(&authority.identity(&release_claims()), &statement(PROVENANCE, provenance()));
    let mut silent = bundle.clone();
    silent["dsseEnvelope"]["signatures"][0]["keyid"] = Value::Null;
    silent["messageSignature"] = Value::Null;
    assert_release(&verified(check(&silent, &all)));
    for place in
        ["/dsseEnvelope/signatures/0/sig", "/dsseEnvelope/payload", "/verificationMaterial/certificate"]
    {
        let mut emptied = bundle.clone();
        *emptied.pointer_mut(place).unwrap() = Value::Null;
        refused(check(&emptied, &all));
    }
}

fn proof_of(bundle: &mut Value) -> &mut Value {
    &mut bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]
}

/// fulcio/docs/oid-info.md, 1.3.6.1.4.1.57264.1.7
#[test]
fn a_certificate_may_name_a_user() {
    let authority = Authority::new();
    let all = trust(&authority, Demands::default());
    let named = |oid: &[u64], names: &[&str]| {
        let identity = authority.identity_with(&release_claims(), true, |params| {
            let name = |name: &&str| {
                SanType::OtherName((oid.to_vec(), OtherNameValue::Utf8String((*name).to_owned())))
            };
            params.subject_alt_names = names.iter().map(name).collect();
        });
        check(&authority.bundle(&identity, &statement(PROVENANCE, provenance())), &all)
    };
    let user = [1, 3, 6, 1, 4, 1, 57264, 1, 7];
    let found = verified(named(&user, &["ann!example.com"]));
    let Signer::Keyless(claims) = &found.signer else { panic!("{:?}", found.signer) };
    assert_eq!(claims.subject, "ann!example.com");
    let other = [1, 3, 6, 1, 4, 1, 57264, 1, 77];
    for (oid, names) in
        [(&user, &["ann!example.com", "bob!example.com"][..]), (&user, &[""]), (&other, &["ann!example.com"])]
    {
        assert_eq!(refused(named(oid, names)).reason, RefusalReason::BadCertificate, "{oid:?} {names:?}");
    }
}

/// An authority vouches for its own service without one: GitHub's for the releases on it.
#[test]
fn a_certificate_without_an_issuer_is_verified_and_names_none() {
    let authority = Authority::new();
    let mut claims = release_claims();
    claims.retain(|(number, _)| *number != 8);
    let bundle = authority.bundle(&authority.identity(&claims), &statement(PROVENANCE, provenance()));
    let found = verified(check(&bundle, &trust(&authority, Demands::default())));
    let Signer::Keyless(claims) = &found.signer else { panic!("{:?}", found.signer) };
    assert_eq!(claims.issuer, None);
    let Predicate::Provenance(read) = found.predicate else { panic!("{:?}", found.predicate) };
    assert_eq!(read.slsa_level, 1);
}
