//! Who signed a bundle, and when: the one place where a signature becomes proven.

use bus_schema::Digest;
use correlator_core::facts::{Refusal, RefusalReason, RootParts, RootVersion, Signer};
use jiff::Timestamp;
use sigstore_verify::types::{ArtifactDigest, HashAlgorithm};

use crate::bundle::UnverifiedBundle;
use crate::refusal::{Failed, malformed, refusal};
use crate::trust::TrustSet;
use crate::work::Work;
use crate::{keyless, managed_key, older_forms, once};

/// A verified signature: by whom, since when, against which root. What it is over, the caller knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    pub signer: Signer,
    /// The earliest time that a log or a timestamp authority vouches for.
    pub signed_at: Option<Timestamp>,
    /// The root that certificate, log or timestamp verified with.
    pub root: Option<RootVersion>,
    /// What of the root was needed for it.
    pub rests_on: RootParts,
}

/// What a signature is said to be over. For an attestation: a subject of its statement.
#[derive(Debug, Clone, Copy)]
pub enum Artifact<'a> {
    Bytes(&'a [u8]),
    /// Only the digest is at hand. A signature by a key that cannot sign hashes (Ed25519) needs the bytes.
    Digest(Digest),
}

impl Artifact<'_> {
    pub(crate) fn to_sigstore(self) -> Result<sigstore_verify::types::Artifact<'static>, Refusal> {
        let (algorithm, digest) = match self {
            Artifact::Digest(Digest::Sha256(bytes)) => (HashAlgorithm::Sha2256, bytes.to_vec()),
            Artifact::Digest(Digest::Sha512(bytes)) => (HashAlgorithm::Sha2512, bytes.to_vec()),
            Artifact::Bytes(_) => return Err(malformed("a digest", "bytes")),
        };
        ArtifactDigest::new(algorithm, digest)
            .map(Into::into)
            .map_err(|error| malformed("a digest", error.to_string()))
    }
}

/// Verifies that a Sigstore bundle signs this artifact, by whomever. For attestations use [`crate::verify`], which also
/// reads what is attested.
pub fn verify_bundle(bundle: &[u8], artifact: Artifact<'_>, trust: &TrustSet) -> Result<Proof, Refusal> {
    crate::verify::check_size(bundle)?;
    let bundle = UnverifiedBundle::from_json(bundle)?;
    if let crate::bundle::Content::Envelope(envelope) = &bundle.content {
        crate::statement::Statement::from_envelope(envelope)?;
    }
    prove(&bundle, artifact, trust, &mut Work::default())
}

pub(crate) fn prove(
    bundle: &UnverifiedBundle,
    artifact: Artifact<'_>,
    trust: &TrustSet,
    work: &mut Work,
) -> Result<Proof, Refusal> {
    once::remembering(|| match &bundle.key_hint {
        None if older_forms::is_one(bundle) => older_forms::prove(bundle, trust, work),
        Some(hint) => managed_key::prove(bundle, hint, artifact, trust, work),
        None => keyless::prove(&bundle.bundle, artifact, trust, work),
    })
}

/// Of all that was tried, the refusal that came furthest says why: what failed earlier was not meant by the signer.
pub(crate) fn furthest(failures: Vec<Failed>, nothing_tried: &str) -> Refusal {
    let none = || refusal(RefusalReason::UntrustedSigner, nothing_tried, "none is configured");
    failures
        .into_iter()
        .reduce(|best, next| if next.step > best.step { next } else { best })
        .map_or_else(none, |failed| failed.refusal)
}
