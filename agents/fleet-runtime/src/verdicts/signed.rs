//! The envelope around a verdict.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus_schema::verdict::VerdictChanged;
use serde::{Deserialize, Serialize};

/// The payload type of a verdict.
const PAYLOAD_TYPE: &str = "application/vnd.custody.verdict+json";
/// The largest value that is read.
const VALUE_BYTES_MAX: usize = crate::bus::PAYLOAD_BYTES_MAX;

/// One verdict with the place in the log that led to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredVerdict {
    /// The key in the bucket: a value under another key is another's.
    pub key: String,
    /// The id of the evidence log.
    pub log: String,
    /// Higher in a log that was begun later.
    pub generation: u64,
    pub position: u64,
    pub change: VerdictChanged,
}

/// A verdict as it lies in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedVerdict {
    payload_type: String,
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Signature {
    /// The public key, as hexadecimal.
    keyid: String,
    sig: String,
}

impl SignedVerdict {
    /// Signs a verdict: `sign` makes an Ed25519 signature with the private half of `key` (hexadecimal).
    pub fn new(
        verdict: &StoredVerdict,
        key: &str,
        sign: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> Result<SignedVerdict, serde_json::Error> {
        let payload = serde_json::to_vec(verdict)?;
        let sig = STANDARD.encode(sign(&signed_bytes(PAYLOAD_TYPE, &payload)));
        Ok(SignedVerdict {
            payload_type: PAYLOAD_TYPE.to_owned(),
            payload: STANDARD.encode(payload),
            signatures: vec![Signature { keyid: key.to_owned(), sig }],
        })
    }

    /// The verdict, if the key (hexadecimal) signed it; else what is wrong.
    pub fn open(value: &[u8], key: &str) -> Result<StoredVerdict, &'static str> {
        if value.len() > VALUE_BYTES_MAX {
            return Err("it is too large");
        }
        let envelope: SignedVerdict = serde_json::from_slice(value).map_err(|_| "it is no envelope")?;
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err("its payload is no verdict");
        }
        let [signature] = &envelope.signatures[..] else { return Err("it has not exactly one signature") };
        let payload = STANDARD.decode(&envelope.payload).map_err(|_| "its payload is not base64")?;
        let sig = STANDARD.decode(&signature.sig).map_err(|_| "its signature is not base64")?;
        let key = hex::decode(key).map_err(|_| "the key is not hexadecimal")?;
        UnparsedPublicKey::new(&ED25519, key)
            .verify(&signed_bytes(PAYLOAD_TYPE, &payload), &sig)
            .map_err(|_| "it is not signed by the correlator's key")?;
        serde_json::from_slice(&payload).map_err(|_| "what is signed is no verdict")
    }
}

/// The pre-authentication encoding (DSSE protocol.md, "Signature Definition").
fn signed_bytes(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}
