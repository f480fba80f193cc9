//! Verifies evidence while it is taken in: an event and what its evidence proves reach the ledger together and are judged
//! once.
//!
//! In: evidence that the index does not know, with its bytes. Out: its result under the trust set in force. What is not
//! answered here (it is large, known already, or cannot be verified now) is asked for by the ledger, and
//! [`crate::verification`] answers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bus_schema::Digest;
use bus_schema::registry::{AttestationAttached, EvidenceItem};
use correlator_core::facts::{Verified, carried_annotations, evidence_id};
use correlator_core::records::{Records, Table};
use correlator_core::state::evidence::{EvidenceRecord, key as evidence_key};
use correlator_store::Store;
use evidence::VERIFIER_VERSION;

use crate::metrics::CorrelatorMetrics;
use crate::shared::Shared;
use crate::verification::{OutcomeCache, OutcomeKey, is_not_yet, outcome_and_size, word_of};

/// Of the evidence of one event, what goes beyond this does not hold up what is behind it, nor are its results in memory
/// with those of a whole batch.
const EVENT_BYTES_MAX: u64 = 256 * 1024;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Early {
    store: Arc<Store>,
    shared: Arc<Shared>,
    cache: OutcomeCache,
    metrics: CorrelatorMetrics,
}

/// Evidence as an event brings it.
#[derive(Debug)]
pub(super) struct Arrived {
    id: Digest,
    subject: Digest,
    record: EvidenceRecord,
}

impl Arrived {
    /// `bytes_before` is what the items before it in the event weigh. `None` where it is too much for this place.
    pub(super) fn of(
        attached: &AttestationAttached,
        item: &EvidenceItem,
        bytes_before: u64,
    ) -> Option<Arrived> {
        if bytes_before.saturating_add(item.blob.size_bytes) > EVENT_BYTES_MAX {
            return None;
        }
        let record = EvidenceRecord {
            media_type: item.media_type.clone(),
            artifact_type: attached.artifact_type.clone(),
            blob: Some((item.blob.digest, item.blob.size_bytes)),
            annotations: carried_annotations(item),
            attached_to: [attached.subject].into(),
            ..EvidenceRecord::default()
        };
        Some(Arrived { id: evidence_id(item), subject: attached.subject, record })
    }
}

impl Early {
    pub(super) fn new(
        store: &Arc<Store>,
        shared: &Arc<Shared>,
        cache: OutcomeCache,
        metrics: CorrelatorMetrics,
    ) -> Early {
        Early { store: Arc::clone(store), shared: Arc::clone(shared), cache, metrics }
    }

    /// The result, where there is one at once. Takes as long as one verification.
    pub(super) fn verified(&self, arrived: &Arrived, bytes: &[u8]) -> Option<Verified> {
        let Arrived { id, subject, record } = arrived;
        if self.is_known(id) {
            return None;
        }
        let in_force = self.shared.in_force.borrow().clone();
        let trust = in_force.trust.as_ref().ok()?;
        let key = OutcomeKey::new(*id, in_force.trust_version, std::iter::once(subject));
        let (outcome, was_cached) = match self.cache.get(&key) {
            Some(outcome) => (outcome, true),
            None => {
                // Where it panics, the verifying part says so and refuses.
                let verify = AssertUnwindSafe(|| outcome_and_size(record, bytes, trust));
                let (outcome, size) = catch_unwind(verify).ok()?;
                if is_not_yet(&outcome) {
                    return None;
                }
                self.cache.put(key, outcome.clone(), size);
                (outcome, false)
            }
        };
        self.metrics.verification(word_of(&outcome, was_cached));
        Some(Verified { evidence: *id, verifier: VERIFIER_VERSION, trust: in_force.trust_version, outcome })
    }

    /// Known evidence has a result, or one is on its way. So it counts where the index cannot be read: then nothing is
    /// recorded either.
    fn is_known(&self, id: &Digest) -> bool {
        let Ok(index) = self.store.index() else { return true };
        let Ok(snapshot) = index.snapshot() else { return true };
        !matches!(snapshot.get(Table::Evidence, &evidence_key(id)), Ok(None))
    }
}
