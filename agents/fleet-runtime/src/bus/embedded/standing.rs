//! What the streams of the embedded bus hold, read from its tables.

use redb::{Database, ReadableDatabase};

use super::limits::EmbeddedLimits;
use super::owed::Owed;
use super::tables::{MESSAGES, STREAMS};
use crate::bus::{BusError, ConsumerStanding, Stream, StreamStanding};

/// One stream without its consumers.
pub(super) fn of_stream(
    database: &Database,
    stream: Stream,
    limits: &EmbeddedLimits,
) -> Result<StreamStanding, BusError> {
    let read = || -> Result<StreamStanding, redb::Error> {
        let transaction = database.begin_read()?;
        let (next, bytes) =
            transaction.open_table(STREAMS)?.get(stream.number())?.map_or((1, 0), |row| row.value());
        let messages = transaction.open_table(MESSAGES)?;
        let mut kept = messages.range((stream.number(), 0)..=(stream.number(), u64::MAX))?;
        let first = kept.next().transpose()?.map(|(key, _)| key.value().1);
        Ok(StreamStanding {
            stream,
            messages: first.map_or(0, |first| next - first),
            bytes,
            bytes_max: limits.of(stream).bytes_max,
            last_sequence: next - 1,
            consumers: Vec::new(),
        })
    };
    read().map_err(|error| BusError::storage("read how the bus stands", error))
}

pub(super) fn of_consumer(owed: &Owed, last_sequence: u64) -> ConsumerStanding {
    let (looked_at, unsettled) = owed.counts();
    ConsumerStanding {
        name: owed.name().to_owned(),
        waiting: last_sequence.saturating_sub(looked_at),
        unsettled,
    }
}
