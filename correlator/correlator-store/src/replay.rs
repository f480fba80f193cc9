//! The entries that the index lacks, as what they are.

use correlator_core::input::Entry;
use jiff::Timestamp;

use crate::log::{Entries, EntryKind, LogError, Logged};
use crate::receipt::Receipt;

/// What an entry of the log is to the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// Apply it.
    Input(Entry),
    /// Take from the outbox what it names.
    Receipt { position: u64, recorded: Timestamp, receipt: Receipt },
    /// Step over it: it was erased, is the record of an erasure, or is of a kind that this version does not know.
    Skipped { position: u64, kind: EntryKind },
}

impl Recorded {
    pub fn position(&self) -> u64 {
        match self {
            Recorded::Input(entry) => entry.position,
            Recorded::Receipt { position, .. } | Recorded::Skipped { position, .. } => *position,
        }
    }
}

impl TryFrom<Logged> for Recorded {
    type Error = LogError;

    fn try_from(logged: Logged) -> Result<Recorded, LogError> {
        if let Some(entry) = logged.input()? {
            return Ok(Recorded::Input(entry));
        }
        let Logged { position, recorded, kind, .. } = logged;
        Ok(match logged.receipt()? {
            Some(receipt) => Recorded::Receipt { position, recorded, receipt },
            None => Recorded::Skipped { position, kind },
        })
    }
}

/// Entries in order, decoded. The first error is the last item.
#[derive(Debug)]
pub struct Replay {
    entries: Entries,
    skipped: u64,
    failed: bool,
}

impl Replay {
    pub(crate) fn new(entries: Entries) -> Replay {
        Replay { entries, skipped: 0, failed: false }
    }

    /// How many entries were stepped over so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

impl Iterator for Replay {
    type Item = Result<Recorded, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let recorded = self.entries.next()?.and_then(Recorded::try_from);
        match &recorded {
            Ok(Recorded::Skipped { .. }) => self.skipped += 1,
            Ok(_) => {}
            Err(_) => self.failed = true,
        }
        Some(recorded)
    }
}
