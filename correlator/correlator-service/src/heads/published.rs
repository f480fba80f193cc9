//! The head that lies on the bus, compared with the log of this data folder: whether another correlator is at
//! work there, or this folder is an older copy of itself.
//!
//! In: a value that anybody may have written who may write to the bucket. Out: nothing in the way, or what
//! is. What is not a head that its own key signed says nothing, and is overwritten.

use std::fmt;
use std::str::FromStr;

use bus_schema::Digest;
use correlator_store::{EvidenceLog, LogError, LogId, SignedHead};

/// A head is a few hundred bytes.
const HEAD_BYTES_MAX: usize = 4096;

/// A log and a generation of it, as people name them where they say that another is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogGeneration {
    pub log: LogId,
    pub generation: u64,
}

impl fmt::Display for LogGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.log, self.generation)
    }
}

impl FromStr for LogGeneration {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<LogGeneration, Self::Err> {
        const SHAPE: &str = "is not a log's id and generation, as the refusal to start names them";
        let (log, generation) = text.split_once(':').ok_or(SHAPE)?;
        let log = serde_json::from_value(log.into()).map_err(|_| SHAPE)?;
        Ok(LogGeneration { log, generation: generation.parse().map_err(|_| SHAPE)? })
    }
}

/// Why nothing is taken from this bus into this log.
#[derive(Debug, thiserror::Error)]
pub enum HeadConflict {
    #[error(
        "another correlator's evidence log is on this bus: the published head is of log {} ({} at position {position}), this \
         data folder has log {ours}; two correlators on one bus each get a part of the events. Start the other data folder, or \
         stop its correlator for good and start this one once with {}",
        theirs.log, signed_by(*is_our_key), word(theirs)
    )]
    OtherLog { theirs: LogGeneration, position: u64, ours: LogId, is_our_key: bool },
    #[error(
        "the evidence log {} ends at position {have}, but its published head knows position {expected}: entries are lost, and \
         the bus does not give again what was acknowledged; restore the log folder from a copy that has them, or go on \
         without them by starting once with {}",
        theirs.log, word(theirs)
    )]
    Shortened { theirs: LogGeneration, have: u64, expected: u64 },
    #[error(
        "the evidence log {} has another entry at position {position} than its published head: expected {expected}, found \
         {found}; another copy of this data folder has gone on from it. Start that one, or go on with this one by starting \
         once with {}",
        theirs.log, word(theirs)
    )]
    OtherHistory { theirs: LogGeneration, position: u64, expected: Digest, found: Digest },
    #[error(
        "the evidence log {} is of generation {ours}, and its published head of generation {}: this data folder is an older copy. \
         Restore a later one, or go on with this one by starting once with {}",
        theirs.log, theirs.generation, word(theirs)
    )]
    OlderGeneration { theirs: LogGeneration, ours: u64 },
}

fn signed_by(is_our_key: bool) -> &'static str {
    if is_our_key { "signed by the same key" } else { "signed by another key" }
}

fn word(theirs: &LogGeneration) -> String {
    format!(
        "`[correlator] supersedes = \"{theirs}\"` (or CUSTODY__CORRELATOR__SUPERSEDES={theirs} in its environment)"
    )
}

impl HeadConflict {
    /// What was published.
    pub(super) fn theirs(&self) -> LogGeneration {
        match self {
            HeadConflict::OtherLog { theirs, .. }
            | HeadConflict::Shortened { theirs, .. }
            | HeadConflict::OtherHistory { theirs, .. }
            | HeadConflict::OlderGeneration { theirs, .. } => *theirs,
        }
    }
}

/// Reads a value as a head that its own key signed; else says why it is none.
pub(super) fn read(value: &[u8]) -> Result<SignedHead, &'static str> {
    if value.len() > HEAD_BYTES_MAX {
        return Err("it is too large");
    }
    let head: SignedHead = serde_json::from_slice(value).map_err(|_| "it is no signed head")?;
    if head.is_signed() { Ok(head) } else { Err("its signature does not verify") }
}

/// What stands in the way of this log. Reads an entry of the log, which may take a while.
pub(super) fn conflict(head: &SignedHead, log: &EvidenceLog) -> Result<Option<HeadConflict>, LogError> {
    let theirs = LogGeneration { log: head.log, generation: head.generation };
    let is_our_key = head.key == log.public_key();
    // Whoever names this log and has not its key knows nothing of it.
    if head.log == log.id() && !is_our_key {
        return Ok(None);
    }
    if head.log != log.id() {
        let (position, ours) = (head.position, log.id());
        return Ok(Some(HeadConflict::OtherLog { theirs, position, ours, is_our_key }));
    }
    let ours = log.generation();
    if head.generation != ours {
        let is_older = head.generation > ours;
        return Ok(is_older.then_some(HeadConflict::OlderGeneration { theirs, ours }));
    }
    let (have, position) = (log.head().position, head.position);
    if position > have {
        return Ok(Some(HeadConflict::Shortened { theirs, have, expected: position }));
    }
    if position == 0 {
        return Ok(None);
    }
    let Some(entry) = log.read(position).next().transpose()? else { return Ok(None) };
    let found = Digest::Sha256(entry.hash);
    let differs = found != head.hash;
    Ok(differs.then_some(HeadConflict::OtherHistory { theirs, position, expected: head.hash, found }))
}
