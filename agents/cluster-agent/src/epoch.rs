//! The process's epoch, and what it counts: a number is never used twice in one epoch, however often the loop begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

/// When the process began, and the sequences since then. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Epoch {
    began_at: Timestamp,
    heartbeats: Arc<AtomicU64>,
    inventories: Arc<AtomicU64>,
    gaps: Arc<AtomicU64>,
}

impl Epoch {
    pub(crate) fn begin(began_at: Timestamp) -> Epoch {
        Epoch { began_at, heartbeats: Arc::default(), inventories: Arc::default(), gaps: Arc::default() }
    }

    pub(crate) fn began_at(&self) -> Timestamp {
        self.began_at
    }

    pub(crate) fn next_heartbeat(&self) -> u64 {
        next(&self.heartbeats)
    }

    pub(crate) fn next_inventory(&self) -> u64 {
        next(&self.inventories)
    }

    pub(crate) fn next_gap(&self) -> u64 {
        next(&self.gaps)
    }
}

fn next(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed) + 1
}

/// Whole seconds; nothing where a clock was set back.
pub(crate) fn seconds_since(then: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.duration_since(then).as_secs()).unwrap_or(0)
}
