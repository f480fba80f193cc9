//! Makes refusals: the reason, what was expected, what was found; and puts the verifying crate's errors into our words.

use correlator_core::facts::{PredicateKind, Refusal, RefusalReason};
use sigstore_verify::crypto::Error as CryptoError;
use sigstore_verify::{CertificateError, Error, TimestampError, TransparencyLogError};

use crate::bounds::SHOWN_CHARS_MAX;
use crate::strict_json::JsonError;

/// What is expected of a log's time by the machine's clock.
pub(crate) const HAS_COME: &str = "a log time that has come by this machine's clock";

/// A refusal of one reason, without display claims. Texts from outside are cut and stripped of control characters.
pub(crate) fn refusal(
    reason: RefusalReason,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> Refusal {
    Refusal {
        reason,
        expected: shown(&expected.into()),
        found: shown(&found.into()),
        claims: None,
        claimed_subjects: Vec::new(),
    }
}

pub(crate) fn malformed(expected: impl Into<String>, found: impl Into<String>) -> Refusal {
    refusal(RefusalReason::Malformed, expected, found)
}

pub(crate) fn too_large(what: &str, max: usize, found: impl std::fmt::Display) -> Refusal {
    refusal(RefusalReason::TooLarge, format!("at most {max} {what}"), found.to_string())
}

pub(crate) fn unsupported(expected: impl Into<String>, found: impl Into<String>) -> Refusal {
    refusal(RefusalReason::Unsupported, expected, found)
}

/// A refusal for a document that is not the JSON it should be.
pub(crate) fn not_json(what: &str, error: JsonError) -> Refusal {
    match error {
        JsonError::TooDeep => {
            refusal(RefusalReason::TooLarge, format!("{what} in bounds"), error.to_string())
        }
        JsonError::Malformed(why) => malformed(what, why),
    }
}

/// What a text from outside looks like in a refusal.
pub(crate) fn shown(text: &str) -> String {
    let plain = text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character });
    plain.take(SHOWN_CHARS_MAX).collect()
}

/// How far verification came before it failed: a later step means that what stood before it verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// The bundle's own shape, before any key or root is used.
    Shape,
    Time,
    Chain,
    CertificateTransparency,
    Log,
    Signature,
    Binding,
}

/// A refusal together with how far verification came: of several roots' refusals, the furthest is the telling one.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) step: Step,
    pub(crate) refusal: Refusal,
}

impl Failed {
    pub(crate) fn at(step: Step, refusal: Refusal) -> Failed {
        Failed { step, refusal }
    }
}

/// The verifying crate's error as a refusal.
pub(crate) fn from_sigstore(error: &Error) -> Failed {
    use RefusalReason as R;
    let found = error.to_string();
    let (step, reason, expected) = match error {
        Error::Crypto(CryptoError::UnsupportedAlgorithm(_)) => {
            (Step::Shape, R::Unsupported, "an algorithm that this version verifies")
        }
        Error::SignatureInvalid(_) | Error::Crypto(_) => {
            (Step::Signature, R::BadSignature, "a signature by the signer's key over the payload")
        }
        Error::ArtifactMismatch(_) => (Step::Binding, R::BadSubject, "a signature over this artifact"),
        Error::UnsupportedArtifact(_) | Error::UnsupportedBundle(_) => {
            (Step::Shape, R::Unsupported, "a form that this version verifies")
        }
        Error::Certificate(inner) => from_certificate(inner),
        Error::TransparencyLog(inner) => from_log(inner),
        Error::Timestamp(TimestampError::NoVerifiedTimestamp(_)) => {
            (Step::Time, R::BadTime, "a time that a log or a timestamp authority vouches for")
        }
        Error::Timestamp(_) => (Step::Time, R::BadTime, "a timestamp by an authority of the trust root"),
        Error::Bundle(inner) => from_bundle(inner),
        _ => (Step::Shape, R::Malformed, "a well-formed bundle"),
    };
    Failed::at(step, refusal(reason, expected, found))
}

fn from_certificate(error: &CertificateError) -> (Step, RefusalReason, &'static str) {
    use RefusalReason as R;
    match error {
        CertificateError::ChainInvalid(why) if why.contains("UnknownIssuer") => {
            (Step::Time, R::UntrustedSigner, "a certificate issued by an authority of a trust root")
        }
        CertificateError::NoValidAuthority { .. } => {
            (Step::Chain, R::BadCertificate, "a certificate authority that is valid at the signing time")
        }
        CertificateError::NotYetValid { .. } | CertificateError::Expired { .. } => {
            (Step::Chain, R::BadTime, "a signing time inside the certificate's validity")
        }
        CertificateError::Sct(_) => (
            Step::CertificateTransparency,
            R::BadCertificateTransparency,
            "a certificate timestamp by a transparency log of the trust root",
        ),
        CertificateError::ChainInvalid(why)
            if why.contains("CertExpired") || why.contains("CertNotValidYet") =>
        {
            (Step::Chain, R::BadTime, "a signing time inside the certificate's validity")
        }
        _ => (
            Step::Chain,
            R::BadCertificate,
            "a certificate for code signing by an authority of the trust root",
        ),
    }
}

fn from_log(error: &TransparencyLogError) -> (Step, RefusalReason, &'static str) {
    use RefusalReason as R;
    match error {
        TransparencyLogError::UnknownLog { .. } => (Step::Time, R::BadLogEntry, "a log of the trust root"),
        TransparencyLogError::InclusionPromise(why) if why.contains("No log key valid") => {
            (Step::Time, R::BadLogEntry, "a log of the trust root, valid at the entry's time")
        }
        TransparencyLogError::InclusionPromise(_) => {
            (Step::Chain, R::BadLogEntry, "an inclusion promise by the log")
        }
        TransparencyLogError::InclusionProof(_) => {
            (Step::Log, R::BadLogEntry, "a proof that the entry is in the log")
        }
        TransparencyLogError::Checkpoint(_) => (Step::Log, R::BadLogEntry, "a checkpoint signed by the log"),
        TransparencyLogError::IntegratedTime(why) if why.contains("in the future") => {
            (Step::Chain, R::NotYet, HAS_COME)
        }
        TransparencyLogError::IntegratedTime(_) => {
            (Step::Chain, R::BadTime, "a log time inside the certificate's validity")
        }
        _ => (Step::Binding, R::BadLogEntry, "a log entry about this signature, key and payload"),
    }
}

fn from_bundle(error: &sigstore_verify::bundle::Error) -> (Step, RefusalReason, &'static str) {
    use RefusalReason as R;
    use sigstore_verify::bundle::Error as E;
    match error {
        E::MissingInclusionPromise(_) | E::MissingInclusionProof(_) | E::MissingCheckpoint => {
            (Step::Shape, R::BadLogEntry, "a log entry with its proof")
        }
        E::CheckpointRootMismatch | E::LogIndexOutOfRange { .. } => {
            (Step::Shape, R::BadLogEntry, "a proof that agrees with its checkpoint")
        }
        E::MissingSigningTimeEvidence | E::MissingTimestamp => {
            (Step::Shape, R::BadLogEntry, "a log entry or a timestamp")
        }
        _ => (Step::Shape, R::Malformed, "a bundle as its version demands"),
    }
}

/// Adds what the unverified bytes claim, for display.
pub(crate) fn with_claims(
    mut refused: Refusal,
    claims: Option<PredicateKind>,
    subjects: Vec<bus_schema::Digest>,
) -> Refusal {
    refused.claims = refused.claims.or(claims);
    if refused.claimed_subjects.is_empty() {
        refused.claimed_subjects = subjects;
    }
    refused
}
