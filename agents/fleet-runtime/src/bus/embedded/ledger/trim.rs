//! What may go and when: never a message that a consumer still waits for.

use redb::{Database, ReadableDatabase, ReadableTable};

use super::{Ledger, Tables, micros};
use crate::bus::embedded::shared::Shared;
use crate::bus::embedded::tables::MESSAGES;
use crate::bus::{BusError, Stream};

/// Messages and ids that one trimming transaction removes at most, so that publishers do not wait for it.
const TRIMMED_MAX: usize = 4096;

impl Ledger {
    /// Whether a trimming transaction would find something; asked once a second, so that an idle bus writes nothing.
    pub(in crate::bus::embedded) fn has_expired(
        &self,
        database: &Database,
        shared: &Shared,
        now_micros: i64,
    ) -> Result<bool, redb::Error> {
        let messages = database.begin_read()?.open_table(MESSAGES)?;
        for stream in Stream::ALL {
            let number = stream.number();
            let Some(first) = messages.range((number, 0)..=(number, u64::MAX))?.next() else { continue };
            let (key, row) = first?;
            let expires = row.value().0.saturating_add(micros(self.limits.of(stream).age_max));
            if expires < now_micros && key.value().1 < removable_below(shared, stream) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes old messages that nobody waits for.
    pub(in crate::bus::embedded) fn trim(
        &mut self,
        tables: &mut Tables<'_>,
        shared: &Shared,
        now_micros: i64,
    ) -> Result<(), redb::Error> {
        for stream in Stream::ALL {
            let below = removable_below(shared, stream);
            let oldest = now_micros.saturating_sub(micros(self.limits.of(stream).age_max));
            for _ in 0..TRIMMED_MAX {
                match first(tables, stream)? {
                    Some((sequence, at_micros)) if sequence < below && at_micros < oldest => {
                        self.remove(tables, stream, sequence)?;
                    }
                    _ => break,
                }
            }
        }
        Ok(())
    }

    /// Makes room for a new message, or says who stands in the way.
    pub(super) fn make_room(
        &mut self,
        tables: &mut Tables<'_>,
        shared: &Shared,
        stream: Stream,
        bytes: u64,
    ) -> Result<Result<(), BusError>, redb::Error> {
        let limits = self.limits.of(stream);
        while self.state(stream).bytes + bytes > limits.bytes_max {
            let below = if limits.may_evict { removable_below(shared, stream) } else { 0 };
            match first(tables, stream)? {
                Some((sequence, _)) if sequence < below => self.remove(tables, stream, sequence)?,
                _ => return Ok(Err(full(shared, stream, limits.bytes_max))),
            };
        }
        Ok(Ok(()))
    }
}

fn first(tables: &Tables<'_>, stream: Stream) -> Result<Option<(u64, i64)>, redb::Error> {
    let number = stream.number();
    match tables.messages.range((number, 0)..=(number, u64::MAX))?.next() {
        Some(row) => {
            let (key, value) = row?;
            Ok(Some((key.value().1, value.value().0)))
        }
        None => Ok(None),
    }
}

/// Messages with a lower sequence are settled by every known consumer.
fn removable_below(shared: &Shared, stream: Stream) -> u64 {
    let without_consumer = if stream.waits_for_consumer() { 0 } else { u64::MAX };
    shared.consumers_of(stream).iter().map(|owed| owed.settled_below()).min().unwrap_or(without_consumer)
}

fn full(shared: &Shared, stream: Stream, bytes_max: u64) -> BusError {
    let slowest = shared.consumers_of(stream).into_iter().min_by_key(|owed| owed.settled_below());
    let held_by = match slowest {
        Some(owed) => Some(format!("consumer {} at sequence {}", owed.name(), owed.settled_below())),
        None if stream.waits_for_consumer() => Some("messages that no consumer has taken yet".to_owned()),
        None => None,
    };
    BusError::Full { what: format!("stream {stream}"), bound: format!("{bytes_max} bytes"), held_by }
}
