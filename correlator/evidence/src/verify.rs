//! Verification of one piece of evidence: from bytes and a trust set to a verified statement or a refusal.

use std::collections::BTreeMap;

use bus_schema::Digest;
use correlator_core::facts::{Outcome, Predicate, PredicateKind, Refusal, RefusalReason, Statement, carried};

use sigstore_verify::types::{HashAlgorithm, SignatureContent};

use crate::bounds::{ANNOTATION_BYTES_MAX, ANNOTATIONS_MAX, EVIDENCE_BYTES_MAX};
use crate::bundle::{Content, MEDIA_TYPE_PREFIX, UnverifiedBundle};
use crate::envelope::IN_TOTO;
use crate::proof::{Artifact, Proof, prove};
use crate::refusal::{refusal, too_large, unsupported, with_claims};
use crate::simple_signing::Payload;
use crate::trust::TrustSet;
use crate::work::Work;
use crate::{bundle, cloud_build, cosign, pep740, predicate, sbom, statement};

/// The version of this code. Evidence is verified again by another version, so it grows whenever a result may change.
pub const VERIFIER_VERSION: u32 = 12;

/// Evidence as an agent delivered it. Nothing about it is proven, its media type and its place included.
#[derive(Debug, Clone, Copy)]
pub struct Unverified<'a> {
    /// The media type of the layer or bundle.
    pub media_type: &'a str,
    /// The artifact type of the manifest around it.
    pub artifact_type: Option<&'a str>,
    pub bytes: &'a [u8],
    /// The layer's annotations: cosign's older formats keep signature, certificate and log entry there.
    pub annotations: &'a BTreeMap<String, String>,
    /// The digest that it was found attached to: shown with a refusal, never part of what is proven.
    pub attached_to: Digest,
}

/// Verifies evidence. Pure: the same bytes and trust set give the same outcome, except that a log time is compared with
/// the machine's clock by the verifying crate, to refuse one from the future.
pub fn verify(evidence: &Unverified<'_>, trust: &TrustSet) -> Outcome {
    outcome(evidence, None, trust)
}

/// As [`verify`], of evidence about a file that is at hand. A signature over the file itself may need its bytes (Ed25519), or
/// a digest by which nothing in a registry is named (SHA-384, of ECDSA on P-384); what it speaks of is the file's SHA-256.
pub fn verify_of_file(evidence: &Unverified<'_>, file: &[u8], trust: &TrustSet) -> Outcome {
    outcome(evidence, Some(file), trust)
}

fn outcome(evidence: &Unverified<'_>, file: Option<&[u8]>, trust: &TrustSet) -> Outcome {
    // Parsers of others read hostile bytes here. One that panics must not be asked again and again: it is a refusal.
    let result = std::panic::catch_unwind(|| attempt(evidence, file, trust)).unwrap_or_else(|_| {
        Err(refusal(
            RefusalReason::Malformed,
            "evidence that can be read to its end",
            "the verifier broke off",
        ))
    });
    match result {
        Ok(statement) => Outcome::Verified(Box::new(statement)),
        Err(refused) => Outcome::Refused(refused),
    }
}

pub(crate) fn attempt(
    evidence: &Unverified<'_>,
    file: Option<&[u8]>,
    trust: &TrustSet,
) -> Result<Statement, Refusal> {
    // 1. Bounds, before anything is read.
    check_size(evidence.bytes)?;
    check_annotations(evidence.annotations)?;

    // 2. The form, by the media type alone; what follows reads nothing else into the bytes.
    match Form::of(evidence) {
        Form::Bundle => of_bundle(UnverifiedBundle::from_json(evidence.bytes)?, file, trust),
        Form::Envelope => {
            let bundle = cosign::bundle_of_envelope(evidence.bytes, evidence.annotations)?;
            of_bundle(bundle, file, trust)
        }
        Form::BlobSignature => {
            let bundle = cosign::bundle_of_blob_signature(evidence.bytes, evidence.annotations)?;
            of_bundle(bundle, file, trust)
        }
        Form::PythonAttestation => of_bundle(pep740::bundle(evidence.bytes)?, file, trust),
        Form::CloudBuild => cloud_build::verify(evidence.bytes, trust),
        Form::SimpleSigning => of_simple_signing(evidence, trust),
        Form::UnsignedStatement => Err(of_unsigned_statement(evidence)),
        Form::UnsignedSbom => {
            let refused = refusal(
                RefusalReason::Unsigned,
                "an SBOM in a signed attestation",
                "an SBOM without a signature",
            );
            Err(with_claims(refused, Some(PredicateKind::Sbom), vec![evidence.attached_to]))
        }
        Form::Unknown => Err(unsupported("evidence of a known media type", evidence.media_type)),
    }
}

