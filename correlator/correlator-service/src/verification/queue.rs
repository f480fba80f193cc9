//! What waits to be verified: each piece of evidence once, however many decisions ask for it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use bus_schema::Digest;
use correlator_store::OutboxId;

use crate::pause::Pauses;

/// Beyond this nothing more is taken from the outbox.
const WAITING_MAX: usize = 1024;
const RETRY_PAUSES: Pauses = Pauses { first: Duration::from_secs(1), max: Duration::from_secs(300) };

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queue {
    ready: VecDeque<Digest>,
    /// Evidence that could not be read, until it is tried again.
    resting: BTreeMap<(Instant, Digest), ()>,
    known: HashMap<Digest, Known>,
    /// Rows of the outbox that are not done, in order.
    rows: BTreeMap<OutboxId, Digest>,
    cursor: Option<OutboxId>,
    settled: Option<OutboxId>,
    rows_done: u64,
}

#[derive(Debug, Default)]
struct Known {
    failures: u32,
    rows: Vec<OutboxId>,
}

impl Queue {
    pub(super) fn add_row(&mut self, row: OutboxId, evidence: Digest) {
        self.cursor = Some(row);
        self.rows.insert(row, evidence);
        self.add(evidence);
        if let Some(known) = self.known.get_mut(&evidence) {
            known.rows.push(row);
        }
    }

    pub(super) fn add(&mut self, evidence: Digest) {
        self.known.entry(evidence).or_insert_with(|| {
            self.ready.push_back(evidence);
            Known::default()
        });
    }

    /// The last row that was taken.
    pub(super) fn cursor(&self) -> Option<OutboxId> {
        self.cursor
    }

    pub(super) fn has_room(&self) -> bool {
        self.known.len() < WAITING_MAX
    }

    /// Everything that is not done, what is being verified included.
    pub(super) fn waiting(&self) -> usize {
        self.known.len()
    }

    /// The next piece to verify.
    pub(super) fn next(&mut self, now: Instant) -> Option<Digest> {
        while let Some(entry) = self.resting.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let ((_, evidence), ()) = entry.remove_entry();
            self.ready.push_back(evidence);
        }
        self.ready.pop_front()
    }

    /// When the first resting piece is tried again.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.resting.first_key_value().map(|((at, _), ())| *at)
    }

    /// It must be verified again, at once.
    pub(super) fn again(&mut self, evidence: &Digest) {
        self.ready.push_back(*evidence);
    }

    /// It could not be read; returns how often now.
    pub(super) fn failed(&mut self, evidence: &Digest, now: Instant) -> u32 {
        let Some(known) = self.known.get_mut(evidence) else { return 0 };
        known.failures += 1;
        self.resting.insert((now + RETRY_PAUSES.with_jitter(known.failures), *evidence), ());
        known.failures
    }

    pub(super) fn done(&mut self, evidence: &Digest) {
        let Some(known) = self.known.remove(evidence) else { return };
        for row in known.rows {
            self.rows.remove(&row);
            self.rows_done += 1;
        }
    }

    /// The row up to which all are done, when that went on since it was asked last, and how many rows were.
    pub(super) fn take_settled(&mut self) -> Option<(OutboxId, u64)> {
        let through = match self.rows.first_key_value() {
            None => self.cursor,
            Some((first, _)) => before(*first, self.cursor),
        }?;
        if self.settled.is_some_and(|settled| settled >= through) || self.rows_done == 0 {
            return None;
        }
        self.settled = Some(through);
        Some((through, std::mem::take(&mut self.rows_done)))
    }
}

/// The greatest name below a row: no row of the outbox lies between.
fn before(row: OutboxId, cursor: Option<OutboxId>) -> Option<OutboxId> {
    cursor?;
    match row.index.checked_sub(1) {
        Some(index) => Some(OutboxId { position: row.position, index }),
        None => Some(OutboxId { position: row.position.checked_sub(1)?, index: u32::MAX }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn row(position: u64) -> OutboxId {
        OutboxId { position, index: 0 }
    }

    fn digest(text: &str) -> Digest {
        Digest::sha256_of(text.as_bytes())
    }

    #[test]
    fn evidence_that_is_asked_for_twice_is_verified_once_and_settles_both() {
        let mut queue = Queue::default();
        queue.add_row(row(1), digest("a"));
        queue.add_row(row(2), digest("a"));
        assert_eq!(queue.next(Instant::now()), Some(digest("a")));
        assert_eq!(queue.next(Instant::now()), None);
        assert_eq!(queue.take_settled(), None);
        queue.done(&digest("a"));
        assert_eq!(queue.take_settled(), Some((row(2), 2)));
        assert_eq!(queue.take_settled(), None);
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn a_piece_that_cannot_be_read_rests_and_holds_back_only_its_own_row() {
        let mut queue = Queue::default();
        for (position, text) in [(1, "a"), (2, "b"), (3, "c")] {
            queue.add_row(row(position), digest(text));
        }
        let now = Instant::now();
        while queue.next(now).is_some() {}
        queue.done(&digest("a"));
        assert_eq!(queue.failed(&digest("b"), now), 1);
        queue.done(&digest("c"));
        let (through, _) = queue.take_settled().unwrap();
        assert!(through >= row(1) && through < row(2), "{through:?}");
        assert!(queue.next(now).is_none() && queue.next_retry().is_some());
        assert_eq!(queue.next(now + Duration::from_secs(2)), Some(digest("b")));
        queue.done(&digest("b"));
        assert_eq!(queue.take_settled(), Some((row(3), 1)));
    }
}
