//! Where the correlator keeps what it knows, in one data folder.
//!
//! In: inputs and receipts to remember, changes and decisions of the ledger, the bytes of evidence. Out: the evidence
//! log (the truth: append-only, hash-chained, signed), the index derived from it (records, outbox) and the blobs
//! (by their content). Nothing here judges, talks to a network or knows what an input means.
//!
//! What holds after a kill or a power loss at any point: an append that returned is in the log; the index is at some
//! position of the log at or before its end, and [`Store::pending_replay`] yields the entries it lacks.

mod blobs;
mod durable;
mod index;
mod log;
mod receipt;
mod replay;
mod store;
#[cfg(test)]
mod toy;

pub use blobs::{BLOB_BYTES_MAX, BlobError, Blobs};
pub use index::{Batch, Delivery, Index, IndexError, Queued, Snapshot, Started};
pub use log::{
    BATCH_BYTES_MAX, ENTRY_PAYLOAD_BYTES_MAX, ERASURE_REASON_BYTES_MAX, Entries, EntryKind, EvidenceLog,
    Fault, Head, LogError, LogId, LogSettings, Logged, NewEntry, Payload, Report, SignedHead,
};
pub use receipt::{DeliveryOutcome, Lane, OutboxId, Receipt, Told};
pub use replay::{Recorded, Replay, Together};
pub use store::{Holder, Store, StoreError, StoreSettings};