/// A bundle: its signature first, then what it says.
fn of_bundle(bundle: UnverifiedBundle, file: Option<&[u8]>, trust: &TrustSet) -> Result<Statement, Refusal> {
    match &bundle.content {
        Content::Envelope(envelope) => {
            // 3. The statement's shape and subjects (in-toto "Statement"; DSSE protocol.md): the signature must be over it.
            let statement = statement::Statement::from_envelope(envelope)?;
            let (kind, subjects) = (statement.kind(), statement.subjects.clone());
            let other_subjects = statement.other_subjects.clone();
            // 4. Signature, signer, log and time, in the steps of `keyless` and `managed_key`.
            let artifact = Artifact::Digest(binding(&subjects));
            let proof = prove(&bundle, artifact, trust, &mut Work::default())
                .map_err(|refused| with_claims(refused, Some(kind), subjects.clone()))?;
            // 5. The predicate, from now on the signer's word.
            let predicate = predicate::read(statement, &proof.signer)?;
            Ok(Statement { other_subjects, ..verified(proof, subjects, predicate) })
        }
        Content::Message => {
            // 3. A signature over bytes that lie elsewhere: the file at hand, or the image's manifest by the digest that
            //    the bundle says.
            let said = said_digest(&bundle);
            let (artifact, signed) = match (file, &said) {
                (Some(file), _) => (Artifact::Bytes(file), Digest::sha256_of(file)),
                (None, Ok(said)) => (Artifact::Digest(*said), *said),
                (None, Err(refused)) => return Err(refused.clone()),
            };
            let claimed = said.unwrap_or(signed);
            let claims = |refused| with_claims(refused, Some(PredicateKind::ImageSignature), vec![claimed]);
            let proof = prove(&bundle, artifact, trust, &mut Work::default()).map_err(claims)?;
            Ok(verified(proof, vec![signed], Predicate::ImageSignature { annotations: BTreeMap::new() }))
        }
    }
}

/// What a message signature says it is over. Where the bundle was found has no say: the same bytes attached elsewhere are
/// the same evidence, and must give the same outcome.
fn said_digest(bundle: &UnverifiedBundle) -> Result<Digest, Refusal> {
    let said = match &bundle.bundle.content {
        SignatureContent::MessageSignature(message) => message.message_digest.as_ref(),
        _ => None,
    };
    const EXPECTED: &str = "the sha256 or sha512 digest of what is signed";
    let Some(said) = said else {
        return Err(refusal(RefusalReason::BadSubject, EXPECTED, "none"));
    };
    let digest = match said.algorithm {
        HashAlgorithm::Sha2256 => said.digest.as_bytes().try_into().ok().map(Digest::Sha256),
        HashAlgorithm::Sha2512 => said.digest.as_bytes().try_into().ok().map(Digest::Sha512),
        // Nothing in a registry is named by it (OCI image specification, "Registered Algorithms").
        _ => return Err(unsupported(EXPECTED, "one by SHA2_384")),
    };
    digest.ok_or_else(|| refusal(RefusalReason::BadSubject, EXPECTED, "one of another length"))
}

/// The subject that is handed to the verifying crate, which asks for one that the statement names.
fn binding(subjects: &[Digest]) -> Digest {
    let strongest_common = subjects.iter().find(|digest| matches!(digest, Digest::Sha256(_)));
    strongest_common.or(subjects.first()).copied().unwrap_or(Digest::Sha256([0; 32]))
}

