//! What one durable consumer is still owed: how far it has looked, and which deliveries are not settled.
//!
//! Pure bookkeeping under one short lock; the writer keeps the same on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::bus::{ConsumerConfig, Stream};

#[derive(Debug)]
pub(super) struct Owed {
    stream: Stream,
    name: String,
    changed: Notify,
    /// One fetch at a time plans and counts; waiting happens outside.
    pub(super) turn: tokio::sync::Mutex<()>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: ConsumerConfig,
    looked_at: u64,
    unsettled: BTreeMap<u64, Unsettled>,
    due: BTreeSet<(Instant, u64)>,
    is_removed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Unsettled {
    deliveries: u32,
    due: Instant,
}

/// What a fetch may take now.
#[derive(Debug)]
pub(super) struct Plan {
    /// Sequence and deliveries so far.
    pub(super) again: Vec<(u64, u32)>,
    pub(super) new_max: usize,
    pub(super) looked_at: u64,
    pub(super) config: ConsumerConfig,
}

impl Owed {
    /// A consumer as the disk has it: everything unsettled is due at once, because its reader is gone.
    pub(super) fn new(config: ConsumerConfig, looked_at: u64, deliveries: BTreeMap<u64, u32>) -> Owed {
        let now = Instant::now();
        let due = deliveries.keys().map(|sequence| (now, *sequence)).collect();
        let unsettled = deliveries
            .into_iter()
            .map(|(sequence, deliveries)| (sequence, Unsettled { deliveries, due: now }));
        let unsettled = unsettled.collect();
        Owed {
            stream: config.stream,
            name: config.name.clone(),
            changed: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
            inner: Mutex::new(Inner { config, looked_at, unsettled, due, is_removed: false }),
        }
    }

    pub(super) fn stream(&self) -> Stream {
        self.stream
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn config(&self) -> ConsumerConfig {
        self.lock().config.clone()
    }

    pub(super) fn update(&self, config: ConsumerConfig) {
        self.lock().config = config;
        self.wake();
    }

    pub(super) fn wake(&self) {
        self.changed.notify_waiters();
    }

    pub(super) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    pub(super) fn mark_removed(&self) {
        self.lock().is_removed = true;
        self.wake();
    }

    pub(super) fn is_removed(&self) -> bool {
        self.lock().is_removed
    }

    /// The lowest sequence that this consumer has not settled: all before it may go.
    pub(super) fn settled_below(&self) -> u64 {
        let inner = self.lock();
        inner.unsettled.keys().next().copied().unwrap_or(inner.looked_at + 1)
    }

    /// How far it has looked, and how many deliveries are not settled.
    pub(super) fn counts(&self) -> (u64, u64) {
        let inner = self.lock();
        (inner.looked_at, inner.unsettled.len() as u64)
    }

    pub(super) fn looked_at(&self) -> u64 {
        self.lock().looked_at
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.lock().due.first().map(|(at, _)| *at)
    }

    pub(super) fn plan(&self, messages_max: usize) -> Plan {
        let inner = self.lock();
        let now = Instant::now();
        let due = inner.due.iter().take_while(|(at, _)| *at <= now).take(messages_max);
        let again: Vec<(u64, u32)> = due
            .filter_map(|(_, sequence)| Some((*sequence, inner.unsettled.get(sequence)?.deliveries)))
            .collect();
        let free = inner.config.in_flight_max.saturating_sub(inner.unsettled.len());
        let new_max = free.min(messages_max - again.len());
        Plan { again, new_max, looked_at: inner.looked_at, config: inner.config.clone() }
    }

    /// Remembers messages that no filter of ours takes.
    pub(super) fn advance(&self, looked_at: u64) {
        let mut inner = self.lock();
        inner.looked_at = inner.looked_at.max(looked_at);
    }

    /// Takes over deliveries that are counted on disk. Answers which of them were settled in the meantime by a late
    /// acknowledgement and must not go out.
    pub(super) fn delivered(&self, rows: &[(u64, u32)], looked_at: u64) -> Vec<u64> {
        let mut inner = self.lock();
        let due = Instant::now() + inner.config.ack_wait;
        let mut late = Vec::new();
        for (sequence, deliveries) in rows.iter().copied() {
            let is_new = sequence > inner.looked_at;
            match inner.unsettled.remove(&sequence) {
                Some(before) => {
                    inner.due.remove(&(before.due, sequence));
                }
                None if !is_new => {
                    late.push(sequence);
                    continue;
                }
                None => {}
            }
            inner.unsettled.insert(sequence, Unsettled { deliveries, due });
            inner.due.insert((due, sequence));
        }
        inner.looked_at = inner.looked_at.max(looked_at);
        late
    }

    /// True when it was unsettled.
    pub(super) fn settle(&self, sequence: u64) -> bool {
        let mut inner = self.lock();
        let Some(before) = inner.unsettled.remove(&sequence) else { return false };
        inner.due.remove(&(before.due, sequence));
        drop(inner);
        self.wake();
        true
    }

    /// Moves the time of the next delivery. Only the newest delivery of a message has a say in it.
    pub(super) fn set_due(&self, sequence: u64, deliveries: u32, due: Instant) {
        let mut inner = self.lock();
        let Some(unsettled) = inner.unsettled.get_mut(&sequence) else { return };
        if unsettled.deliveries != deliveries {
            return;
        }
        let before = std::mem::replace(&mut unsettled.due, due);
        inner.due.remove(&(before, sequence));
        inner.due.insert((due, sequence));
        drop(inner);
        self.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
