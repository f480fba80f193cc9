//! Keys and signed things for this crate's tests, made when they run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub(crate) mod authority;
pub(crate) mod timestamper;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus_schema::Digest;
use correlator_core::facts::{Outcome, Refusal, Statement};
use serde_json::{Value, json};
use sigstore_verify::crypto::KeyPair;

use crate::trust::{LogDemand, TrustSet, TrustedKey};
use crate::verify::{Unverified, verify};

pub(crate) struct Key(KeyPair);

impl Key {
    pub(crate) fn generate() -> Key {
        Key(KeyPair::generate_ecdsa_p256().unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.public_key_der().unwrap().to_pem()
    }

    pub(crate) fn fingerprint(&self) -> Digest {
        Digest::sha256_of(self.0.public_key_der().unwrap().as_bytes())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> String {
        self.0.sign(message).unwrap().to_base64()
    }

    pub(crate) fn trusted(&self, log: LogDemand) -> TrustedKey {
        TrustedKey::from_pem("test", &self.pem(), log).unwrap()
    }

    /// A set that trusts this key alone, without a log.
    pub(crate) fn trust(&self) -> TrustSet {
        TrustSet::new(vec![], vec![self.trusted(LogDemand::NotRequired)]).unwrap()
    }

    /// A DSSE envelope around a statement.
    pub(crate) fn envelope(&self, statement: &Value) -> Value {
        self.envelope_of(b"application/vnd.in-toto+json", statement.to_string().as_bytes())
    }

    pub(crate) fn envelope_of(&self, payload_type: &[u8], payload: &[u8]) -> Value {
        let payload_type = std::str::from_utf8(payload_type).unwrap();
        let signed = sigstore_verify::types::pae(payload_type, payload);
        json!({
            "payloadType": payload_type,
            "payload": STANDARD.encode(payload),
            "signatures": [{ "sig": self.sign(&signed) }],
        })
    }

    /// A bundle v0.3 with a public key and no log entry, as `cosign attest --key` makes it without services.
    pub(crate) fn bundle(&self, statement: &Value) -> Value {
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {
                "publicKey": { "hint": STANDARD.encode(self.fingerprint().bytes()) },
                "tlogEntries": [],
            },
            "dsseEnvelope": self.envelope(statement),
        })
    }
}

pub(crate) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
pub(crate) const DSSE: &str = "application/vnd.dsse.envelope.v1+json";
pub(crate) const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

pub(crate) fn image() -> Digest {
    Digest::sha256_of(b"an image manifest")
}

/// A statement of type v1 about [`image`].
pub(crate) fn statement(predicate_type: &str, predicate: Value) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "registry.example/api", "digest": { "sha256": image().hex() } }],
        "predicateType": predicate_type,
        "predicate": predicate,
    })
}

pub(crate) fn verify_bytes(media_type: &str, bytes: &[u8], trust: &TrustSet) -> Outcome {
    verify_layer(media_type, bytes, &BTreeMap::new(), trust)
}

pub(crate) fn verify_layer(
    media_type: &str,
    bytes: &[u8],
    annotations: &BTreeMap<String, String>,
    trust: &TrustSet,
) -> Outcome {
    verify(&Unverified { media_type, artifact_type: None, bytes, annotations, attached_to: image() }, trust)
}

#[track_caller]
pub(crate) fn verified(outcome: Outcome) -> Statement {
    match outcome {
        Outcome::Verified(statement) => *statement,
        Outcome::Refused(refused) => panic!("refused: {refused:?}"),
    }
}

#[track_caller]
pub(crate) fn refused(outcome: Outcome) -> Refusal {
    match outcome {
        Outcome::Verified(statement) => panic!("verified: {statement:?}"),
        Outcome::Refused(refused) => refused,
    }
}
