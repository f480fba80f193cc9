//! Signatures over files in cosign's older form: the signature alone, with certificate and log entry as annotations.

use std::collections::BTreeMap;

use bus_schema::Digest;
use correlator_core::facts::{Outcome, RefusalReason, Signer};

use super::SIGNATURE;
use crate::Demands;
use crate::cosign::BLOB_SIGNATURE;
use crate::testing::authority::{Authority, SIGNED_AT, rekord, release_claims};
use crate::testing::{Key, image, refused, verified, verify_layer};
use crate::trust::{LogDemand, TrustSet};
use crate::verify::{Unverified, verify, verify_of_file};

const FILE: &[u8] = b"a program";
const OTHER_FILE: &[u8] = b"another program";

/// An entry of kind `rekord` 0.0.1 holds the hash of the file, and the signature is over the file.
#[test]
fn a_signature_over_a_file_is_verified_by_its_older_entry_over_that_file_alone() {
    let (authority, key) = (Authority::new(), Key::generate());
    let identity = authority.identity(&release_claims());
    let by_certificate = (identity.sign(FILE), identity.pem(), Some(&*identity.certificate));
    for (signature, pem, certificate) in [by_certificate, (key.sign(FILE), key.pem(), None)] {
        let keys = if certificate.is_some() { vec![] } else { vec![key.trusted(LogDemand::Required)] };
        let trust = TrustSet::new(vec![authority.root(Demands::default())], keys).unwrap();
        let check = |logged: &[u8], file: Option<&[u8]>| -> Outcome {
            let body = rekord(logged, &signature, &pem).to_string();
            let annotations = authority.annotations_of(certificate, body.as_bytes());
            let mut annotations: BTreeMap<String, String> = annotations.into_iter().collect();
            annotations.remove("dev.sigstore.cosign/chain");
            let evidence = Unverified {
                media_type: BLOB_SIGNATURE,
                artifact_type: None,
                bytes: signature.as_bytes(),
                annotations: &annotations,
                attached_to: image(),
            };
            file.map_or_else(|| verify(&evidence, &trust), |file| verify_of_file(&evidence, file, &trust))
        };
        let found = verified(check(FILE, Some(FILE)));
        assert_eq!(found.subjects, [Digest::sha256_of(FILE)]);
        assert_eq!(found.signed_at.map(|time| time.as_second()), Some(SIGNED_AT + 60));
        match found.signer {
            Signer::Keyless(_) => assert!(certificate.is_some()),
            signer => {
                assert_eq!(signer, Signer::Key { fingerprint: key.fingerprint(), logged: true });
                assert!(certificate.is_none());
            }
        }
        assert_eq!(refused(check(FILE, Some(OTHER_FILE))).reason, RefusalReason::BadSignature);
        assert_eq!(refused(check(OTHER_FILE, Some(OTHER_FILE))).reason, RefusalReason::BadSignature);
        for logged in [OTHER_FILE, signature.as_bytes()] {
            assert_eq!(refused(check(logged, Some(FILE))).reason, RefusalReason::BadLogEntry);
        }
        assert_eq!(refused(check(FILE, None)).reason, RefusalReason::BadSubject);
    }
}

/// Nothing else says what the signature is over where the file is elsewhere.
#[test]
fn what_a_signature_over_a_file_is_over_its_log_entry_says() {
    let authority = Authority::new();
    let identity = authority.identity(&release_claims());
    let trust = TrustSet::new(vec![authority.root(Demands::default())], vec![]).unwrap();
    let check = |signed: &[u8], logged: &[u8]| {
        let mut annotations: BTreeMap<String, String> =
            authority.signature_annotations(&identity, logged).into_iter().collect();
        let signature = match annotations.remove(SIGNATURE) {
            Some(signature) if signed == logged => signature,
            _ => identity.sign(signed),
        };
        verify_layer(BLOB_SIGNATURE, signature.as_bytes(), &annotations, &trust)
    };
    assert_eq!(verified(check(FILE, FILE)).subjects, [Digest::sha256_of(FILE)]);
    let found = refused(check(FILE, OTHER_FILE));
    assert_eq!(found.reason, RefusalReason::BadSignature);
    assert_eq!(found.claimed_subjects, [Digest::sha256_of(OTHER_FILE)]);
}
