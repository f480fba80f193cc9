//! Signatures by every scheme with a part that was changed, is another's, or is missing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use correlator_core::facts::RefusalReason;
use serde_json::{Value, json};

use super::signing::{Content, Form, Logged, SchemeKey, Signing, entry, hash};
use super::{Case, PROVENANCE, each_case, is_of_a_log, provenance};
use crate::Demands;
use crate::testing::authority::{Authority, SIGNED_AT};
use crate::testing::statement;
use crate::trust::LogDemand;

/// One alteration: of what, how, and why it is refused.
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
    for form in [Form::P256, Form::P521] {
        let key = SchemeKey::generate(form);
        for by_certificate in [true, false] {
            let case = Case::new(&authority, &key, by_certificate, false);
            let signing = case.signing();
            for (field, value) in [("kind", "rekord"), ("apiVersion", "0.0.9")] {
                let mut body = signing.body(Logged::HashedRekord);
                body[field] = json!(value);
                let mut logged = entry(&authority, Logged::HashedRekord, &body);
                logged["kindVersion"] = json!({ "kind": "hashedrekord", "version": "0.0.1" });
                let found = case.verify(&signing.bundle_with(vec![logged])).map(drop).unwrap_err();
                assert_eq!(found.reason, RefusalReason::BadLogEntry, "{form:?}: {found:?}");
                assert!(found.found.contains(value), "{form:?}: {found:?}");
            }
            // Kinds of the other content.
            for kind in [Logged::Dsse, Logged::Intoto] {
                let bundle = signing.bundle(&authority, &[kind]);
                let found = case.verify(&bundle).map(drop).unwrap_err();
                assert_eq!(found.reason, RefusalReason::Unsupported, "{form:?}: {found:?}");
            }
            let case = Case::new(&authority, &key, by_certificate, true);
            let bundle = case.signing().bundle(&authority, &[Logged::HashedRekord]);
            let found = case.verify(&bundle).map(drop).unwrap_err();
            assert_eq!(found.reason, RefusalReason::Unsupported, "{form:?}: {found:?}");
        }
    }
}

/// Whoever holds a key may have certificates of it under several names; what is logged is one of them.
#[test]
fn an_entry_about_another_certificate_of_the_same_key_or_the_bare_key_is_none_about_this() {
    each_case(|case| {
        if !case.by_certificate {
            return;
        }
        let form = case.key.form;
        let signing = case.signing();
        let another = case.key.certificate_without_proof(case.authority);
        assert_ne!(Some(&another), signing.certificate.as_ref());
        let kinds: &[Logged] =
            if case.is_envelope { &[Logged::Dsse, Logged::Intoto] } else { &[Logged::HashedRekord] };
        for kind in kinds.iter().filter(|kind| is_of_a_log(form, &[**kind])) {
            for certificate in [Some(another.clone()), None] {
                let logged = Signing { certificate, ..signing.clone() };
                let logged = entry(case.authority, *kind, &logged.body(*kind));
                let found = case.verify(&signing.bundle_with(vec![logged])).map(drop).unwrap_err();
                assert_eq!(found.reason, RefusalReason::BadLogEntry, "{form:?} {kind:?}: {found:?}");
            }
        }
    });
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
                let case = Case::new(&authority, &made, false, is_envelope);
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

#[test]
fn a_promise_of_a_time_to_come_dates_nothing() {
    /// The year 2100.
    const TO_COME: i64 = 4_102_444_800;
    each_case(|case| {
        let kind = if case.is_envelope { Logged::Dsse } else { Logged::HashedRekord };
        if case.by_certificate || !is_of_a_log(case.key.form, &[kind]) {
            return;
        }
        let signing = case.signing();
        let early = case.authority.entry_at(signing.body(kind).to_string().as_bytes(), TO_COME);
        let mut bundle = signing.bundle(case.authority, &[kind]);
        set(&mut bundle, "integratedTime", json!(TO_COME.to_string()));
        set(&mut bundle, "inclusionPromise/signedEntryTimestamp", json!(STANDARD.encode(early.0)));
        let found = case.verify(&bundle).map(drop).unwrap_err();
        assert_eq!(found.reason, RefusalReason::NotYet, "{:?}: {found:?}", case.key.form);
    });
}
