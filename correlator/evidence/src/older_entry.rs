//! Log entries of kinds that bundles cannot hold, each with the certificate or key:
//!
//! - `intoto` 0.0.1, which cosign wrote for attestations until August 2023 and writes when it is told to (sigstore/rekor,
//!   pkg/types/intoto/v0.0.1), with the hash of the whole envelope;
//! - `rekord` 0.0.1, which cosign wrote for signatures of images in 2021 (sigstore/rekor, pkg/types/rekord/v0.0.1), with the
//!   hash of what is signed, and the signature.

use bus_schema::Digest;
use correlator_core::facts::{Refusal, RefusalReason};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sigstore_verify::types::HashAlgorithm;

use crate::envelope::{Envelope, decode};
use crate::logged_body::Kind;
use crate::promise::Promise;
use crate::refusal::{Failed, not_json, refusal, unsupported};
use crate::scheme::Scheme;
use crate::signature::Signed;
use crate::trust::TrustRoot;
use crate::{logged_body, pem, strict_json};

/// An entry with the log's promise. Nothing about it is proven.
#[derive(Debug)]
pub(crate) struct OlderEntry {
    pub(crate) body: Vec<u8>,
    pub(crate) integrated_time: Timestamp,
    pub(crate) log_index: i64,
    pub(crate) log_id: Vec<u8>,
    pub(crate) promise: Vec<u8>,
    /// The digest of the envelope as it lies in the registry, where it is one that is signed.
    pub(crate) envelope: Digest,
}

/// What an entry must be about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LoggedContent<'a> {
    Envelope(&'a Envelope),
    /// A signature over something that lies elsewhere.
    Signature {
        bytes: &'a [u8],
        signed: Signed<'a>,
    },
}

/// Whom an entry must name, in DER.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LoggedSigner<'a> {
    Certificate(&'a [u8]),
    /// SubjectPublicKeyInfo.
    Key(&'a [u8]),
}

/// Of attestations.
pub(crate) const INTOTO: (&str, &str) = ("intoto", "0.0.1");
/// Of signatures of images.
pub(crate) const REKORD: (&str, &str) = ("rekord", "0.0.1");

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

    /// Checks that the entry is about this content, byte for byte, and this signer, by a scheme that logs verify it by.
    pub(crate) fn check_body(
        &self,
        content: LoggedContent<'_>,
        scheme: Scheme,
        signer: LoggedSigner<'_>,
    ) -> Result<(), Refusal> {
        let Kind { kind, api_version } = Kind::read(&self.body)?;
        let expected = match content {
            LoggedContent::Envelope(_) => INTOTO,
            LoggedContent::Signature { .. } => REKORD,
        };
        if (kind.as_str(), api_version.as_str()) != expected {
            return Err(mismatch("kind"));
        }
        match content {
            LoggedContent::Envelope(envelope) => self.check_intoto(envelope, scheme, signer),
            LoggedContent::Signature { bytes, signed } => self.check_rekord(bytes, signed, scheme, signer),
        }
    }

    fn check_intoto(
        &self,
        envelope: &Envelope,
        scheme: Scheme,
        signer: LoggedSigner<'_>,
    ) -> Result<(), Refusal> {
        logged_body::check_envelope_scheme(scheme)?;
        let Intoto { content, public_key } = self.read()?;
        if content.hash.digest() != Some(self.envelope) {
            return Err(mismatch("envelope"));
        }
        if content.payload_hash.digest() != Some(Digest::sha256_of(&envelope.payload)) {
            return Err(mismatch("payload"));
        }
        check_signer(&public_key, signer)
    }

    fn check_rekord(
        &self,
        signature: &[u8],
        signed: Signed<'_>,
        scheme: Scheme,
        signer: LoggedSigner<'_>,
    ) -> Result<(), Refusal> {
        // The log has all of what is signed, and no other hash (sigstore/rekor, pkg/pki/x509).
        if !matches!(scheme.hash(), None | Some(HashAlgorithm::Sha2256)) {
            return Err(mismatch("scheme"));
        }
        let Rekord { data, signature: logged } = self.read()?;
        let Some(digest) = signed.digest(HashAlgorithm::Sha2256) else {
            return Err(unsupported("the sha256 digest of what is signed", "another digest"));
        };
        if !matches!(data.hash.digest(), Some(Digest::Sha256(logged)) if logged.as_slice() == digest) {
            return Err(mismatch("digest"));
        }
        if logged.format != "x509" {
            return Err(mismatch("format of signatures"));
        }
        if decode("the log entry's signature", &logged.content)? != signature {
            return Err(mismatch("signature"));
        }
        check_signer(&logged.public_key.content, signer)
    }

    fn read<Spec: DeserializeOwned>(&self) -> Result<Spec, Refusal> {
        let wire: Wire<Spec> =
            strict_json::read(&self.body).map_err(|error| not_json("a log entry's body", error))?;
        Ok(wire.spec)
    }
}

/// The one certificate or key of an entry, as PEM in base64.
fn check_signer(logged: &str, signer: LoggedSigner<'_>) -> Result<(), Refusal> {
    let (what, label, der) = match signer {
        LoggedSigner::Certificate(der) => ("certificate", "CERTIFICATE", der),
        LoggedSigner::Key(der) => ("key", "PUBLIC KEY", der),
    };
    let logged = decode(&format!("the log entry's {what}"), logged)?;
    let logged = String::from_utf8(logged).map_err(|_| mismatch(what))?;
    let logged = pem::blocks(&logged, label, 1).map_err(|_| mismatch(what))?;
    if logged.first().map(Vec::as_slice) != Some(der) {
        return Err(mismatch(what));
    }
    Ok(())
}

fn mismatch(what: &str) -> Refusal {
    refusal(RefusalReason::BadLogEntry, format!("a log entry about this {what}"), "one about another")
}

#[derive(Deserialize)]
struct Wire<Spec> {
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Intoto {
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
struct Rekord {
    data: Data,
    signature: Signature,
}

#[derive(Deserialize)]
struct Data {
    hash: Hash,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signature {
    format: String,
    content: String,
    public_key: PublicKey,
}

#[derive(Deserialize)]
struct PublicKey {
    content: String,
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
