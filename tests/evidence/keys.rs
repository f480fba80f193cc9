//! Keys made by the tests, and statements signed with them.

use std::collections::BTreeMap;

use bus_schema::Digest;
use correlator_core::facts::Outcome;
use evidence::{LogDemand, TrustSet, TrustedKey, Unverified, verify};
use serde_json::json;
use sigstore_verify::crypto::KeyPair;

/// Signs a statement as `cosign attest --key` does without a log, and verifies it.
pub(crate) fn sign_and_verify(statement: &[u8]) -> Outcome {
    let key = KeyPair::generate_ecdsa_p256().unwrap();
    let pem = key.public_key_der().unwrap().to_pem();
    let payload_type = "application/vnd.in-toto+json";
    let signature = key.sign(&sigstore_verify::types::pae(payload_type, statement)).unwrap().to_base64();
    let payload = sigstore_verify::types::PayloadBytes::from_bytes(statement).to_base64();
    let envelope =
        json!({ "payloadType": payload_type, "payload": payload, "signatures": [{ "sig": signature }] })
            .to_string();
    let trusted = TrustedKey::from_pem("test", &pem, LogDemand::NotRequired).unwrap();
    let trust = TrustSet::new(vec![], vec![trusted]).unwrap();
    let evidence = Unverified {
        media_type: "application/vnd.dsse.envelope.v1+json",
        artifact_type: None,
        bytes: envelope.as_bytes(),
        annotations: &BTreeMap::new(),
        attached_to: Digest::sha256_of(b"any"),
    };
    verify(&evidence, &trust)
}
