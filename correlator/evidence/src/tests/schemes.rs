//! Signatures by every scheme, with and without log entries, and each part of them altered.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus_schema::Digest;
use correlator_core::facts::{Refusal, RefusalReason, RootParts, Signer};
use serde_json::{Value, json};

use super::{PROVENANCE, provenance};
use crate::Demands;
use crate::proof::{Artifact, Proof, verify_bundle};
use crate::testing::authority::{Authority, SIGNED_AT};
use crate::testing::schemes::{Content, Form, Logged, SchemeKey, Signing, entry, hash};
use crate::testing::{image, refused, statement, verify_layer};
use crate::trust::{LogDemand, TrustSet};

const MANIFEST: &[u8] = b"an image manifest";

/// What one signer of the tests may sign, and what is asked to verify it.
struct Case<'a> {
    authority: &'a Authority,
    key: &'a SchemeKey,
    by_certificate: bool,
    /// Whether an envelope is signed.
    is_envelope: bool,
}

impl Case<'_> {
    fn signing(&self) -> Signing {
        let said = statement(PROVENANCE, provenance());
        let content = if self.is_envelope { Content::Statement(&said) } else { Content::Message(MANIFEST) };
        let certificate = self.by_certificate.then(|| self.key.certificate(self.authority));
        Signing::new(self.key, certificate, content)
    }

    /// The kinds of log entries that this may have. A certificate needs the time that only logs of version 1 promise.
    fn entries(&self) -> Vec<Vec<Logged>> {
        let of_version_1: &[Logged] =
            if self.is_envelope { &[Logged::Dsse, Logged::Intoto] } else { &[Logged::HashedRekord] };
        let mut entries: Vec<Vec<Logged>> = of_version_1.iter().map(|kind| vec![*kind]).collect();
        if self.by_certificate {
            entries.push(vec![of_version_1[0], Logged::HashedRekord2]);
        } else {
            entries.push(vec![Logged::HashedRekord2]);
        }
        entries
    }

    fn verify(&self, bundle: &Value) -> Result<Proof, Refusal> {
        self.verify_with(bundle, LogDemand::Required, Demands::default())
    }

    fn verify_with(&self, bundle: &Value, log: LogDemand, demands: Demands) -> Result<Proof, Refusal> {
        let keys = if self.by_certificate { vec![] } else { vec![self.key.trusted(log)] };
        let trust = TrustSet::new(vec![self.authority.root(demands)], keys).unwrap();
        verify_bundle(bundle.to_string().as_bytes(), Artifact::Bytes(MANIFEST), &trust)
    }
}

