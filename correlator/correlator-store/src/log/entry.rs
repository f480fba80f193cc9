//! Entries as callers write and read them.

use std::fmt;

use correlator_core::input::{Entry, Input};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::LogError;
use crate::receipt::Receipt;

/// The largest payload of one entry.
pub const ENTRY_PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The largest reason of an erasure.
pub const ERASURE_REASON_BYTES_MAX: usize = 1024;

/// What an entry is. A kind that this version does not know stays readable as `Other` and takes part in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// An input of the ledger.
    Input,
    /// What must not happen twice.
    Receipt,
    /// The payload of an earlier entry was erased, and why.
    Erasure,
    Other(u16),
}

impl EntryKind {
    pub(super) fn number(self) -> u16 {
        match self {
            EntryKind::Input => 1,
            EntryKind::Receipt => 2,
            EntryKind::Erasure => 3,
            EntryKind::Other(number) => number,
        }
    }

    pub(super) fn from_number(number: u16) -> EntryKind {
        match number {
            1 => EntryKind::Input,
            2 => EntryKind::Receipt,
            3 => EntryKind::Erasure,
            number => EntryKind::Other(number),
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EntryKind::Input => formatter.write_str("input"),
            EntryKind::Receipt => formatter.write_str("receipt"),
            EntryKind::Erasure => formatter.write_str("erasure"),
            EntryKind::Other(number) => write!(formatter, "other({number})"),
        }
    }
}

/// An entry to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    pub recorded: Timestamp,
    pub kind: EntryKind,
    /// It is judged together with the entry before it. Where a crash left only the first of such entries, they are judged
    /// without the rest.
    pub joined: bool,
    pub payload: Vec<u8>,
}

impl NewEntry {
    pub fn input(recorded: Timestamp, input: &Input) -> Result<NewEntry, LogError> {
        let payload = serde_json::to_vec(input).map_err(LogError::Encode)?;
        Ok(NewEntry { recorded, kind: EntryKind::Input, joined: false, payload })
    }

    pub fn receipt(recorded: Timestamp, receipt: &Receipt) -> Result<NewEntry, LogError> {
        let payload = serde_json::to_vec(receipt).map_err(LogError::Encode)?;
        Ok(NewEntry { recorded, kind: EntryKind::Receipt, joined: false, payload })
    }

    pub(super) fn erasure(recorded: Timestamp, erasure: &Erasure) -> Result<NewEntry, LogError> {
        let payload = serde_json::to_vec(erasure).map_err(LogError::Encode)?;
        Ok(NewEntry { recorded, kind: EntryKind::Erasure, joined: false, payload })
    }
}

/// An entry as the log holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    pub position: u64,
    pub recorded: Timestamp,
    pub kind: EntryKind,
    /// See [`NewEntry::joined`].
    pub joined: bool,
    pub payload: Payload,
    /// The hash of this entry, which the next one repeats.
    pub hash: [u8; 32],
}

/// The bytes of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    Present(Vec<u8>),
    Erased,
}

impl Logged {
    /// The ledger's entry, when this is an input whose payload was not erased.
    pub fn input(&self) -> Result<Option<Entry>, LogError> {
        let input: Option<Input> = self.decode(EntryKind::Input)?;
        Ok(input.map(|input| Entry { position: self.position, recorded: self.recorded, input }))
    }

    /// The receipt, when this is one.
    pub fn receipt(&self) -> Result<Option<Receipt>, LogError> {
        self.decode(EntryKind::Receipt)
    }

    pub(super) fn erasure(&self) -> Result<Option<Erasure>, LogError> {
        self.decode(EntryKind::Erasure)
    }

    fn decode<T: serde::de::DeserializeOwned>(&self, kind: EntryKind) -> Result<Option<T>, LogError> {
        match &self.payload {
            Payload::Present(bytes) if self.kind == kind => serde_json::from_slice(bytes)
                .map(Some)
                .map_err(|source| LogError::Decode { position: self.position, kind, source }),
            _ => Ok(None),
        }
    }
}

/// The payload of an erasure entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Erasure {
    pub(super) position: u64,
    pub(super) reason: String,
}
