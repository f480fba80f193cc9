//! Attached evidence, and what verification says about it.

use bus_schema::Digest;
use bus_schema::registry::AttestationAttached;

use super::Work;
use crate::decision::Decision;
use crate::facts::{Outcome, Verified, evidence_id};
use crate::records::{RecordsError, Table};
use crate::state::evidence::{self, EvidenceRecord, place_name};
use crate::state::{GROUND_EVENTS_MAX, Occasion, insert_bounded};

/// The most digests that one piece of evidence is verified against.
const SUBJECTS_MAX: usize = 1024;

impl Work<'_> {
    pub(super) fn take_attestation_attached(
        &mut self,
        occasion: &Occasion,
        attached: &AttestationAttached,
    ) -> Result<(), RecordsError> {
        let repository = attached.repository.clone();
        self.learn_digest(occasion, &attached.subject, |record| {
            if let Some(repository) = &repository {
                record.repositories.insert(repository.clone());
            }
            record.cut |= attached.cut;
        })?;
        let trace = self.trace.clone();
        for item in &attached.items {
            let id = evidence_id(item);
            let mut must_verify = false;
            self.draft.update::<EvidenceRecord>(Table::Evidence, &evidence::key(&id), |record| {
                let is_new = record.blob.is_none();
                if is_new {
                    record.media_type.clone_from(&item.media_type);
                    record.annotations.clone_from(&item.annotations);
                }
                record.artifact_type = record.artifact_type.take().or_else(|| attached.artifact_type.clone());
                record.blob = Some((item.blob.digest, item.blob.size_bytes));
                // A signature without a payload speaks of what it is attached to, so another place is another question.
                must_verify = is_new
                    || (!speaks_of(record, &attached.subject) && record.attached_to.len() < SUBJECTS_MAX);
                if record.attached_to.len() < SUBJECTS_MAX {
                    record.attached_to.insert(attached.subject);
                }
                record.repositories.extend(attached.repository.clone());
                record.places.insert(place_name(&attached.place));
                let recorded = occasion.recorded;
                record.first_recorded =
                    Some(record.first_recorded.map_or(recorded, |known| known.min(recorded)));
                if is_new {
                    record.awaited_since = Some(recorded);
                }
                if must_verify && trace.is_some() {
                    record.trace.clone_from(&trace);
                }
                insert_bounded(&mut record.ground, occasion.ground(), GROUND_EVENTS_MAX);
            })?;
            let attached_key = evidence::attached_key(&attached.subject, &id);
            if !self.draft.contains(Table::Statements, &attached_key)? {
                self.draft.put(Table::Statements, attached_key, &())?;
                self.touch_digest(attached.subject);
            }
            if must_verify {
                self.decide(Decision::Verify { evidence: id }, trace.as_ref());
            }
        }
        Ok(())
    }

    pub(in crate::ledger) fn take_verified(&mut self, verified: &Verified) -> Result<(), RecordsError> {
        let key = evidence::key(&verified.evidence);
        let Some(mut record) = self.draft.get::<EvidenceRecord>(Table::Evidence, &key)? else {
            return Ok(());
        };
        self.trace.clone_from(&record.trace);
        // A result under a trust set that is no longer in force says nothing: the right one is on its way.
        if verified.trust != self.contracts.trust_version() {
            return Ok(());
        }
        let before = subjects(&record);
        let is_same_trust = record.trust == Some((verified.trust, verified.verifier));
        record.outcome = Some(match record.outcome.take().filter(|_| is_same_trust) {
            Some(known) => joined(known, &verified.outcome),
            None => verified.outcome.clone(),
        });
        record.trust = Some((verified.trust, verified.verifier));
        record.awaited_since = None;
        let after = subjects(&record);
        for gone in before.iter().filter(|subject| !after.contains(subject)) {
            self.draft.remove(Table::Statements, &evidence::subject_key(gone, &verified.evidence));
        }
        for subject in &after {
            self.draft.put(Table::Statements, evidence::subject_key(subject, &verified.evidence), &())?;
        }
        for digest in before.into_iter().chain(after).chain(record.attached_to.iter().copied()) {
            self.touch_digest(digest);
        }
        self.draft.put(Table::Evidence, key, &record)
    }

    /// A changed trust set: every outcome is stale, and every piece of evidence is verified again.
    pub(in crate::ledger) fn verify_everything_again(&mut self) -> Result<(), RecordsError> {
        for (key, mut record) in self.draft.scan::<EvidenceRecord>(Table::Evidence, "", usize::MAX)? {
            record.awaited_since = Some(self.now);
            self.draft.put(Table::Evidence, key.clone(), &record)?;
            if let Ok(id) = key.parse::<Digest>() {
                self.decide(Decision::Verify { evidence: id }, record.trace.as_ref());
            }
        }
        Ok(())
    }
}

/// Whether the outcome says something about a digest already, or says what cannot change with the place.
fn speaks_of(record: &EvidenceRecord, subject: &Digest) -> bool {
    match &record.outcome {
        Some(Outcome::Verified(statement)) => {
            statement.subjects.contains(subject)
                || statement.predicate.kind() != crate::facts::PredicateKind::ImageSignature
        }
        Some(Outcome::Refused(_)) | None => record.attached_to.contains(subject),
    }
}

/// Two results for the same bytes under the same trust set, from two places: a proof stays, whatever else fails, and what
/// is proven of several digests is proven of each.
fn joined(known: Outcome, new: &Outcome) -> Outcome {
    match (known, new) {
        (Outcome::Verified(mut known), Outcome::Verified(new)) => {
            known.subjects.extend(new.subjects.iter().copied());
            known.subjects.sort();
            known.subjects.dedup();
            Outcome::Verified(known)
        }
        (known @ Outcome::Verified(_), Outcome::Refused(_)) => known,
        (Outcome::Refused(_), new) => new.clone(),
    }
}

fn subjects(record: &EvidenceRecord) -> Vec<Digest> {
    match &record.outcome {
        Some(Outcome::Verified(statement)) => statement.subjects.clone(),
        _ => Vec::new(),
    }
}
