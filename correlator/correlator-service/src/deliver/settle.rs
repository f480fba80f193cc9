//! Which webhooks have an end result for which decision: the last one takes the decision out of the outbox.

use std::collections::{BTreeMap, BTreeSet};

use correlator_store::OutboxId;
use tokio::sync::{Mutex, MutexGuard};

/// See the module. One result is recorded at a time, so that exactly one of them is the last.
#[derive(Debug)]
pub(crate) struct Settle {
    sinks: BTreeSet<String>,
    done: Mutex<BTreeMap<OutboxId, BTreeSet<String>>>,
}

/// The right to record one result.
pub(super) struct Settling<'a> {
    sinks: &'a BTreeSet<String>,
    done: MutexGuard<'a, BTreeMap<OutboxId, BTreeSet<String>>>,
}

impl Settle {
    pub(super) fn new(sinks: BTreeSet<String>) -> Settle {
        Settle { sinks, done: Mutex::default() }
    }

    pub(super) async fn settling(&self) -> Settling<'_> {
        Settling { sinks: &self.sinks, done: self.done.lock().await }
    }

    /// Takes in results of before the start. Returns whether every webhook of today has one.
    pub(super) async fn learn(&self, id: OutboxId, known: &[String]) -> bool {
        let mut done = self.done.lock().await;
        let of_row = done.entry(id).or_default();
        of_row.extend(known.iter().filter(|sink| self.sinks.contains(*sink)).cloned());
        of_row.len() == self.sinks.len()
    }
}

impl Settling<'_> {
    /// Whether a result of this webhook is the last that is missing.
    pub(super) fn would_settle(&self, id: OutboxId, sink: &str) -> bool {
        let of_row = self.done.get(&id);
        self.sinks.iter().all(|other| other == sink || of_row.is_some_and(|of_row| of_row.contains(other)))
    }

    pub(super) fn done(mut self, id: OutboxId, sink: &str) {
        let of_row = self.done.entry(id).or_default();
        of_row.insert(sink.to_owned());
        if of_row.len() >= self.sinks.len() {
            self.done.remove(&id);
        }
    }
}
