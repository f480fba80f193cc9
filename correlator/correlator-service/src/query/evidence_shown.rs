//! Evidence as people read it.

use bus_schema::Digest;
use correlator_core::facts::{Outcome, Predicate, PredicateKind, Provenance, Signer, Statement};
use correlator_core::state::evidence::EvidenceRecord;

use crate::api::types::{EvidenceState, SignerShown, TracedEvidence};
use fleet_runtime::outside_text::shown;

pub(super) fn show(id: Digest, record: &EvidenceRecord) -> TracedEvidence {
    TracedEvidence {
        id,
        kind: kind(record).to_owned(),
        media_type: shown(&record.media_type),
        size_bytes: record.blob.map_or(0, |(_, size)| size),
        attached_to: record.attached_to.iter().copied().collect(),
        places: record.places.iter().map(|place| shown(place)).collect(),
        repositories: record.repositories.iter().map(ToString::to_string).collect(),
        first_recorded: record.first_recorded,
        state: state(record),
    }
}

fn kind(record: &EvidenceRecord) -> &'static str {
    let kind = match &record.outcome {
        Some(Outcome::Verified(statement)) => Some(statement.predicate.kind()),
        Some(Outcome::Refused(refusal)) => refusal.claims,
        None => None,
    };
    match kind {
        Some(PredicateKind::Provenance) => "provenance",
        Some(PredicateKind::ImageSignature) => "image_signature",
        Some(PredicateKind::Sbom) => "sbom",
        Some(PredicateKind::Other) => "other",
        None => "unknown",
    }
}

fn state(record: &EvidenceRecord) -> EvidenceState {
    match &record.outcome {
        // A result of before is shown until the new one is there.
        None => EvidenceState::Awaited { since: record.awaited_since },
        Some(Outcome::Verified(statement)) => verified(statement),
        Some(Outcome::Refused(refusal)) => EvidenceState::Refused {
            reason: refusal.reason.as_str().to_owned(),
            expected: shown(&refusal.expected),
            found: shown(&refusal.found),
        },
    }
}

fn verified(statement: &Statement) -> EvidenceState {
    let signer = match &statement.signer {
        Signer::Keyless(claims) => {
            SignerShown::Keyless { issuer: shown(&claims.issuer), subject: shown(&claims.subject) }
        }
        Signer::Key { fingerprint, logged } => {
            SignerShown::Key { fingerprint: *fingerprint, logged: *logged }
        }
    };
    let built = match &statement.predicate {
        Predicate::Provenance(provenance) => Some(built(provenance)),
        _ => None,
    };
    EvidenceState::Verified {
        signer,
        signed_at: statement.signed_at,
        root: statement.root.as_ref().map(|root| format!("{}@{}", root.name, root.content.short())),
        subjects: statement.subjects.clone(),
        built,
    }
}

/// What provenance says, in one line.
fn built(provenance: &Provenance) -> String {
    let mut said = Vec::new();
    let source = provenance.repository.as_ref().map(ToString::to_string).or(provenance.source_uri.clone());
    said.extend(source.map(|source| format!("from {source}")));
    said.extend(provenance.git_ref.as_ref().map(|git_ref| format!("at {git_ref}")));
    said.extend(provenance.commit.as_ref().map(|commit| format!("commit {commit}")));
    said.extend(provenance.workflow.as_ref().map(|workflow| format!("by {workflow}")));
    said.push(format!("builder {}", provenance.builder_id));
    shown(&said.join(", "))
}
