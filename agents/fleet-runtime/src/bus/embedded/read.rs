//! Reads of kept messages: snapshots that see only what is durable.

use redb::{Database, ReadableDatabase};

use super::tables::{MESSAGES, decode};
use crate::bus::{BusError, Pattern, Stored, Stream};

/// Payload bytes that one read returns at most; the first message always fits.
pub(super) const READ_BYTES_MAX: usize = 8 << 20;
/// Messages that one read looks at, so that a narrow filter does not hold a thread for long.
const LOOKED_AT_MAX: usize = 4096;

/// What a consumer finds: deliveries to repeat, new messages, and how far it looked.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) again: Vec<(Stored, u32)>,
    /// Unsettled sequences whose message is no longer kept.
    pub(super) gone: Vec<u64>,
    pub(super) new: Vec<Stored>,
    pub(super) looked_at: u64,
    /// The bound stopped the search, not the end of the stream.
    pub(super) has_more: bool,
}

pub(super) fn from_sequence(
    database: &Database,
    stream: Stream,
    from: u64,
    messages_max: usize,
    bytes_max: usize,
) -> Result<Vec<Stored>, BusError> {
    let read = || -> Result<Vec<Stored>, ReadError> {
        let messages = database.begin_read()?.open_table(MESSAGES)?;
        let mut found = Vec::new();
        let mut bytes = 0;
        for row in messages.range((stream.number(), from)..=(stream.number(), u64::MAX))? {
            let (key, value) = row?;
            bytes += value.value().4.len();
            if found.len() == messages_max || (bytes > bytes_max && !found.is_empty()) {
                break;
            }
            found.push(decode(key.value().1, value.value())?);
        }
        Ok(found)
    };
    read().map_err(ReadError::into_bus)
}

pub(super) fn for_consumer(
    database: &Database,
    stream: Stream,
    filter: &Pattern,
    again: &[(u64, u32)],
    new_max: usize,
    looked_at: u64,
) -> Result<Found, BusError> {
    let read = || -> Result<Found, ReadError> {
        let messages = database.begin_read()?.open_table(MESSAGES)?;
        let mut found = Found { again: vec![], gone: vec![], new: vec![], looked_at, has_more: false };
        let mut bytes = 0;
        for (sequence, deliveries) in again.iter().copied() {
            let Some(value) = messages.get((stream.number(), sequence))? else {
                found.gone.push(sequence);
                continue;
            };
            bytes += value.value().4.len();
            if bytes > READ_BYTES_MAX && !found.again.is_empty() {
                return Ok(found);
            }
            found.again.push((decode(sequence, value.value())?, deliveries));
        }
        if new_max == 0 {
            return Ok(found);
        }
        let range = messages.range((stream.number(), looked_at + 1)..=(stream.number(), u64::MAX))?;
        for (looked, row) in range.enumerate() {
            let (key, value) = row?;
            let sequence = key.value().1;
            let row = value.value();
            let is_wanted = filter.matches(row.1);
            bytes += if is_wanted { row.4.len() } else { 0 };
            let is_first = found.again.is_empty() && found.new.is_empty();
            if looked == LOOKED_AT_MAX || (is_wanted && bytes > READ_BYTES_MAX && !is_first) {
                found.has_more = true;
                break;
            }
            if is_wanted {
                found.new.push(decode(sequence, row)?);
            }
            found.looked_at = sequence;
            if found.new.len() == new_max {
                break;
            }
        }
        Ok(found)
    };
    read().map_err(ReadError::into_bus)
}

/// A failed read: of the database, or of what a row holds.
enum ReadError {
    Database(redb::Error),
    Bus(BusError),
}

impl ReadError {
    fn into_bus(self) -> BusError {
        match self {
            ReadError::Database(error) => BusError::storage("read messages", error),
            ReadError::Bus(error) => error,
        }
    }
}

impl From<BusError> for ReadError {
    fn from(error: BusError) -> ReadError {
        ReadError::Bus(error)
    }
}

impl<E: Into<redb::Error>> From<E> for ReadError {
    fn from(error: E) -> ReadError {
        ReadError::Database(error.into())
    }
}
