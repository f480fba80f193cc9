//! The tables of the bus and how a message lies in them. A change here is a new format (see `folder`).

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use redb::{Database, TableDefinition, WriteTransaction};

use crate::bus::{BusError, Message, Stored};

/// (stream, sequence) → (published at, in µs; subject; id; headers as JSON; payload).
pub(super) const MESSAGES: TableDefinition<'_, (u8, u64), Row<'_>> = TableDefinition::new("messages");
/// Stream → (next sequence, message bytes).
pub(super) const STREAMS: TableDefinition<'_, u8, (u64, u64)> = TableDefinition::new("streams");
/// (stream, sequence) → (hash of the id, published at in µs): the window in which repeats are dropped.
pub(super) const IDS: TableDefinition<'_, (u8, u64), (u128, i64)> = TableDefinition::new("ids");
/// (stream, consumer) → (filter, the last sequence that was looked at).
pub(super) const CONSUMERS: TableDefinition<'_, (u8, &str), (&str, u64)> = TableDefinition::new("consumers");
/// (stream, consumer, sequence) → deliveries so far, for each delivery that is not settled.
pub(super) const OWED: TableDefinition<'_, (u8, &str, u64), u32> = TableDefinition::new("owed");
/// (bucket, key) → (revision, value).
pub(super) const KEY_VALUE: TableDefinition<'_, (&str, &str), (u64, &[u8])> =
    TableDefinition::new("key-value");
/// Bucket → last revision.
pub(super) const REVISIONS: TableDefinition<'_, &str, u64> = TableDefinition::new("revisions");
/// Named totals.
pub(super) const TOTALS: TableDefinition<'_, &str, u64> = TableDefinition::new("totals");
pub(super) const KEY_VALUE_BYTES: &str = "key-value-bytes";

pub(super) type Row<'a> = (i64, &'a str, &'a str, &'a [u8], &'a [u8]);
/// Opens the database again, after a failure of the disk too.
pub(super) type Opener = Box<dyn Fn() -> Result<Database, redb::Error> + Send>;

/// Creates every table, so that readers find them.
pub(super) fn create_all(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(MESSAGES)?;
    transaction.open_table(STREAMS)?;
    transaction.open_table(IDS)?;
    transaction.open_table(CONSUMERS)?;
    transaction.open_table(OWED)?;
    transaction.open_table(KEY_VALUE)?;
    transaction.open_table(REVISIONS)?;
    transaction.open_table(TOTALS)?;
    Ok(())
}

pub(super) fn encode_headers(headers: &BTreeMap<String, String>) -> Vec<u8> {
    match headers.is_empty() {
        true => Vec::new(),
        // A map of strings always serializes.
        false => serde_json::to_vec(headers).unwrap_or_default(),
    }
}

pub(super) fn decode(sequence: u64, row: Row<'_>) -> Result<Stored, BusError> {
    let (micros, subject, id, headers, payload) = row;
    let headers = match headers.is_empty() {
        true => BTreeMap::new(),
        false => serde_json::from_slice(headers).map_err(|error| BusError::storage("read headers", error))?,
    };
    let published_at =
        Timestamp::from_microsecond(micros).map_err(|error| BusError::storage("read a time", error))?;
    let payload = Bytes::copy_from_slice(payload);
    let message = Message { subject: subject.to_owned(), id: id.to_owned(), headers, payload };
    Ok(Stored { sequence, message, published_at })
}

/// What a row counts towards the stream's byte bound: its content and a fixed share of the tables around it.
pub(super) fn row_bytes(row: Row<'_>) -> u64 {
    const OVERHEAD_BYTES: usize = 64;
    let (_, subject, id, headers, payload) = row;
    (subject.len() + id.len() + headers.len() + payload.len() + OVERHEAD_BYTES) as u64
}
