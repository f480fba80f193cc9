//! Results of verification, remembered by all that they depend on: the evidence, the trust set, the verifier, and where it was
//! attached. Who may sign is no part of it: that is judged from the facts, each time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bus_schema::Digest;
use correlator_core::facts::Outcome;
use evidence::VERIFIER_VERSION;
use moka::Expiry;
use moka::sync::Cache;

/// A refusal is forgotten after this.
pub(crate) const REFUSAL_KEPT: Duration = Duration::from_secs(60);
/// What an entry takes beside its outcome.
const ENTRY_BYTES: usize = 256;

/// A cache bounded in bytes. Only results are in it: what could not be read has none. Clones share the entries.
#[derive(Debug, Clone)]
pub struct OutcomeCache {
    outcomes: Cache<OutcomeKey, Arc<Entry>>,
}

/// What a result depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OutcomeKey {
    evidence: Digest,
    trust: Digest,
    verifier: u32,
    attached_to: [u8; 32],
}

#[derive(Debug)]
struct Entry {
    outcome: Outcome,
    bytes: u32,
}

impl OutcomeKey {
    /// `evidence` is the digest of its bytes, annotations included; `trust` names all that evidence is verified against:
    /// the contracts' trust version, or [`evidence::TrustSet::hash`] where there are no contracts.
    pub fn new<'a>(
        evidence: Digest,
        trust: Digest,
        attached_to: impl Iterator<Item = &'a Digest>,
    ) -> OutcomeKey {
        let attached: Vec<String> = attached_to.map(ToString::to_string).collect();
        let attached_to = bus_schema::hash::hash_fields(attached.iter().map(String::as_str));
        OutcomeKey { evidence, trust, verifier: VERIFIER_VERSION, attached_to }
    }

    pub fn evidence(&self) -> &Digest {
        &self.evidence
    }
}

impl OutcomeCache {
    /// A cache of this size.
    pub fn new(bytes_max: u64) -> OutcomeCache {
        let outcomes = Cache::builder()
            .max_capacity(bytes_max)
            .weigher(|_: &OutcomeKey, entry: &Arc<Entry>| entry.bytes)
            .expire_after(RefusalsEnd)
            .build();
        OutcomeCache { outcomes }
    }

    pub fn get(&self, key: &OutcomeKey) -> Option<Outcome> {
        self.get_with_size(key).map(|(outcome, _)| outcome)
    }

    /// The same with the bytes that it takes here.
    pub(crate) fn get_with_size(&self, key: &OutcomeKey) -> Option<(Outcome, usize)> {
        self.outcomes.get(key).map(|entry| (entry.outcome.clone(), entry.bytes as usize))
    }

    /// Remembers an outcome that takes `bytes` as JSON.
    pub fn put(&self, key: OutcomeKey, outcome: Outcome, bytes: usize) {
        let bytes = u32::try_from(bytes.saturating_add(ENTRY_BYTES)).unwrap_or(u32::MAX);
        self.outcomes.insert(key, Arc::new(Entry { outcome, bytes }));
    }
}

/// What verified stays until its place is needed; what was refused ends soon.
struct RefusalsEnd;

impl Expiry<OutcomeKey, Arc<Entry>> for RefusalsEnd {
    fn expire_after_create(&self, _: &OutcomeKey, entry: &Arc<Entry>, _: Instant) -> Option<Duration> {
        match entry.outcome {
            Outcome::Verified(_) => None,
            Outcome::Refused(_) => Some(REFUSAL_KEPT),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use correlator_core::facts::{Refusal, RefusalReason};

    use super::*;

    fn refused() -> Refusal {
        Refusal {
            reason: RefusalReason::Malformed,
            expected: "one".to_owned(),
            found: "another".to_owned(),
            claims: None,
            claimed_subjects: Vec::new(),
        }
    }

    #[test]
    fn a_result_counts_for_the_same_evidence_trust_and_place_only() {
        let cache = OutcomeCache::new(1 << 20);
        let digest = |byte| Digest::Sha256([byte; 32]);
        let key = OutcomeKey::new(digest(1), digest(2), [digest(3)].iter());
        cache.put(key.clone(), Outcome::Refused(refused()), 10);
        assert!(cache.get(&key).is_some());
        for other in [
            OutcomeKey::new(digest(9), digest(2), [digest(3)].iter()),
            OutcomeKey::new(digest(1), digest(9), [digest(3)].iter()),
            OutcomeKey::new(digest(1), digest(2), [digest(9)].iter()),
        ] {
            assert!(cache.get(&other).is_none());
        }
    }

    #[test]
    fn a_refusal_ends_soon() {
        let entry = Arc::new(Entry { outcome: Outcome::Refused(refused()), bytes: 1 });
        let digest = Digest::Sha256([0; 32]);
        let key = OutcomeKey::new(digest, digest, std::iter::empty());
        assert_eq!(RefusalsEnd.expire_after_create(&key, &entry, Instant::now()), Some(REFUSAL_KEPT));
    }

    #[test]
    fn what_is_larger_than_the_cache_is_not_kept() {
        let cache = OutcomeCache::new(100);
        let digest = Digest::Sha256([0; 32]);
        let key = OutcomeKey::new(digest, digest, std::iter::empty());
        cache.put(key.clone(), Outcome::Refused(refused()), 1000);
        cache.outcomes.run_pending_tasks();
        assert!(cache.get(&key).is_none());
    }
}