/// Every scheme by a certificate and by a key, over a message and over an envelope.
fn each_case(mut check: impl FnMut(&Case<'_>)) {
    let authority = Authority::new();
    for form in Form::ALL {
        let key = SchemeKey::generate(form);
        for (by_certificate, is_envelope) in [(false, false), (false, true), (true, false), (true, true)] {
            check(&Case { authority: &authority, key: &key, by_certificate, is_envelope });
        }
    }
}

/// Logs take plain Ed25519 over envelopes only, and Ed25519ph over digests only (client specification, 4.4; sigstore/rekor,
/// `options.WithED25519ph`).
fn is_of_a_log(form: Form, entries: &[Logged]) -> bool {
    let is_digest = |kind: &Logged| matches!(kind, Logged::HashedRekord | Logged::HashedRekord2);
    match form {
        Form::Ed25519 => !entries.iter().any(is_digest),
        Form::Ed25519ph => entries.iter().all(is_digest),
        _ => true,
    }
}

#[test]
fn every_scheme_is_verified_with_every_kind_of_log_entry_that_its_logs_write() {
    let (mut verified, mut not_of_a_log) = (0, 0);
    each_case(|case| {
        let signing = case.signing();
        for entries in case.entries() {
            let what = format!("{:?} {} {entries:?}", case.key.form, case.by_certificate);
            let found = case.verify(&signing.bundle(case.authority, &entries));
            if !is_of_a_log(case.key.form, &entries) {
                let found = found.unwrap_err();
                assert_eq!(found.reason, RefusalReason::BadLogEntry, "{what}: {found:?}");
                assert!(found.expected.contains("scheme"), "{what}: {found:?}");
                not_of_a_log += 1;
                continue;
            }
            let found = found.unwrap_or_else(|refused| panic!("{what}: {refused:?}"));
            let promised = entries.iter().any(|kind| *kind != Logged::HashedRekord2);
            assert_eq!(
                found.signed_at.map(|at| at.as_second()),
                promised.then_some(SIGNED_AT + 60),
                "{what}"
            );
            match &found.signer {
                Signer::Keyless(claims) => {
                    assert!(case.by_certificate, "{what}");
                    assert_eq!(claims.source_repository_id.as_deref(), Some("11"), "{what}");
                    assert_eq!(found.rests_on, case.authority.parts(), "{what}");
                }
                Signer::Key { fingerprint, logged } => {
                    assert!(!case.by_certificate && *logged, "{what}");
                    assert_eq!(*fingerprint, Digest::sha256_of(&case.key.spki()), "{what}");
                    assert_eq!(found.rests_on.logs.len(), 1, "{what}");
                }
                other => panic!("{what}: {other:?}"),
            }
            verified += 1;
        }
    });
    assert_eq!((verified, not_of_a_log), (69, 11));
}

#[test]
fn every_scheme_is_verified_without_a_log_where_none_is_demanded() {
    let undated = Demands { log: false, signed_time: false, ..Demands::default() };
    each_case(|case| {
        let bundle = case.signing().bundle_with(vec![]);
        let found = case.verify_with(&bundle, LogDemand::NotRequired, undated);
        let form = case.key.form;
        match (case.by_certificate, case.is_envelope) {
            (false, _) => {
                let found = found.unwrap_or_else(|refused| panic!("{form:?}: {refused:?}"));
                assert_eq!((found.signed_at, found.rests_on), (None, RootParts::default()), "{form:?}");
            }
            (true, true) => {
                found.unwrap_or_else(|refused| panic!("{form:?}: {refused:?}"));
            }
            // A certificate's message without any time was never a form of anybody's.
            (true, false) => assert_eq!(found.unwrap_err().reason, RefusalReason::BadLogEntry, "{form:?}"),
        }
        let found = case.verify(&bundle).unwrap_err();
        assert_eq!(found.reason, RefusalReason::BadLogEntry, "{form:?}: {found:?}");
    });
}

#[test]
fn a_digest_suffices_where_the_scheme_signs_one() {
    each_case(|case| {
        if case.is_envelope || case.key.form == Form::Ed25519 {
            return;
        }
        let form = case.key.form;
        let bundle = case.signing().bundle(case.authority, &[Logged::HashedRekord]).to_string();
        let keys = if case.by_certificate { vec![] } else { vec![case.key.trusted(LogDemand::Required)] };
        let trust = TrustSet::new(vec![case.authority.root(Demands::default())], keys).unwrap();
        let verify = |digest| verify_bundle(bundle.as_bytes(), Artifact::Digest(digest), &trust);
        let (sha256, sha512) = (Digest::sha256_of(MANIFEST), Digest::sha512_of(MANIFEST));
        let (right, wrong) = match form.bits() {
            256 => (Some(sha256), sha512),
            512 => (Some(sha512), sha256),
            _ => (None, sha256),
        };
        if let Some(right) = right {
            verify(right).unwrap_or_else(|refused| panic!("{form:?}: {refused:?}"));
        }
        verify(wrong).unwrap_err();
        verify(Digest::sha256_of(b"another")).unwrap_err();
        verify(Digest::sha512_of(b"another")).unwrap_err();
    });
}

/// A bundle of an older layer: the signature, and a promise instead of a proof.
#[test]
fn layers_of_cosigns_older_format_are_verified_by_every_scheme() {
    each_case(|case| {
        let form = case.key.form;
        if case.is_envelope || form == Form::Ed25519 {
            return;
        }
        let layer = super::simple_signing("cosign container image signature", &image().to_string());
        let certificate = case.by_certificate.then(|| case.key.certificate(case.authority));
        let signing = Signing::new(case.key, certificate.clone(), Content::Message(layer.as_bytes()));
        let body = signing.body(Logged::HashedRekord);
        let annotations = case.authority.annotations_of(certificate.as_deref(), body.to_string().as_bytes());
        let mut annotations: BTreeMap<String, String> = annotations.into_iter().collect();
        annotations.insert(super::SIGNATURE.to_owned(), STANDARD.encode(&signing.signature));
        let keys = if case.by_certificate { vec![] } else { vec![case.key.trusted(LogDemand::Required)] };
        let trust = TrustSet::new(vec![case.authority.root(Demands::default())], keys).unwrap();
        let verify = |layer: &str, annotations: &BTreeMap<String, String>| {
            verify_layer(crate::testing::SIMPLE_SIGNING, layer.as_bytes(), annotations, &trust)
        };
        let found = crate::testing::verified(verify(&layer, &annotations));
        assert_eq!(found.signed_at.map(|at| at.as_second()), Some(SIGNED_AT + 60), "{form:?}");
        refused(verify(&layer.replace("\"7\"", "\"8\""), &annotations));
        annotations.remove("dev.sigstore.cosign/bundle");
        refused(verify(&layer, &annotations));
    });
}

/// One alteration, and whether it applies to an entry of version 1 alone.
type Alteration = (&'static str, fn(&mut Value), RefusalReason);

const ENTRY: &str = "/verificationMaterial/tlogEntries/0";

fn flip(bundle: &mut Value, pointer: &str) {
    let place = bundle.pointer_mut(pointer).unwrap();
    let mut bytes = STANDARD.decode(place.as_str().unwrap()).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    *place = json!(STANDARD.encode(bytes));
}

fn set(bundle: &mut Value, field: &str, value: Value) {
    *bundle.pointer_mut(&format!("{ENTRY}/{field}")).unwrap() = value;
}

/// What was signed or logged is changed afterwards.
const OF_ANY_ENTRY: [Alteration; 4] = [
    ("the log's id", |bundle| flip(bundle, &format!("{ENTRY}/logId/keyId")), RefusalReason::BadLogEntry),
    (
        "the proof's root",
        |bundle| flip(bundle, &format!("{ENTRY}/inclusionProof/rootHash")),
        RefusalReason::BadLogEntry,
    ),
    (
        "the proof's hashes",
        |bundle| set(bundle, "inclusionProof/hashes", json!([STANDARD.encode([7; 32])])),
        RefusalReason::BadLogEntry,
    ),
    (
        "the checkpoint's signature",
        |bundle| {
            let envelope = format!("{ENTRY}/inclusionProof/checkpoint/envelope");
            let place = bundle.pointer_mut(&envelope).unwrap();
            let (text, signature) = place.as_str().unwrap().trim_end().rsplit_once(' ').unwrap();
            let mut bytes = STANDARD.decode(signature).unwrap();
            bytes[9] ^= 1;
            *place = json!(format!("{text} {}\n", STANDARD.encode(bytes)));
        },
        RefusalReason::BadLogEntry,
    ),
];

const OF_VERSION_1: [Alteration; 3] = [
    (
        "the promise",
        |bundle| flip(bundle, &format!("{ENTRY}/inclusionPromise/signedEntryTimestamp")),
        RefusalReason::BadLogEntry,
    ),
    ("the index", |bundle| set(bundle, "logIndex", json!("6")), RefusalReason::BadLogEntry),
    (
        "the time",
        |bundle| set(bundle, "integratedTime", json!((SIGNED_AT + 61).to_string())),
        RefusalReason::BadLogEntry,
    ),
];

#[test]
fn no_part_can_be_changed_after_it_was_signed_or_logged() {
    let mut refused = 0;
    each_case(|case| {
        let signing = case.signing();
        for entries in case.entries() {
            if !is_of_a_log(case.key.form, &entries) {
                continue;
            }
            let bundle = signing.bundle(case.authority, &entries);
            let what = format!("{:?} {} {entries:?}", case.key.form, case.by_certificate);
            let mut check = |name: &str, altered: &Value, reason: RefusalReason| {
                assert_ne!(*altered, bundle, "{what}: {name}");
                let found = case.verify(altered).map(drop).unwrap_err();
                assert_eq!(found.reason, reason, "{what}: {name}: {found:?}");
                refused += 1;
            };
            let of_version_1 = if entries == [Logged::HashedRekord2] { &[][..] } else { &OF_VERSION_1 };
            for (name, alter, reason) in OF_ANY_ENTRY.iter().chain(of_version_1) {
                let mut altered = bundle.clone();
                alter(&mut altered);
                check(name, &altered, *reason);
            }
            let mut altered = bundle.clone();
            let mut body = signing.body(entries[0]);
            body["spec"]["more"] = json!(1);
            set(&mut altered, "canonicalizedBody", json!(STANDARD.encode(body.to_string())));
            check("the body", &altered, RefusalReason::BadLogEntry);
            let mut altered = bundle.clone();
            let signature = if case.is_envelope {
                "/dsseEnvelope/signatures/0/sig"
            } else {
                "/messageSignature/signature"
            };
            flip(&mut altered, signature);
            check("the signature", &altered, RefusalReason::BadSignature);
            if case.is_envelope {
                let mut altered = bundle.clone();
                let mut said = statement(PROVENANCE, provenance());
                said["subject"][0]["name"] = json!("another");
                altered["dsseEnvelope"]["payload"] = json!(STANDARD.encode(said.to_string()));
                check("the payload", &altered, RefusalReason::BadSignature);
            } else {
                let mut altered = bundle.clone();
                let digest = STANDARD.encode(hash(case.key.form.bits(), b"another"));
                altered["messageSignature"]["messageDigest"]["digest"] = json!(digest);
                check("the digest", &altered, RefusalReason::BadSubject);
            }
        }
    });
    println!("altered parts of signatures by every scheme: {refused} refused");
}

/// One part of what is logged is another's, in an entry that the log did write.
#[test]
fn an_entry_about_another_signature_is_none_about_this() {
    let mut refused = 0;
    each_case(|case| {
        let signing = case.signing();
        let another = Signing::new(
            &SchemeKey::generate(Form::P256),
            case.by_certificate.then(|| SchemeKey::generate(Form::P256).certificate(case.authority)),
            Content::Message(b"another"),
        );
        for entries in case.entries() {
            if !is_of_a_log(case.key.form, &entries) {
                continue;
            }
            let kind = *entries.last().unwrap();
            let is_hashed = matches!(kind, Logged::HashedRekord | Logged::HashedRekord2);
            let mut changes: Vec<(&str, Signing)> = vec![
                ("signature", Signing { signature: another.signature.clone(), ..signing.clone() }),
                (
                    "signer",
                    Signing {
                        certificate: another.certificate.clone(),
                        spki: another.spki.clone(),
                        ..signing.clone()
                    },
                ),
            ];
            if is_hashed {
                changes.push(("digest", Signing { signed: b"another".to_vec(), ..signing.clone() }));
                let bits = if signing.bits == 384 { 512 } else { 384 };
                changes.push(("hash", Signing { bits, ..signing.clone() }));
            } else {
                let payload = Some("another".to_owned());
                changes.push(("payload", Signing { payload, ..signing.clone() }));
            }
            if kind == Logged::HashedRekord2 {
                for details in
                    Form::ALL.map(Form::key_details).into_iter().chain(["", "PKIX_RSA_PSS_4096_SHA256"])
                {
                    if details != signing.key_details {
                        let key_details = details.to_owned();
                        changes.push(("scheme", Signing { key_details, ..signing.clone() }));
                    }
                }
                let certificate = match &signing.certificate {
                    Some(_) => None,
                    None => Some(case.key.certificate(case.authority)),
                };
                changes.push(("kind of signer", Signing { certificate, ..signing.clone() }));
            }
            for (name, logged) in changes {
                let mut all: Vec<Value> = entries[..entries.len() - 1]
                    .iter()
                    .map(|kind| entry(case.authority, *kind, &signing.body(*kind)))
                    .collect();
                all.push(entry(case.authority, kind, &logged.body(kind)));
                let what = format!("{:?} {} {entries:?} {name}", case.key.form, case.by_certificate);
                let found = case.verify(&signing.bundle_with(all)).map(drop);
                let found = found.err().unwrap_or_else(|| panic!("{what}: verified"));
                // The verifying crate calls another digest another artifact.
                let reasons = [RefusalReason::BadLogEntry, RefusalReason::BadSubject];
                assert!(reasons.contains(&found.reason), "{what}: {found:?}");
                refused += 1;
            }
        }
    });
    println!("entries about other signatures by every scheme: {refused} refused");
}

/// A body that says another kind than the entry around it, although the log wrote both.
#[test]
fn an_entry_is_of_the_kind_that_it_says() {
    let authority = Authority::new();
    let key = SchemeKey::generate(Form::P521);
    let case = Case { authority: &authority, key: &key, by_certificate: true, is_envelope: false };
    let signing = case.signing();
    for (field, value) in [("kind", "rekord"), ("apiVersion", "0.0.9")] {
        let mut body = signing.body(Logged::HashedRekord);
        body[field] = json!(value);
        let mut logged = entry(&authority, Logged::HashedRekord, &body);
        logged["kindVersion"] = json!({ "kind": "hashedrekord", "version": "0.0.1" });
        let found = case.verify(&signing.bundle_with(vec![logged])).map(drop).unwrap_err();
        assert_eq!(found.reason, RefusalReason::BadLogEntry, "{found:?}");
        assert!(found.found.contains(value), "{found:?}");
    }
    // Kinds of the other content.
    for kind in [Logged::Dsse, Logged::Intoto] {
        let bundle = signing.bundle(&authority, &[kind]);
        assert_eq!(case.verify(&bundle).map(drop).unwrap_err().reason, RefusalReason::Unsupported);
    }
    let case = Case { authority: &authority, key: &key, by_certificate: true, is_envelope: true };
    let bundle = case.signing().bundle(&authority, &[Logged::HashedRekord]);
    assert_eq!(case.verify(&bundle).map(drop).unwrap_err().reason, RefusalReason::Unsupported);
}

/// The log's word for the scheme is the signature's own: neither stands in for the other.
#[test]
fn a_signature_by_one_scheme_is_none_by_another_of_the_same_key() {
    let authority = Authority::new();
    for (one, other) in
        [(Form::Ed25519, Form::Ed25519ph), (Form::Pkcs1, Form::Pss), (Form::P521, Form::P521Sha256)]
    {
        let key = SchemeKey::generate(one);
        for (made, offered) in [(key.by(one), key.by(other)), (key.by(other), key.by(one))] {
            for is_envelope in [false, true] {
                let case = Case { authority: &authority, key: &made, by_certificate: false, is_envelope };
                let signing = case.signing();
                let logged = Signing {
                    bits: offered.form.bits(),
                    key_details: offered.form.key_details().to_owned(),
                    ..signing.clone()
                };
                let entry = entry(&authority, Logged::HashedRekord2, &logged.body(Logged::HashedRekord2));
                let found = case.verify(&signing.bundle_with(vec![entry])).map(drop).unwrap_err();
                assert_eq!(found.reason, RefusalReason::BadLogEntry, "{:?}: {found:?}", made.form);
            }
        }
    }
}

#[test]
fn a_certificate_of_a_stranger_or_of_another_time_is_refused_for_every_scheme() {
    let stranger = Authority::new();
    each_case(|case| {
        if !case.by_certificate {
            return;
        }
        let kind = if case.is_envelope { Logged::Dsse } else { Logged::HashedRekord };
        if !is_of_a_log(case.key.form, &[kind]) {
            return;
        }
        let signing = Signing { certificate: Some(case.key.certificate(&stranger)), ..case.signing() };
        let bundle = signing.bundle(case.authority, &[kind]);
        let found = case.verify(&bundle).map(drop).unwrap_err();
        assert_eq!(found.reason, RefusalReason::BadCertificate, "{:?}: {found:?}", case.key.form);
        // The log's entry is of an hour after the certificate ended.
        let signing = case.signing();
        let late = case.authority.entry_at(signing.body(kind).to_string().as_bytes(), SIGNED_AT + 3600);
        let mut bundle = signing.bundle(case.authority, &[kind]);
        set(&mut bundle, "integratedTime", json!((SIGNED_AT + 3600).to_string()));
        set(&mut bundle, "inclusionPromise/signedEntryTimestamp", json!(STANDARD.encode(late.0)));
        let found = case.verify(&bundle).map(drop).unwrap_err();
        assert_eq!(found.reason, RefusalReason::BadTime, "{:?}: {found:?}", case.key.form);
    });
}

#[test]
fn what_a_root_demands_is_demanded_of_every_scheme() {
    each_case(|case| {
        if !case.by_certificate {
            return;
        }
        let kind = if case.is_envelope { Logged::Dsse } else { Logged::HashedRekord };
        if !is_of_a_log(case.key.form, &[kind]) {
            return;
        }
        let certificate = case.key.certificate_without_proof(case.authority);
        let signing = Signing { certificate: Some(certificate), ..case.signing() };
        let bundle = signing.bundle(case.authority, &[kind]);
        let found = case.verify(&bundle).map(drop).unwrap_err();
        assert_eq!(found.reason, RefusalReason::BadCertificateTransparency, "{:?}", case.key.form);
        let lenient = Demands { certificate_transparency: false, ..Demands::default() };
        case.verify_with(&bundle, LogDemand::Required, lenient).unwrap();
    });
}
