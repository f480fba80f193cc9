//! Applies commands inside one write transaction: publish, count, settle, trim.
//!
//! In: a command and the time. Out: its outcome, true only if the transaction commits. What it keeps in memory
//! (sequences, sizes, the window of ids) is read again from the tables when a transaction fails.

pub(super) mod consumers;
mod trim;

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::{Database, ReadableDatabase, Table, WriteTransaction};

use super::command::Command;
use super::duplicates::{Duplicates, Seen};
use super::key_value;
use super::limits::EmbeddedLimits;
use super::owed::Owed;
use super::shared::Shared;
use super::tables::{self, CONSUMERS, IDS, KEY_VALUE, MESSAGES, OWED, REVISIONS, Row, STREAMS, TOTALS};
use crate::bus::{BusError, Message, Published, Stream, Watched};

/// Ids that one publish forgets at most; two keep the window from growing.
const EXPIRED_IDS_PER_PUBLISH: usize = 2;

/// The writer's view of the streams.
#[derive(Debug)]
pub(super) struct Ledger {
    limits: EmbeddedLimits,
    streams: BTreeMap<Stream, StreamState>,
}

#[derive(Debug)]
struct StreamState {
    next: u64,
    bytes: u64,
    duplicates: Duplicates,
    is_changed: bool,
}

/// What a command came to. The outer error of `apply` is the disk's and ends the whole transaction.
#[derive(Debug)]
pub(super) enum Outcome {
    Published(Result<Published, BusError>),
    Removed(bool),
    Consumer(Arc<Owed>),
    Done(Result<(), BusError>),
    Revision(Result<u64, BusError>),
    Entries(Vec<Watched>),
}

/// The open tables of one transaction.
pub(super) struct Tables<'t> {
    pub(super) messages: Table<'t, (u8, u64), Row<'static>>,
    pub(super) streams: Table<'t, u8, (u64, u64)>,
    pub(super) ids: Table<'t, (u8, u64), (u128, i64)>,
    pub(super) consumers: Table<'t, (u8, &'static str), (&'static str, u64)>,
    pub(super) owed: Table<'t, (u8, &'static str, u64), u32>,
    pub(super) key_value: Table<'t, (&'static str, &'static str), (u64, &'static [u8])>,
    pub(super) revisions: Table<'t, &'static str, u64>,
    pub(super) totals: Table<'t, &'static str, u64>,
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Tables<'t>, redb::Error> {
        Ok(Tables {
            messages: transaction.open_table(MESSAGES)?,
            streams: transaction.open_table(STREAMS)?,
            ids: transaction.open_table(IDS)?,
            consumers: transaction.open_table(CONSUMERS)?,
            owed: transaction.open_table(OWED)?,
            key_value: transaction.open_table(KEY_VALUE)?,
            revisions: transaction.open_table(REVISIONS)?,
            totals: transaction.open_table(TOTALS)?,
        })
    }
}

impl Ledger {
    /// Reads what the writer must know from the tables.
    pub(super) fn load(database: &Database, limits: EmbeddedLimits) -> Result<Ledger, redb::Error> {
        let transaction = database.begin_read()?;
        let stored = transaction.open_table(STREAMS)?;
        let ids = transaction.open_table(IDS)?;
        let mut streams = BTreeMap::new();
        for stream in Stream::ALL {
            let (next, bytes) = stored.get(stream.number())?.map_or((1, 0), |row| row.value());
            let mut duplicates = Duplicates::default();
            for row in ids.range((stream.number(), 0)..=(stream.number(), u64::MAX))? {
                let (key, value) = row?;
                let (hash, at_micros) = value.value();
                duplicates.add(Seen { sequence: key.value().1, hash, at_micros });
            }
            streams.insert(stream, StreamState { next, bytes, duplicates, is_changed: false });
        }
        Ok(Ledger { limits, streams })
    }

