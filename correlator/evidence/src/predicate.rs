//! What a statement says, by the type of its predicate.

use correlator_core::facts::{Predicate, PredicateKind, Refusal, SbomFacts, Signer};

use crate::refusal::{malformed, too_large, with_claims};
use crate::statement::Statement;
use crate::{provenance, sbom, simple_signing, verification_summary, vulnerability_scan};

/// cosign's image signature as a statement.
const IMAGE_SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";

/// The longest predicate type that is kept, in bytes.
const PREDICATE_TYPE_BYTES_MAX: usize = 512;

const SBOM_TYPES: [&str; 14] = [
    "https://cyclonedx.org/bom",
    "https://cyclonedx.org/bom/v1.2",
    "https://cyclonedx.org/bom/v1.3",
    "https://cyclonedx.org/bom/v1.4",
    "https://cyclonedx.org/bom/v1.5",
    "https://cyclonedx.org/bom/v1.6",
    "https://cyclonedx.org/bom/v1.7",
    "https://spdx.dev/Document",
    "https://spdx.dev/Document/v2.2",
    "https://spdx.dev/Document/v2.3",
    "https://spdx.dev/Document/v3",
    "https://spdx.dev/Document/v3.0",
    "https://spdx.dev/Document/v3.0.0",
    "https://spdx.dev/Document/v3.0.1",
];

pub(crate) fn kind_of_type(predicate_type: &str) -> PredicateKind {
    if predicate_type == IMAGE_SIGNATURE {
        PredicateKind::ImageSignature
    } else if provenance::version_of_type(predicate_type).is_some() {
        PredicateKind::Provenance
    } else if SBOM_TYPES.contains(&predicate_type) {
        PredicateKind::Sbom
    } else if verification_summary::TYPES.contains(&predicate_type) {
        PredicateKind::VerificationSummary
    } else if vulnerability_scan::TYPES.contains(&predicate_type) {
        PredicateKind::VulnerabilityScan
    } else {
        PredicateKind::Other
    }
}

/// Reads the predicate of a statement that `signer` signed.
pub(crate) fn read(statement: Statement<'_>, signer: &Signer) -> Result<Predicate, Refusal> {
    let kind = statement.kind();
    let subjects = statement.subjects.clone();
    let predicate = match kind {
        PredicateKind::ImageSignature => simple_signing::texts(statement.annotations)
            .map(|annotations| Predicate::ImageSignature { annotations }),
        PredicateKind::Provenance => provenance::read(&statement.predicate_type, text_of(&statement), signer)
            .map(|read| Predicate::Provenance(Box::new(read))),
        PredicateKind::Sbom => read_sbom(&statement).map(Predicate::Sbom),
        PredicateKind::VerificationSummary => verification_summary::read(text_of(&statement))
            .map(|read| Predicate::VerificationSummary(Box::new(read))),
        PredicateKind::VulnerabilityScan => vulnerability_scan::read(text_of(&statement))
            .map(|read| Predicate::VulnerabilityScan(Box::new(read))),
        PredicateKind::Other if statement.predicate_type.is_empty() => {
            Err(malformed("a predicate type", "none"))
        }
        PredicateKind::Other if statement.predicate_type.len() > PREDICATE_TYPE_BYTES_MAX => Err(too_large(
            "bytes of predicate type",
            PREDICATE_TYPE_BYTES_MAX,
            statement.predicate_type.len(),
        )),
        PredicateKind::Other => Ok(Predicate::Other { predicate_type: statement.predicate_type }),
    };
    predicate.map_err(|refused| with_claims(refused, Some(kind), subjects))
}

fn text_of<'a>(statement: &Statement<'a>) -> &'a str {
    statement.predicate.map_or("{}", |raw| raw.get())
}

fn read_sbom(statement: &Statement<'_>) -> Result<SbomFacts, Refusal> {
    let text = statement.predicate.map_or("null", |raw| raw.get());
    sbom::read_predicate(text)
        .map_err(|error| malformed("an SBOM of the predicate's type", error.to_string()))
}
