//! Evidence as people read it.

use std::collections::BTreeMap;

use bus_schema::Digest;
use correlator_core::facts::{
    Material, OtherSubject, Outcome, Predicate, PredicateKind, Provenance, Signer, Statement,
};
use correlator_core::state::evidence::EvidenceRecord;

use crate::api::types::{BuildInputs, EvidenceState, MaterialShown, SignerShown, TracedEvidence};
use fleet_runtime::outside_text::shown;

pub(crate) fn show(id: Digest, record: &EvidenceRecord) -> TracedEvidence {
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
    kind.map_or("unknown", PredicateKind::as_str)
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
            let issuer = claims.issuer.as_deref().map(shown);
            SignerShown::Keyless { issuer, subject: shown(&claims.subject) }
        }
        Signer::Key { fingerprint, logged } => {
            SignerShown::Key { fingerprint: *fingerprint, logged: *logged }
        }
        Signer::CloudBuild { fingerprint, key_id } => {
            SignerShown::CloudBuild { fingerprint: *fingerprint, key_id: shown(key_id) }
        }
    };
    let built = match &statement.predicate {
        Predicate::Provenance(provenance) => Some(built(provenance)),
        _ => None,
    };
    let inputs = match &statement.predicate {
        Predicate::Provenance(provenance) => Some(Box::new(inputs(provenance))),
        _ => None,
    };
    EvidenceState::Verified {
        signer,
        signed_at: statement.signed_at,
        root: statement.root.as_ref().map(|root| format!("{}@{}", root.name, root.content.short())),
        subjects: statement.subjects.clone(),
        other_subjects: statement.other_subjects.iter().map(other_subject).collect(),
        built,
        inputs,
        says: says(&statement.predicate),
    }
}

fn other_subject(subject: &OtherSubject) -> String {
    shown(&format!("{}:{}", subject.scheme, subject.id))
}

/// What is said by other statements than provenance, in one line.
fn says(predicate: &Predicate) -> Option<String> {
    let text = match predicate {
        Predicate::Provenance(_) | Predicate::ImageSignature { .. } => return None,
        Predicate::Sbom(sbom) => format!("{} with {} components", sbom.format, sbom.components),
        Predicate::VerificationSummary(summary) => {
            let result = if summary.passed { "passed" } else { "failed" };
            let levels = match summary.levels.is_empty() {
                true => String::new(),
                false => format!(" as {}", summary.levels.join(", ")),
            };
            format!("{} {result} verification by {}{levels}", summary.resource_uri, summary.verifier)
        }
        Predicate::VulnerabilityScan(scan) => {
            let found = match scan.vulnerabilities {
                Some(count) => format!("{count} vulnerabilities found"),
                None => "a result in the scanner's own format".to_owned(),
            };
            format!("{found} by {}", scan.scanner)
        }
        Predicate::Other { predicate_type } => format!("a statement of type {predicate_type}"),
    };
    Some(shown(&text))
}

fn inputs(provenance: &Provenance) -> BuildInputs {
    let material =
        |material: &Material| MaterialShown { uri: shown(&material.uri), digests: texts(&material.digests) };
    BuildInputs {
        builder: shown(&provenance.builder_id),
        build_type: shown(&provenance.build_type),
        slsa_level: provenance.slsa_level,
        tag: provenance.tag.as_deref().map(shown),
        trigger: provenance.trigger.as_deref().map(shown),
        run: provenance.run.map(|run| format!("{} attempt {}", run.id, run.attempt)),
        started_at: provenance.started_at,
        finished_at: provenance.finished_at,
        parameters: texts(&provenance.parameters),
        materials: provenance.materials.iter().map(material).collect(),
        left_out: provenance.left_out,
    }
}

fn texts(map: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    map.iter().map(|(key, value)| (shown(key), shown(value))).collect()
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
