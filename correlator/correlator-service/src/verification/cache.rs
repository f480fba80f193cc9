//! Results of verification by what they depend on: the evidence, the trust set, the verifier, and where it was attached.

use std::sync::Arc;

use bus_schema::Digest;
use correlator_core::facts::Outcome;
use evidence::VERIFIER_VERSION;
use moka::sync::Cache;

/// A cache bounded in bytes. Only results are in it, never failures to read.
#[derive(Debug, Clone)]
pub(super) struct OutcomeCache {
    outcomes: Cache<Key, Arc<Entry>>,
}

/// What a result depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
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

impl Key {
    pub(super) fn new<'a>(
        evidence: Digest,
        trust: Digest,
        attached_to: impl Iterator<Item = &'a Digest>,
    ) -> Key {
        let attached: Vec<String> = attached_to.map(ToString::to_string).collect();
        let attached_to = bus_schema::hash::hash_fields(attached.iter().map(String::as_str));
        Key { evidence, trust, verifier: VERIFIER_VERSION, attached_to }
    }
}

impl Key {
    pub(super) fn evidence(&self) -> &Digest {
        &self.evidence
    }
}

impl OutcomeCache {
    pub(super) fn new(bytes_max: u64) -> OutcomeCache {
        let outcomes = Cache::builder()
            .max_capacity(bytes_max)
            .weigher(|_: &Key, entry: &Arc<Entry>| entry.bytes)
            .build();
        OutcomeCache { outcomes }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Outcome> {
        self.outcomes.get(key).map(|entry| entry.outcome.clone())
    }

    /// Remembers an outcome that takes `bytes` as JSON.
    pub(super) fn put(&self, key: Key, outcome: Outcome, bytes: usize) {
        let bytes = u32::try_from(bytes.saturating_add(256)).unwrap_or(u32::MAX);
        self.outcomes.insert(key, Arc::new(Entry { outcome, bytes }));
    }
}