    pub(super) fn apply(
        &mut self,
        tables: &mut Tables<'_>,
        shared: &Shared,
        command: &Command,
        now_micros: i64,
    ) -> Result<Outcome, redb::Error> {
        match command {
            Command::Publish { stream, message, .. } => {
                self.publish(tables, shared, *stream, message, now_micros).map(Outcome::Published)
            }
            Command::Remove { stream, sequence, .. } => {
                self.remove(tables, *stream, *sequence).map(Outcome::Removed)
            }
            Command::Consumer { config, .. } => {
                consumers::open(tables, shared, config).map(Outcome::Consumer)
            }
            Command::RemoveConsumer { stream, name, .. } => {
                consumers::remove(tables, shared, *stream, name).map(|()| Outcome::Done(Ok(())))
            }
            Command::Deliver { owed, rows, looked_at, .. } => {
                consumers::deliver(tables, owed, rows, *looked_at).map(Outcome::Done)
            }
            Command::Settle { owed, sequence } => {
                consumers::settle(tables, owed, *sequence).map(|()| Outcome::Done(Ok(())))
            }
            Command::Put { bucket, key, value, expected, .. } => {
                let bytes_max = self.limits.key_value_bytes_max;
                key_value::put(tables, bytes_max, bucket, key, value.as_deref(), *expected)
                    .map(Outcome::Revision)
            }
            Command::Watch { bucket, prefix, .. } => {
                key_value::entries(tables, bucket, prefix).map(Outcome::Entries)
            }
            Command::Close { .. } => Ok(Outcome::Done(Ok(()))),
        }
    }

    /// Writes the streams' own rows; called last in a transaction.
    pub(super) fn finish(&mut self, tables: &mut Tables<'_>) -> Result<(), redb::Error> {
        for (stream, state) in &mut self.streams {
            if std::mem::take(&mut state.is_changed) {
                tables.streams.insert(stream.number(), (state.next, state.bytes))?;
            }
        }
        Ok(())
    }

    fn publish(
        &mut self,
        tables: &mut Tables<'_>,
        shared: &Shared,
        stream: Stream,
        message: &Message,
        now_micros: i64,
    ) -> Result<Result<Published, BusError>, redb::Error> {
        let hash = Duplicates::hash(&message.id);
        let oldest_id = now_micros.saturating_sub(micros(self.limits.duplicate_window));
        let known = self.state(stream).duplicates.find(hash, oldest_id);
        if let Some(sequence) = known {
            return Ok(Ok(Published { sequence, duplicate: true }));
        }
        let headers = tables::encode_headers(&message.headers);
        let row: Row<'_> = (now_micros, &message.subject, &message.id, &headers, &message.payload);
        if let Err(full) = self.make_room(tables, shared, stream, tables::row_bytes(row))? {
            return Ok(Err(full));
        }
        let ids_max = self.limits.duplicates_max;
        let state = self.state(stream);
        let sequence = state.next;
        tables.messages.insert((stream.number(), sequence), row)?;
        tables.ids.insert((stream.number(), sequence), (hash, now_micros))?;
        state.next += 1;
        state.bytes += tables::row_bytes(row);
        state.is_changed = true;
        state.duplicates.add(Seen { sequence, hash, at_micros: now_micros });
        for _ in 0..EXPIRED_IDS_PER_PUBLISH {
            let Some(expired) = state.duplicates.expire(oldest_id, ids_max) else { break };
            tables.ids.remove((stream.number(), expired.sequence))?;
        }
        Ok(Ok(Published { sequence, duplicate: false }))
    }

    fn remove(
        &mut self,
        tables: &mut Tables<'_>,
        stream: Stream,
        sequence: u64,
    ) -> Result<bool, redb::Error> {
        let removed = tables.messages.remove((stream.number(), sequence))?;
        let Some(bytes) = removed.as_ref().map(|row| tables::row_bytes(row.value())) else {
            return Ok(false);
        };
        let state = self.state(stream);
        state.bytes = state.bytes.saturating_sub(bytes);
        state.is_changed = true;
        Ok(true)
    }

    fn state(&mut self, stream: Stream) -> &mut StreamState {
        self.streams.entry(stream).or_insert_with(|| StreamState {
            next: 1,
            bytes: 0,
            duplicates: Duplicates::default(),
            is_changed: false,
        })
    }
}

fn micros(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
