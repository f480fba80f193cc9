//! Why the evidence log cannot do what was asked.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::entry::EntryKind;
use crate::durable;

/// A failure of the evidence log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// Nothing of the batch was kept. The same append works once there is space.
    #[error("{doing} {}: no space is left; nothing of it was kept, free some space and try again", path.display())]
    DiskFull { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("the evidence log is damaged in {file} at position {position} (byte {offset}): {fault}")]
    Corrupt { file: String, position: u64, offset: u64, fault: Box<Fault> },
    #[error(
        "the evidence log ends at position {have}, but {witness} knows position {expected}: entries are lost; \
         restore the log folder from a copy"
    )]
    Shortened { have: u64, expected: u64, witness: &'static str },
    #[error("the evidence log in {} has entries but no {missing}: restore that file from a copy", folder.display())]
    Incomplete { folder: PathBuf, missing: &'static str },
    #[error("the log key {} is not the key of this log: {reason}", path.display())]
    Key { path: PathBuf, reason: &'static str },
    #[error("an entry has {bytes} bytes, the limit is {bytes_max}")]
    EntryTooLarge { bytes: usize, bytes_max: usize },
    #[error("a batch has {bytes} bytes, the limit is {bytes_max}")]
    BatchTooLarge { bytes: usize, bytes_max: usize },
    #[error("an entry recorded at {recorded} cannot be stored")]
    Time { recorded: Timestamp },
    #[error("there is no entry at position {position}, the log ends at {end}")]
    NoSuchEntry { position: u64, end: u64 },
    #[error("the entry at position {position} is of kind {kind}, only inputs can be erased")]
    NotErasable { position: u64, kind: EntryKind },
    #[error("the reason of an erasure has {bytes} bytes, the limit is {bytes_max}")]
    ReasonTooLong { bytes: usize, bytes_max: usize },
    #[error("the payload at position {position} does not decode as {kind}")]
    Decode { position: u64, kind: EntryKind, source: serde_json::Error },
    #[error("an entry cannot be encoded")]
    Encode(#[source] serde_json::Error),
    #[error("the evidence log is open for reading only")]
    ReadOnly,
    #[error("the system gives no random numbers")]
    Random,
}

/// What is wrong, with what was expected and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub what: &'static str,
    pub expected: String,
    pub found: String,
}

impl Fault {
    pub(crate) fn new(what: &'static str, expected: impl fmt::Display, found: impl fmt::Display) -> Fault {
        Fault { what, expected: expected.to_string(), found: found.to_string() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: expected {}, found {}", self.what, self.expected, self.found)
    }
}

/// Names an I/O error after what was being done, and tells a full disk from the rest.
pub(crate) fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LogError {
    let path = path.to_owned();
    move |source| match durable::is_full(&source) {
        true => LogError::DiskFull { doing, path, source },
        false => LogError::Io { doing, path, source },
    }
}
