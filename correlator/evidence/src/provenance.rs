//! SLSA provenance of every version, normalised (slsa.dev/spec; slsa.dev/provenance/v0.1, v0.2, v1).
//!
//! Input is the predicate of a statement whose signature verified, and its signer. What the producer writes is kept as the
//! producer's word; the level comes from the table of builders, and contradictions of the certificate are listed.

mod draft;
mod github;
mod inputs;
mod source;
mod v0_1;
mod v0_2;
mod v1;

use correlator_core::facts::{CertificateClaims, Provenance, Refusal, Signer};

use crate::bounds::TEXT_BYTES_MAX;
use crate::provenance::draft::Draft;
use crate::refusal::{malformed, too_large};
use crate::{builders, disagreement, time};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V0_1,
    V0_2,
    V1,
}

/// The version that a predicate type names. A set, not a prefix: `https://slsa.dev/provenance/v1-mine` is nothing.
pub(crate) fn version_of_type(predicate_type: &str) -> Option<Version> {
    match predicate_type {
        "https://slsa.dev/provenance/v0.1" => Some(Version::V0_1),
        "https://slsa.dev/provenance/v0.2" => Some(Version::V0_2),
        "https://slsa.dev/provenance/v1"
        | "https://slsa.dev/provenance/v1.0"
        | "https://slsa.dev/provenance/v1?draft"
        | "https://slsa.dev/spec/v1.0/provenance" => Some(Version::V1),
        _ => None,
    }
}

/// Normalises a predicate in JSON.
pub(crate) fn read(predicate_type: &str, predicate: &str, signer: &Signer) -> Result<Provenance, Refusal> {
    let draft = match version_of_type(predicate_type) {
        Some(Version::V0_1) => v0_1::read(predicate),
        Some(Version::V0_2) => v0_2::read(predicate),
        Some(Version::V1) => v1::read(predicate),
        None => return Err(malformed("SLSA provenance", predicate_type)),
    };
    let mut draft =
        draft.map_err(|error| malformed("SLSA provenance of the predicate's type", error.to_string()))?;
    // BuildKit on a forge's runner names the run as its builder.
    draft.run = draft.run.or_else(|| run_in_url(&draft.builder_id));
    for text in draft.texts() {
        if text.len() > TEXT_BYTES_MAX {
            return Err(too_large("bytes in a text of provenance", TEXT_BYTES_MAX, text.len()));
        }
    }
    finish(predicate_type, draft, signer)
}

fn finish(predicate_type: &str, draft: Draft, signer: &Signer) -> Result<Provenance, Refusal> {
    let claims: Option<&CertificateClaims> = match signer {
        Signer::Keyless(claims) => Some(claims),
        Signer::Key { .. } | Signer::CloudBuild { .. } => None,
    };
    let tag = draft.git_ref.as_ref().and_then(|git_ref| git_ref.as_tag().map(str::to_owned));
    Ok(Provenance {
        predicate_type: predicate_type.to_owned(),
        slsa_level: builders::level_of(&draft, signer),
        delegate: claims.and_then(|claims| builders::delegate_of(claims, &draft.builder_id)),
        disagreements: claims.map(|claims| disagreement::between(claims, &draft)).unwrap_or_default(),
        builder_id: draft.builder_id,
        build_type: draft.build_type,
        repository: draft.repository,
        source_uri: draft.source_uri,
        started_at: time::read("the build's start", draft.started_at.as_deref())?,
        finished_at: time::read("the build's end", draft.finished_at.as_deref())?,
        git_ref: draft.git_ref,
        tag: tag.or(draft.tag),
        commit: draft.commit,
        workflow: draft.workflow,
        trigger: draft.trigger,
        run: draft.run,
        parameters: draft.inputs.parameters,
        materials: draft.inputs.materials,
        left_out: draft.inputs.left_out,
    })
}

pub(crate) use draft::Draft as Normalised;
pub(crate) use github::run_in_url;
