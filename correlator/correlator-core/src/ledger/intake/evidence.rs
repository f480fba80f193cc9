//! Attached evidence, and what verification says about it.

use bus_schema::Digest;
use bus_schema::registry::AttestationAttached;

use super::Work;
use crate::decision::Decision;
use crate::facts::{Outcome, Verified, evidence_id};
use crate::records::{RecordsError, Table};
use crate::state::evidence::{self, EvidenceRecord, place_name};
use crate::state::{GROUND_EVENTS_MAX, Occasion, insert_bounded};

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
        for item in &attached.items {
            let id = evidence_id(item);
            let mut is_new = false;
            self.draft.update::<EvidenceRecord>(Table::Evidence, &evidence::key(&id), |record| {
                is_new = record.blob.is_none();
                record.media_type.clone_from(&item.media_type);
                record.artifact_type = record.artifact_type.take().or_else(|| attached.artifact_type.clone());
                record.blob = Some((item.blob.digest, item.blob.size_bytes));
                record.annotations.clone_from(&item.annotations);
                record.attached_to.insert(attached.subject);
                record.repositories.extend(attached.repository.clone());
                record.places.insert(place_name(&attached.place));
                let recorded = occasion.recorded;
                record.first_recorded =
                    Some(record.first_recorded.map_or(recorded, |known| known.min(recorded)));
                if is_new {
                    record.awaited_since = Some(recorded);
                }
                insert_bounded(&mut record.ground, occasion.ground(), GROUND_EVENTS_MAX);
            })?;
            let attached_key = evidence::attached_key(&attached.subject, &id);
            if !self.draft.contains(Table::Statements, &attached_key)? {
                self.draft.put(Table::Statements, attached_key, &())?;
                self.touched.digests.insert(attached.subject);
            }
            if is_new {
                self.decisions.push(Decision::Verify { evidence: id });
            }
        }
        Ok(())
    }

    pub(in crate::ledger) fn take_verified(&mut self, verified: &Verified) -> Result<(), RecordsError> {
        let key = evidence::key(&verified.evidence);
        let Some(mut record) = self.draft.get::<EvidenceRecord>(Table::Evidence, &key)? else {
            return Ok(());
        };
        // A result under a trust set that is no longer in force says nothing: the right one is on its way.
        if verified.trust != self.contracts.trust_version() {
            return Ok(());
        }
        let before = subjects(&record);
        record.outcome = Some(verified.outcome.clone());
        record.trust = Some((verified.trust, verified.verifier));
        record.awaited_since = None;
        let after = subjects(&record);
        for gone in before.iter().filter(|subject| !after.contains(subject)) {
            self.draft.remove(Table::Statements, &evidence::subject_key(gone, &verified.evidence));
        }
        for subject in &after {
            self.draft.put(Table::Statements, evidence::subject_key(subject, &verified.evidence), &())?;
        }
        self.touched.digests.extend(before);
        self.touched.digests.extend(after);
        self.touched.digests.extend(record.attached_to.iter().copied());
        self.draft.put(Table::Evidence, key, &record)
    }

    /// A changed trust set: every outcome is stale, and every piece of evidence is verified again.
    pub(in crate::ledger) fn verify_everything_again(&mut self) -> Result<(), RecordsError> {
        for (key, mut record) in self.draft.scan::<EvidenceRecord>(Table::Evidence, "", usize::MAX)? {
            record.awaited_since = Some(self.now);
            self.draft.put(Table::Evidence, key.clone(), &record)?;
            if let Ok(id) = key.parse::<Digest>() {
                self.decisions.push(Decision::Verify { evidence: id });
            }
        }
        Ok(())
    }
}

fn subjects(record: &EvidenceRecord) -> Vec<Digest> {
    match &record.outcome {
        Some(Outcome::Verified(statement)) => statement.subjects.clone(),
        _ => Vec::new(),
    }
}
