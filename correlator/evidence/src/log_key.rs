//! The keys of a root's signature logs, by which these sign checkpoints and promises.

use sigstore_verify::crypto::VerificationKey;
use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::types::{DerPublicKey, SignatureBytes, TimeRange};

use crate::scheme::Scheme;
use crate::signature::{self, Signed};

/// A signature log of a trust root.
pub(crate) struct Log {
    pub(crate) id: Vec<u8>,
    pub(crate) window: Option<TimeRange>,
    pub(crate) key: LogKey,
}

/// A log's key, with the one scheme that Sigstore's registry of algorithms has for keys of its kind.
pub(crate) enum LogKey {
    Known(VerificationKey),
    /// ECDSA on P-521 over SHA-512, which the verifying crate has no word for (SubjectPublicKeyInfo in DER).
    P521(DerPublicKey),
}

impl LogKey {
    pub(crate) fn from_spki(key: &DerPublicKey) -> Result<LogKey, String> {
        if signature::is_p521(key.as_bytes()) {
            return Ok(LogKey::P521(key.clone()));
        }
        VerificationKey::from_spki(key).map(LogKey::Known).map_err(|error| error.to_string())
    }

    pub(crate) fn has_signed(&self, message: &[u8], signature: &SignatureBytes) -> bool {
        match self {
            LogKey::Known(key) => key.verify(message, signature).is_ok(),
            LogKey::P521(key) => {
                let scheme =
                    signature::scheme_of(key.as_bytes(), signature.as_bytes(), Signed::Bytes(message));
                scheme == Ok(Scheme::EcdsaP521Sha512)
            }
        }
    }
}

/// The signature logs of a root, each once.
pub(crate) fn logs_of(root: &TrustedRoot) -> Result<Vec<Log>, String> {
    let mut logs: Vec<Log> = Vec::new();
    for log in &root.tlogs {
        let id = log.log_id.key_id.as_bytes();
        if logs.iter().any(|known| known.id == id) {
            return Err(format!("two logs with the id {}", hex::encode(id)));
        }
        let window = log.public_key.valid_for;
        if window.is_some_and(|window| window.end.is_some_and(|end| end < window.start)) {
            return Err(format!("the log {} ends before it begins", hex::encode(id)));
        }
        let key = LogKey::from_spki(&log.public_key.raw_bytes)
            .map_err(|why| format!("the key of the log {}: {why}", hex::encode(id)))?;
        logs.push(Log { id: id.to_vec(), window, key });
    }
    Ok(logs)
}