/// cosign's older image signature: the layer is what is signed, and it names the image.
fn of_simple_signing(evidence: &Unverified<'_>, trust: &TrustSet) -> Result<Statement, Refusal> {
    let payload = Payload::from_json(evidence.bytes)
        .map_err(|refused| with_claims(refused, Some(PredicateKind::ImageSignature), Vec::new()))?;
    let claims = |refused| with_claims(refused, Some(PredicateKind::ImageSignature), vec![payload.image]);
    let bundle = cosign::bundle_of_signature(evidence.bytes, evidence.annotations).map_err(claims)?;
    let proof =
        prove(&bundle, Artifact::Bytes(evidence.bytes), trust, &mut Work::default()).map_err(claims)?;
    Ok(verified(proof, vec![payload.image], Predicate::ImageSignature { annotations: payload.annotations }))
}

/// BuildKit attaches statements without a signature: they are shown as claimed and prove nothing.
fn of_unsigned_statement(evidence: &Unverified<'_>) -> Refusal {
    match statement::Statement::from_json(evidence.bytes) {
        Ok(statement) => {
            let found = format!("a statement of type {} without a signature", statement.predicate_type);
            let refused = refusal(RefusalReason::Unsigned, "a signed statement", found);
            with_claims(refused, Some(statement.kind()), statement.subjects)
        }
        Err(refused) => refused,
    }
}

fn verified(proof: Proof, subjects: Vec<Digest>, predicate: Predicate) -> Statement {
    let Proof { signer, signed_at, root, rests_on } = proof;
    Statement { subjects, other_subjects: Vec::new(), signer, signed_at, root, rests_on, predicate }
}

enum Form {
    Bundle,
    Envelope,
    SimpleSigning,
    BlobSignature,
    PythonAttestation,
    CloudBuild,
    UnsignedStatement,
    UnsignedSbom,
    Unknown,
}

impl Form {
    fn of(evidence: &Unverified<'_>) -> Form {
        let essence =
            |media_type: &str| media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let media_type = essence(evidence.media_type);
        match media_type.as_str() {
            cosign::DSSE_ENVELOPE => Form::Envelope,
            cosign::SIMPLE_SIGNING => Form::SimpleSigning,
            cosign::BLOB_SIGNATURE => Form::BlobSignature,
            pep740::MEDIA_TYPE => Form::PythonAttestation,
            cloud_build::MEDIA_TYPE => Form::CloudBuild,
            IN_TOTO => Form::UnsignedStatement,
            _ if media_type.starts_with(MEDIA_TYPE_PREFIX) => Form::Bundle,
            _ if sbom::is_media_type(&media_type) => Form::UnsignedSbom,
            _ if evidence.artifact_type.is_some_and(|kind| sbom::is_media_type(&essence(kind))) => {
                Form::UnsignedSbom
            }
            _ => Form::Unknown,
        }
    }
}

pub(crate) fn check_size(bytes: &[u8]) -> Result<(), Refusal> {
    if bytes.len() > EVIDENCE_BYTES_MAX {
        return Err(too_large("bytes of evidence", EVIDENCE_BYTES_MAX, bytes.len()));
    }
    Ok(())
}

/// Of those that are read at all.
fn check_annotations(annotations: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let count = carried(annotations).count();
    if count > ANNOTATIONS_MAX {
        return Err(too_large("annotations", ANNOTATIONS_MAX, count));
    }
    match carried(annotations).find(|(_, value)| value.len() > ANNOTATION_BYTES_MAX) {
        Some((_, value)) => Err(too_large("bytes of annotation", ANNOTATION_BYTES_MAX, value.len())),
        None => Ok(()),
    }
}

/// Whether `media_type` is one that [`verify`] reads at all.
pub fn is_evidence(media_type: &str) -> bool {
    let annotations = BTreeMap::new();
    let attached_to = Digest::Sha256([0; 32]);
    let evidence =
        Unverified { media_type, artifact_type: None, bytes: &[], annotations: &annotations, attached_to };
    !matches!(Form::of(&evidence), Form::Unknown) || media_type.starts_with(bundle::MEDIA_TYPE_PREFIX)
}
