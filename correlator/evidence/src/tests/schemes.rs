//! Signatures by every scheme, with and without log entries.

mod altered;
mod signing;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus_schema::Digest;
use correlator_core::facts::{Outcome, Refusal, RefusalReason, RootParts, Signer};
use serde_json::Value;

use signing::{Content, Form, Logged, SchemeKey, Signing};

use super::{PROVENANCE, provenance};
use crate::Demands;
use crate::proof::{Artifact, Proof, verify_bundle};
use crate::testing::authority::{Authority, SIGNED_AT};
use crate::testing::{image, refused, statement, verify_layer};
use crate::trust::{LogDemand, TrustSet};
use crate::verify::{Unverified, verify, verify_of_file};

const MANIFEST: &[u8] = b"an image manifest";

/// What one signer of the tests may sign, and what is asked to verify it.
struct Case<'a> {
    authority: &'a Authority,
    key: &'a SchemeKey,
    by_certificate: bool,
    /// Whether an envelope is signed.
    is_envelope: bool,
    /// Where everything is demanded.
    trust: TrustSet,
}

impl<'a> Case<'a> {
    fn new(
        authority: &'a Authority,
        key: &'a SchemeKey,
        by_certificate: bool,
        is_envelope: bool,
    ) -> Case<'a> {
        let keys = if by_certificate { vec![] } else { vec![key.trusted(LogDemand::Required)] };
        let trust = TrustSet::new(vec![authority.root(Demands::default())], keys).unwrap();
        Case { authority, key, by_certificate, is_envelope, trust }
    }

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
        verify_bundle(bundle.to_string().as_bytes(), Artifact::Bytes(MANIFEST), &self.trust)
    }

    fn verify_with(&self, bundle: &Value, log: LogDemand, demands: Demands) -> Result<Proof, Refusal> {
        let keys = if self.by_certificate { vec![] } else { vec![self.key.trusted(log)] };
        let trust = TrustSet::new(vec![self.authority.root(demands)], keys).unwrap();
        verify_bundle(bundle.to_string().as_bytes(), Artifact::Bytes(MANIFEST), &trust)
    }
}

/// Every scheme by a certificate and by a key, over a message and over an envelope, under a root that the verifying crate
/// knows and under one whose keys it does not.
fn each_case(mut check: impl FnMut(&Case<'_>)) {
    for authority in [Authority::new(), Authority::on_p521()] {
        for form in Form::ALL {
            let key = SchemeKey::generate(form);
            for (by_certificate, is_envelope) in [(false, false), (false, true), (true, false), (true, true)]
            {
                check(&Case::new(&authority, &key, by_certificate, is_envelope));
            }
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
    assert_eq!((verified, not_of_a_log), (138, 22));
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
        let verify = |digest| verify_bundle(bundle.as_bytes(), Artifact::Digest(digest), &case.trust);
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
        let verify = |layer: &str, annotations: &BTreeMap<String, String>| {
            verify_layer(crate::testing::SIMPLE_SIGNING, layer.as_bytes(), annotations, &case.trust)
        };
        let found = crate::testing::verified(verify(&layer, &annotations));
        assert_eq!(found.signed_at.map(|at| at.as_second()), Some(SIGNED_AT + 60), "{form:?}");
        refused(verify(&layer.replace("\"7\"", "\"8\""), &annotations));
        annotations.remove("dev.sigstore.cosign/bundle");
        refused(verify(&layer, &annotations));
    });
}

/// Of a file that is at hand no signature lacks its bytes: those of Ed25519 are over the message, those of ECDSA on P-384 over
/// a digest that names nothing in a registry.
#[test]
fn a_file_at_hand_suffices_for_every_scheme() {
    each_case(|case| {
        if case.is_envelope {
            return;
        }
        let form = case.key.form;
        let unlogged;
        let (bundle, trust) = match form {
            Form::Ed25519 if case.by_certificate => return,
            Form::Ed25519 => {
                let key = case.key.trusted(LogDemand::NotRequired);
                unlogged = TrustSet::new(vec![], vec![key]).unwrap();
                (case.signing().bundle_with(vec![]), &unlogged)
            }
            _ => (case.signing().bundle(case.authority, &[Logged::HashedRekord]), &case.trust),
        };
        let bytes = bundle.to_string().into_bytes();
        let annotations = BTreeMap::new();
        let unverified = Unverified {
            media_type: crate::testing::BUNDLE,
            artifact_type: None,
            bytes: &bytes,
            annotations: &annotations,
            attached_to: Digest::sha256_of(MANIFEST),
        };
        let found = crate::testing::verified(verify_of_file(&unverified, MANIFEST, trust));
        assert_eq!(found.subjects, [Digest::sha256_of(MANIFEST)], "{form:?}");
        refused(verify_of_file(&unverified, b"another", trust));
        // By what it says of itself alone it is known by a digest that images may have, or not at all.
        match verify(&unverified, trust) {
            Outcome::Verified(known) => {
                assert_eq!(known.signer, found.signer, "{form:?}");
                assert!(!matches!(form, Form::P384 | Form::Ed25519), "{form:?}");
            }
            Outcome::Refused(why) => {
                assert!(matches!(form, Form::P384 | Form::Ed25519), "{form:?}: {why:?}");
                assert_eq!(why.reason, RefusalReason::Unsupported, "{form:?}: {why:?}");
            }
        }
    });
}
