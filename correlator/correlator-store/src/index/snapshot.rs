//! Reads of the index as it is after one commit.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bus_schema::TraceParent;
use correlator_core::decision::Decision;
use correlator_core::records::{Records, RecordsError, Table};
use redb::{ReadOnlyTable, ReadTransaction, ReadableTableMetadata};

use super::Place;
use super::batch::Row;
use super::error::{IndexError, is_damage, widen};
use super::layout::{self, Family, Reach, Tree};
use super::tables::{self, DELIVERIES, META, META_POSITION};
use crate::receipt::{DeliveryOutcome, Lane, OutboxId};

type TreeTable = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// A consistent view of the index. It keeps the pages that it can see from being used again: hold it for one question,
/// not for ever.
pub struct Snapshot {
    place: Arc<Place>,
    transaction: ReadTransaction,
    opened: [OnceLock<TreeTable>; Tree::COUNT],
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Snapshot").field("index", &self.place.path).finish_non_exhaustive()
    }
}

/// A decision that waits to be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    pub id: OutboxId,
    pub decision: Decision,
    /// The trace that led to it.
    pub trace: Option<TraceParent>,
}

/// An end result that a sink reported for a decision that other sinks still wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub sink: String,
    pub outcome: DeliveryOutcome,
}

impl Snapshot {
    pub(super) fn new(place: Arc<Place>, transaction: ReadTransaction) -> Snapshot {
        Snapshot { place, transaction, opened: [const { OnceLock::new() }; Tree::COUNT] }
    }

