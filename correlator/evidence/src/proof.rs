//! Who signed a bundle, and when: the one place where a signature becomes proven.

use bus_schema::Digest;
use correlator_core::facts::{Refusal, RefusalReason, RootParts, RootVersion, Signer};
use jiff::Timestamp;
use sigstore_verify::types::{ArtifactDigest, HashAlgorithm, SignatureContent};

use crate::bundle::{Content, UnverifiedBundle};
use crate::given::Given;
use crate::refusal::{Failed, malformed, refusal};
use crate::signature::Signed;
use crate::statement::Statement;
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
    /// Only the digest is at hand. A signature over the message itself (plain Ed25519) needs the bytes, and Ed25519ph the
    /// SHA-512 digest.
    Digest(Digest),
}

impl<'a> Artifact<'a> {
    /// What a signature over the artifact itself is over.
    pub(crate) fn to_signed(self) -> Signed<'a> {
        match self {
            Artifact::Bytes(bytes) => Signed::Bytes(bytes),
            Artifact::Digest(digest) => Signed::Digest(digest),
        }
    }

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
    if let Content::Envelope(envelope) = &bundle.content {
        check_subjects(&Statement::from_envelope(envelope)?.subjects, artifact)?;
    }
    prove(&bundle, artifact, trust, &mut Work::default())
}

/// An attestation is about the artifact if its statement names it.
fn check_subjects(subjects: &[Digest], artifact: Artifact<'_>) -> Result<(), Refusal> {
    let digests = match artifact {
        Artifact::Bytes(bytes) => vec![Digest::sha256_of(bytes), Digest::sha512_of(bytes)],
        Artifact::Digest(digest) => vec![digest],
    };
    if subjects.iter().any(|subject| digests.contains(subject)) {
        return Ok(());
    }
    let found = subjects.first().map_or_else(|| "none".to_owned(), Digest::to_string);
    Err(refusal(RefusalReason::BadSubject, format!("a statement about {}", artifact.to_signed()), found))
}

pub(crate) fn prove(
    bundle: &UnverifiedBundle,
    artifact: Artifact<'_>,
    trust: &TrustSet,
    work: &mut Work,
) -> Result<Proof, Refusal> {
    let encoded;
    let (bytes, signed) = match (&bundle.content, &bundle.bundle.content) {
        (Content::Envelope(envelope), _) => {
            encoded = envelope.signed_bytes();
            (envelope.signature.as_slice(), Signed::Bytes(&encoded))
        }
        (Content::Message, SignatureContent::MessageSignature(message)) => {
            (message.signature.as_bytes(), artifact.to_signed())
        }
        _ => return Err(malformed("one content of the bundle", "two readings of it")),
    };
    let given = Given { unverified: bundle, artifact, bytes, signed };
    once::remembering(|| match &bundle.key_hint {
        None if older_forms::is_one(bundle) => older_forms::prove(&given, trust, work),
        Some(hint) => managed_key::prove(&given, hint, trust, work),
        None => keyless::prove(&given, trust, work),
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
