//! Log entries of kind `intoto` 0.0.1, which cosign wrote for attestations until August 2023 and writes when it is told to
//! (sigstore/rekor, pkg/types/intoto/v0.0.1): the entry holds the hash of the whole envelope, and the certificate or key.

use bus_schema::Digest;
use correlator_core::facts::{Refusal, RefusalReason};
use jiff::Timestamp;
use serde::Deserialize;

use crate::envelope::{Envelope, decode};
use crate::promise::Promise;
use crate::refusal::{Failed, not_json, refusal};
use crate::trust::TrustRoot;
use crate::{pem, strict_json};

/// An entry with the log's promise. Nothing about it is proven.
#[derive(Debug)]
pub(crate) struct OlderEntry {
    pub(crate) body: Vec<u8>,
    pub(crate) integrated_time: Timestamp,
    pub(crate) log_index: i64,
    pub(crate) log_id: Vec<u8>,
    pub(crate) promise: Vec<u8>,
    /// The digest of the envelope as it lies in the registry.
    pub(crate) envelope: Digest,
}

/// Whom an entry must name, in DER.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LoggedSigner<'a> {
    Certificate(&'a [u8]),
    /// SubjectPublicKeyInfo.
    Key(&'a [u8]),
}

pub(crate) const KIND: (&str, &str) = ("intoto", "0.0.1");

impl OlderEntry {
    /// Verifies the promise, which gives the entry's time.
    pub(crate) fn verify_promise(&self, root: &TrustRoot) -> Result<Timestamp, Failed> {
        let promise = Promise {
            body: &self.body,
            integrated_time: self.integrated_time,
            log_id: &self.log_id,
            log_index: self.log_index,
            signature: &self.promise,
        };
        promise.verify(root)
    }

    /// Checks that the entry is about this envelope, byte for byte, and this signer.
    pub(crate) fn check_body(&self, envelope: &Envelope, signer: LoggedSigner<'_>) -> Result<(), Refusal> {
        let wire: Wire =
            strict_json::read(&self.body).map_err(|error| not_json("a log entry's body", error))?;
        let mismatch = |what: &str| {
            refusal(RefusalReason::BadLogEntry, format!("a log entry about this {what}"), "one about another")
        };
        if (wire.kind.as_str(), wire.api_version.as_str()) != KIND {
            return Err(mismatch("kind"));
        }
        if wire.spec.content.hash.digest() != Some(self.envelope) {
            return Err(mismatch("envelope"));
        }
        if wire.spec.content.payload_hash.digest() != Some(Digest::sha256_of(&envelope.payload)) {
            return Err(mismatch("payload"));
        }
        let (what, label, der) = match signer {
            LoggedSigner::Certificate(der) => ("certificate", "CERTIFICATE", der),
            LoggedSigner::Key(der) => ("key", "PUBLIC KEY", der),
        };
        let logged = decode(&format!("the log entry's {what}"), &wire.spec.public_key)?;
        let logged = String::from_utf8(logged).map_err(|_| mismatch(what))?;
        let logged = pem::blocks(&logged, label, 1).map_err(|_| mismatch(what))?;
        if logged.first().map(Vec::as_slice) != Some(der) {
            return Err(mismatch(what));
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    kind: String,
    api_version: String,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    content: Content,
    public_key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    hash: Hash,
    payload_hash: Hash,
}

#[derive(Deserialize)]
struct Hash {
    algorithm: String,
    value: String,
}

impl Hash {
    fn digest(&self) -> Option<Digest> {
        Digest::from_parts(&self.algorithm, &self.value).ok()
    }
}
