//! Attached evidence, and what verification says about it.

use std::sync::Arc;

use bus_schema::Digest;
use bus_schema::registry::AttestationAttached;
use jiff::Timestamp;

use super::Work;
use crate::decision::Decision;
use crate::facts::{Outcome, Verified, carried_annotations, evidence_id};
use crate::records::{RecordsError, Table};
use crate::state::digest::PLACES_MAX;
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
        let contracts = Arc::clone(&self.contracts);
        self.learn_digest(occasion, &attached.subject, |record| {
            if let Some(repository) = &repository {
                record.learn_repository(repository, |repository| contracts.claims(repository));
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
                    record.annotations = carried_annotations(item);
                }
                record.artifact_type = record.artifact_type.take().or_else(|| attached.artifact_type.clone());
                record.blob = Some((item.blob.digest, item.blob.size_bytes));
                // A signature without a payload speaks of what it is attached to, so another place is another question.
                must_verify = is_new
                    || (!speaks_of(record, &attached.subject) && record.attached_to.len() < SUBJECTS_MAX);
                if record.attached_to.len() < SUBJECTS_MAX {
                    record.attached_to.insert(attached.subject);
                }
                if record.repositories.len() < PLACES_MAX {
                    record.repositories.extend(attached.repository.clone());
                }
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
            if !self.draft.contains(Table::Digests, &attached_key)? {
                self.draft.put(Table::Digests, attached_key, ());
                self.touch_digest(attached.subject);
            }
            if must_verify {
                self.to_verify.push((id, trace.clone()));
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
            self.draft.remove(Table::Digests, &evidence::subject_key(gone, &verified.evidence));
        }
        for subject in &after {
            self.draft.put(Table::Digests, evidence::subject_key(subject, &verified.evidence), ());
        }
        for digest in before.into_iter().chain(after).chain(record.attached_to.iter().copied()) {
            self.touch_digest(digest);
        }
        if answers_for_all(&record) {
            self.to_verify.retain(|(evidence, _)| *evidence != verified.evidence);
        }
        self.draft.put(Table::Evidence, key, record);
        Ok(())
    }

    /// Under a changed trust set the result of a piece of evidence is stale: it is awaited anew, and verified again. Not so
    /// where it was marked since the change. Returns whether it was marked now.
    pub(in crate::ledger) fn verify_again(
        &mut self,
        id: &Digest,
        changed: Timestamp,
    ) -> Result<bool, RecordsError> {
        let key = evidence::key(id);
        let Some(mut record) = self.draft.get::<EvidenceRecord>(Table::Evidence, &key)? else {
            return Ok(false);
        };
        let is_current = record.trust.is_some_and(|(trust, _)| trust == self.contracts.trust_version());
        let is_marked = record.awaited_since.is_some_and(|since| since >= changed);
        if is_marked || (is_current && record.awaited_since.is_none()) {
            return Ok(false);
        }
        // What was never verified has been awaited since it came.
        let came = record.awaited_since.filter(|_| record.outcome.is_none());
        record.awaited_since = came.or(Some(self.now));
        self.to_verify.push((*id, record.trace.clone()));
        self.draft.put(Table::Evidence, key, record);
        Ok(true)
    }

    /// Decides what still is to be verified after all inputs that are judged together.
    pub(in crate::ledger) fn decide_verifications(&mut self) {
        for (evidence, trace) in std::mem::take(&mut self.to_verify) {
            self.decide(Decision::Verify { evidence }, trace.as_ref());
        }
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

/// Whether the outcome leaves nothing to verify about any digest that the evidence is attached to.
fn answers_for_all(record: &EvidenceRecord) -> bool {
    match &record.outcome {
        Some(Outcome::Verified(_)) => record.attached_to.iter().all(|subject| speaks_of(record, subject)),
        // It may have been tried for one of several places only.
        Some(Outcome::Refused(_)) => record.attached_to.len() == 1,
        None => false,
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::collections::BTreeMap;

    use bus_schema::registry::{BlobRef, EvidenceItem, EvidencePlace};
    use bus_schema::{Envelope, Event};
    use jiff::Timestamp;

    use super::*;
    use crate::contracts::ContractSet;
    use crate::facts::{Refusal, RefusalReason};
    use crate::input::{Entry, Input};
    use crate::ledger::Ledger;
    use crate::records::{MemoryRecords, Records};

    fn item() -> EvidenceItem {
        let blob = BlobRef { digest: Digest::sha256_of(b"a signature"), size_bytes: 11, inline: None };
        EvidenceItem { media_type: "application/json".to_owned(), blob, annotations: BTreeMap::new() }
    }

    /// The evidence, found attached to a digest.
    fn attached(subject: &str) -> Input {
        let event = Event::AttestationAttached(AttestationAttached {
            repository: Some("registry.example/acme/api".parse().unwrap()),
            forge_repository: None,
            subject: Digest::sha256_of(subject.as_bytes()),
            manifest: Digest::sha256_of(b"a manifest"),
            place: EvidencePlace::Referrers,
            artifact_type: None,
            items: vec![item()],
            cut: false,
            found_at: Timestamp::UNIX_EPOCH,
        });
        let (agent, at) = ("registry".parse().unwrap(), Timestamp::UNIX_EPOCH);
        Input::Event(Box::new(Envelope::new(agent, at, at, None, event)))
    }

    fn refused(trust: Digest) -> Input {
        let outcome = Outcome::Refused(Refusal {
            reason: RefusalReason::Malformed,
            expected: "one".to_owned(),
            found: "another".to_owned(),
            claims: None,
            claimed_subjects: Vec::new(),
        });
        Input::Verified(Box::new(Verified { evidence: evidence_id(&item()), verifier: 1, trust, outcome }))
    }

    /// How many verifications are asked for after all of these.
    fn asked(inputs: Vec<Input>) -> usize {
        let records = MemoryRecords::default();
        let entries: Vec<Entry> = (1..)
            .zip(inputs)
            .map(|(position, input)| Entry { position, recorded: Timestamp::UNIX_EPOCH, input })
            .collect();
        let outcome = Ledger::under(ContractSet::empty()).apply_together(&records, &entries).unwrap();
        outcome.decisions.iter().filter(|decision| matches!(decision, Decision::Verify { .. })).count()
    }

    #[test]
    fn evidence_that_comes_with_its_result_is_not_verified_again() {
        let trust = ContractSet::empty().trust_version();
        assert_eq!(asked(vec![attached("one")]), 1);
        assert_eq!(asked(vec![attached("one"), refused(trust)]), 0);
        assert_eq!(asked(vec![attached("one"), refused(trust), attached("one")]), 0);
    }

    #[test]
    fn what_stands_beside_evidence_is_no_part_of_it() {
        let Input::Event(mut envelope) = attached("one") else { panic!() };
        let Event::AttestationAttached(event) = &mut envelope.event else { panic!() };
        let annotations = [("beside", "x"), ("dev.sigstore.cosign/certificate", "a certificate")];
        let annotations = annotations.map(|(key, value)| (key.to_owned(), value.to_owned()));
        event.items[0].annotations = annotations.clone().into();
        let id = evidence_id(&event.items[0]);
        let entry = Entry { position: 1, recorded: Timestamp::UNIX_EPOCH, input: Input::Event(envelope) };
        let mut records = MemoryRecords::default();
        let mut ledger = Ledger::under(ContractSet::empty());
        records.commit(ledger.apply_together(&records, &[entry]).unwrap().changes);
        let kept = records.get(Table::Evidence, &evidence::key(&id)).unwrap().unwrap();
        let kept: EvidenceRecord = serde_json::from_slice(&kept).unwrap();
        assert_eq!(kept.annotations, annotations[1..].iter().cloned().collect());
    }

    #[test]
    fn a_result_of_another_trust_or_before_the_evidence_or_of_one_place_of_two_leaves_it_to_be_verified() {
        let trust = ContractSet::empty().trust_version();
        let another = Digest::sha256_of(b"another");
        assert_eq!(asked(vec![attached("one"), refused(another)]), 1);
        assert_eq!(asked(vec![refused(trust), attached("one")]), 1);
        assert!(asked(vec![attached("one"), attached("two"), refused(trust)]) > 0);
        assert!(asked(vec![attached("one"), refused(trust), attached("two")]) > 0);
    }
}
