//! Why the index cannot do what was asked.

use std::path::PathBuf;

use crate::durable;
use crate::receipt::OutboxId;

/// A failure of the index. It is derived: at worst it is built anew from the log.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    #[error("{doing} the index {}", path.display())]
    Database { doing: &'static str, path: PathBuf, source: Box<redb::Error> },
    /// Nothing of the commit was kept. The index must be opened again before it is used again.
    #[error("{doing} the index {}: no space is left", path.display())]
    DiskFull { doing: &'static str, path: PathBuf, source: Box<redb::Error> },
    #[error("the index {} is in use by another process", path.display())]
    InUse { path: PathBuf },
    /// An unclean end, another format or damage: a reader does not repair.
    #[error("the index {} cannot be read without repair: {reason}; start custody on this folder once", path.display())]
    NeedsRepair { path: PathBuf, reason: String },
    #[error("the index is at position {at}: position {next} cannot be applied next")]
    OutOfOrder { at: u64, next: u64 },
    #[error("the index went on to position {at} since this batch began at {began}")]
    Stale { at: u64, began: u64 },
    #[error("the decision {}.{} in the outbox does not decode", id.position, id.index)]
    Decode { id: OutboxId, source: serde_json::Error },
    #[error("the decision {}.{} cannot be encoded", id.position, id.index)]
    Encode { id: OutboxId, source: serde_json::Error },
    #[error("the index is open for reading only")]
    ReadOnly,
}

/// Whether an error says that the file is not what was written.
pub(crate) fn is_damage(error: &redb::Error) -> bool {
    match error {
        redb::Error::Corrupted(_)
        | redb::Error::UpgradeRequired(_)
        | redb::Error::RepairAborted
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TableIsNotMultimap(_)
        | redb::Error::TypeDefinitionChanged { .. }
        | redb::Error::TableDoesNotExist(_) => true,
        redb::Error::Io(error) => {
            matches!(error.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof)
        }
        _ => false,
    }
}

pub(crate) fn is_full(error: &redb::Error) -> bool {
    matches!(error, redb::Error::Io(error) if durable::is_full(error))
}

/// Any of the database's errors as its widest one.
pub(crate) fn widen(error: impl Into<redb::Error>) -> Box<redb::Error> {
    Box::new(error.into())
}
