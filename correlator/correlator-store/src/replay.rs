//! The entries that the index lacks, as what they are, and which of them are judged together.

use std::iter::Peekable;

use correlator_core::input::Entry;
use jiff::Timestamp;

use crate::log::{Entries, EntryKind, LogError, Logged};
use crate::receipt::Receipt;

/// What an entry of the log is to the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// Apply it; `joined`, together with the one before.
    Input { entry: Entry, joined: bool },
    /// Take from the outbox what it names.
    Receipt { position: u64, recorded: Timestamp, receipt: Receipt },
    /// Step over it: it was erased, is the record of an erasure, or is of a kind that this version does not know.
    Skipped { position: u64, kind: EntryKind, joined: bool },
}

impl Recorded {
    pub fn position(&self) -> u64 {
        match self {
            Recorded::Input { entry, .. } => entry.position,
            Recorded::Receipt { position, .. } | Recorded::Skipped { position, .. } => *position,
        }
    }

    /// Whether it is judged together with the entry before it.
    pub fn is_joined(&self) -> bool {
        match self {
            Recorded::Input { joined, .. } | Recorded::Skipped { joined, .. } => *joined,
            Recorded::Receipt { .. } => false,
        }
    }
}

impl TryFrom<Logged> for Recorded {
    type Error = LogError;

    fn try_from(logged: Logged) -> Result<Recorded, LogError> {
        let Logged { position, recorded, kind, joined, .. } = logged;
        if let Some(entry) = logged.input()? {
            return Ok(Recorded::Input { entry, joined });
        }
        Ok(match logged.receipt()? {
            Some(receipt) => Recorded::Receipt { position, recorded, receipt },
            None => Recorded::Skipped { position, kind, joined },
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

/// Entries in groups: each with those that are judged together with it. An error takes the place of a group that may lack
/// its end.
#[derive(Debug)]
pub struct Together<I: Iterator<Item = Result<Recorded, LogError>>> {
    entries: Peekable<I>,
}

impl<I: Iterator<Item = Result<Recorded, LogError>>> Together<I> {
    pub fn new(entries: I) -> Together<I> {
        Together { entries: entries.peekable() }
    }
}

impl<I: Iterator<Item = Result<Recorded, LogError>>> Iterator for Together<I> {
    type Item = Result<Vec<Recorded>, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        let belongs = |next: &Result<Recorded, LogError>| next.as_ref().is_ok_and(Recorded::is_joined);
        let mut group = match self.entries.next()? {
            Ok(first) => vec![first],
            Err(error) => return Some(Err(error)),
        };
        while let Some(next) = self.entries.next_if(belongs) {
            match next {
                Ok(next) => group.push(next),
                Err(error) => return Some(Err(error)),
            }
        }
        match self.entries.next_if(Result::is_err) {
            Some(Err(error)) => Some(Err(error)),
            _ => Some(Ok(group)),
        }
    }
}
