//! What can go wrong on the bus, named for who has to decide: the message, the moment, or the machine.

use bus_schema::Digest;

/// A refusal or failure of the bus.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    #[error("no stream keeps the subject `{subject}`")]
    NoStream { subject: String },
    #[error("`{subject}` is not a subject")]
    Subject { subject: String },
    #[error("`{key}` is not a key")]
    Key { key: String },
    #[error("the message id must be 1 to {bytes_max} printable bytes, found {bytes}")]
    MessageId { bytes: usize, bytes_max: usize },
    #[error("headers must be plain text of at most {bytes_max} bytes, found {bytes}")]
    Headers { bytes: usize, bytes_max: usize },
    #[error("the payload has {bytes} bytes, more than the {bytes_max} allowed")]
    PayloadTooLarge { bytes: usize, bytes_max: usize },
    #[error("the blob has {bytes} bytes, more than the {bytes_max} allowed")]
    BlobTooLarge { bytes: u64, bytes_max: u64 },
    #[error("the bytes kept as {expected} have the hash {found}")]
    BlobTampered { expected: Box<Digest>, found: Box<Digest> },
    #[error("blobs are named by sha256, not by {digest}")]
    BlobAlgorithm { digest: Digest },
    #[error("the consumer configuration is not possible: {reason}")]
    Consumer { reason: String },
    /// The bound that is reached and who holds the oldest message, so that a person knows what to do.
    #[error("{what} is full at {bound}{}", held_by.as_deref().map(|h| format!(", held by {h}")).unwrap_or_default())]
    Full { what: String, bound: String, held_by: Option<String> },
    /// The servers keep room for each stream from its beginning, and have none left.
    #[error(
        "the servers have no room for the stream {stream}, which reserves {mib} MiB ({reason}): give them a larger \
         max_file_store, or let custody ask for less with [bus.limits]"
    )]
    NoRoom { stream: String, mib: u64, reason: String },
    #[error("`{key}` of bucket {bucket} has revision {found}, expected {expected}")]
    Conflict { bucket: String, key: String, expected: u64, found: u64 },
    #[error("the watch of bucket {bucket} fell more than {changes_max} changes behind")]
    WatchLagged { bucket: String, changes_max: usize },
    #[error("the data folder {path} is in use by another process")]
    InUse { path: String },
    #[error("the data folder {path} has format {found}, this version reads {expected}")]
    Format { path: String, found: String, expected: String },
    #[error("the bus is closed")]
    Closed,
    /// The server refuses it to this process's credentials; nobody was told on the other side.
    #[error("the bus does not allow `{subject}` to this process")]
    Denied { subject: String },
    /// Disk or database: nothing of the failed call was accepted.
    #[error("bus storage failed to {action}")]
    Storage { action: &'static str, source: std::sync::Arc<dyn std::error::Error + Send + Sync> },
    /// The server or the way to it (only for buses that have one).
    #[error("bus unavailable: {reason}")]
    Unavailable { reason: String },
}

impl BusError {
    pub(crate) fn storage(
        action: &'static str,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> BusError {
        BusError::Storage { action, source: std::sync::Arc::new(source) }
    }

    /// True when the same call may succeed later without anybody changing it: full, no room, storage, unavailable.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            BusError::Full { .. }
                | BusError::NoRoom { .. }
                | BusError::Storage { .. }
                | BusError::Unavailable { .. }
        )
    }
}