    /// The last position of the log that this view includes.
    pub fn position(&self) -> Result<u64, IndexError> {
        Ok(self.meta(META_POSITION)?.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes))
    }

    /// At most `limit` decisions of a lane, in order, after the one named (or from the first).
    pub fn outbox(
        &self,
        lane: Lane,
        after: Option<OutboxId>,
        limit: usize,
    ) -> Result<Vec<Queued>, IndexError> {
        let failed = |error| self.place.failed("read", error);
        let table = self.transaction.open_table(tables::outbox(lane)).map_err(|e| failed(widen(e)))?;
        let start = match after {
            Some(id) => std::ops::Bound::Excluded((id.position, id.index)),
            None => std::ops::Bound::Unbounded,
        };
        let range = table
            .range::<(u64, u32)>((start, std::ops::Bound::Unbounded))
            .map_err(|error| failed(widen(error)))?;
        let mut queued = Vec::new();
        for row in range.take(limit) {
            let (key, value) = row.map_err(|error| failed(widen(error)))?;
            let (position, index) = key.value();
            let id = OutboxId { position, index };
            let Row { decision, trace } =
                serde_json::from_slice(value.value()).map_err(|source| IndexError::Decode { id, source })?;
            queued.push(Queued { id, decision, trace });
        }
        Ok(queued)
    }

    /// How many decisions wait in a lane.
    pub fn outbox_len(&self, lane: Lane) -> Result<u64, IndexError> {
        let failed = |error| self.place.failed("read", error);
        let table = self.transaction.open_table(tables::outbox(lane)).map_err(|e| failed(widen(e)))?;
        table.len().map_err(|error| failed(widen(error)))
    }

    /// The end results so far of a decision that is still in the delivery lane, one per sink.
    pub fn deliveries(&self, id: OutboxId) -> Result<Vec<Delivery>, IndexError> {
        let failed = |error| self.place.failed("read", error);
        let table = self.transaction.open_table(DELIVERIES).map_err(|error| failed(widen(error)))?;
        let from = (id.position, id.index, "");
        let mut deliveries = Vec::new();
        for row in table.range(from..).map_err(|error| failed(widen(error)))? {
            let (key, value) = row.map_err(|error| failed(widen(error)))?;
            let (position, index, sink) = key.value();
            if (position, index) != (id.position, id.index) {
                break;
            }
            let outcome =
                serde_json::from_slice(value.value()).map_err(|source| IndexError::Decode { id, source })?;
            deliveries.push(Delivery { sink: sink.to_owned(), outcome });
        }
        Ok(deliveries)
    }

    pub(super) fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, IndexError> {
        let failed = |error| self.place.failed("read", error);
        let table = self.transaction.open_table(META).map_err(|error| failed(widen(error)))?;
        let value = table.get(key).map_err(|error| failed(widen(error)))?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    /// Opens every table once, so that a file that lacks one is known at the start.
    pub(super) fn check_tables(&self) -> Result<(), Box<redb::Error>> {
        for tree in Tree::all() {
            self.transaction.open_table(tables::tree(tree)).map_err(widen)?;
        }
        for lane in Lane::ALL {
            self.transaction.open_table(tables::outbox(lane)).map_err(widen)?;
        }
        self.transaction.open_table(DELIVERIES).map_err(widen)?;
        self.transaction.open_table(META).map_err(widen)?;
        Ok(())
    }

    fn tree(&self, tree: Tree, table: Table) -> Result<&TreeTable, RecordsError> {
        let failed = |reason: String| RecordsError::Read { table: table.as_str(), reason };
        let slot = self.opened.get(tree.number()).ok_or_else(|| failed("it is not listed".to_owned()))?;
        if let Some(opened) = slot.get() {
            return Ok(opened);
        }
        let opened = self.transaction.open_table(tables::tree(tree));
        let opened = opened.map_err(|error| self.read_error(table, widen(error)))?;
        Ok(slot.get_or_init(|| opened))
    }

    /// Rows in the table's own tree.
    fn scan_own(
        &self,
        table: Table,
        prefix: &str,
        start: &str,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, RecordsError> {
        let failed = |error| self.read_error(table, widen(error));
        let mut found = Vec::new();
        let tree = self.tree(Tree::Own(table), table)?;
        for row in tree.range(start.as_bytes()..).map_err(failed)?.take(limit) {
            let (key, value) = row.map_err(failed)?;
            if !key.value().starts_with(prefix.as_bytes()) {
                break;
            }
            // Every key was written as text.
            let key = String::from_utf8_lossy(key.value()).into_owned();
            found.push((key, value.value().to_vec()));
        }
        Ok(found)
    }

    /// Rows that lie among those of other tables.
    fn scan_family(
        &self,
        table: Table,
        family: &Family,
        prefix: &str,
        start: &str,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, RecordsError> {
        let failed = |error| self.read_error(table, widen(error));
        let tree = self.tree(family.tree, table)?;
        // Of one hash nothing behind its rows is looked at.
        let within = family.place(prefix).unwrap_or_default();
        let mut found = Vec::new();
        let mut next = Some(family.from(start));
        while let Some(from) = next.take() {
            let mut rows = tree.range(from.as_slice()..).map_err(failed)?;
            while found.len() < limit {
                let Some(row) = rows.next() else { break };
                let (placed, value) = row.map_err(failed)?;
                if !placed.value().starts_with(&within) {
                    return Ok(found);
                }
                let Some(key) = family.key(placed.value()) else {
                    next = family.beyond(placed.value());
                    break;
                };
                if key.as_str() < start {
                    continue;
                }
                if !key.starts_with(prefix) {
                    return Ok(found);
                }
                found.push((key, value.value().to_vec()));
            }
        }
        Ok(found)
    }

    fn read_error(&self, table: Table, error: Box<redb::Error>) -> RecordsError {
        if is_damage(&error) {
            self.place.mark_damaged(&error.to_string());
        }
        RecordsError::Read { table: table.as_str(), reason: error.to_string() }
    }
}

impl Records for Snapshot {
    fn get(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, RecordsError> {
        let (tree, placed) = layout::spot(table, key);
        let value = self
            .tree(tree, table)?
            .get(placed.as_slice())
            .map_err(|error| self.read_error(table, widen(error)))?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    fn scan(
        &self,
        table: Table,
        prefix: &str,
        from: &str,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, RecordsError> {
        let start = if from > prefix { from } else { prefix };
        let Reach { own, family } = layout::reach(table, prefix, start);
        let mut found = match own {
            true => self.scan_own(table, prefix, start, limit)?,
            false => Vec::new(),
        };
        if let Some(family) = family {
            found.extend(self.scan_family(table, family, prefix, start, limit)?);
            if own {
                found.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
                found.truncate(limit);
            }
        }
        Ok(found)
    }
}
