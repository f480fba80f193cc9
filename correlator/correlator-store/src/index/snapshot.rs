//! Reads of the index as it is after one commit.

use std::fmt;
use std::ops::{Bound, Range};
use std::sync::{Arc, OnceLock};

use bus_schema::TraceParent;
use correlator_core::decision::Decision;
use correlator_core::records::{Records, RecordsError, Table};
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata};

use super::Place;
use super::batch::Row;
use super::cursor::{Cursor, Layer};
use super::error::{IndexError, is_damage, widen};
use super::gathered::{self, Gathered};
use super::known::{KEYS_MAX, Known};
use super::layout::{self, Family, Reach, Tree};
use super::memtable::Reader;
use super::merged::Merged;
use super::near::{self, Near};
use super::tables::{self, META, META_POSITION};
use crate::receipt::{DeliveryOutcome, Lane, OutboxId};

type TreeTable = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// A consistent view of the index. It keeps what it can see, in memory and in the file: hold it for one question, not for
/// ever.
pub struct Snapshot {
    place: Arc<Place>,
    position: u64,
    /// What is not in the file yet, the newest first.
    layers: Vec<Layer>,
    transaction: ReadTransaction,
    opened: [OnceLock<TreeTable>; Tree::COUNT],
    near: Near,
    /// Keys of the gathered tree outside of this are in none of these.
    known: Arc<Known>,
    /// Absent where there is nothing but the file.
    _reader: Option<Reader>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Snapshot");
        debug.field("index", &self.place.path).field("position", &self.position).finish_non_exhaustive()
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
    /// Of the file alone.
    pub(super) fn of_file(place: Arc<Place>, transaction: ReadTransaction) -> Result<Snapshot, IndexError> {
        let opened = [const { OnceLock::new() }; Tree::COUNT];
        let mut snapshot = Snapshot {
            place,
            position: 0,
            layers: Vec::new(),
            transaction,
            opened,
            near: Near::default(),
            known: Arc::new(Known::anything()),
            _reader: None,
        };
        let position = snapshot.meta(META_POSITION)?;
        snapshot.position = position.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes);
        Ok(snapshot)
    }

    /// Of the file and what lies above it, the newest first, as the reader sees it.
    pub(super) fn new(
        place: Arc<Place>,
        position: u64,
        layers: Vec<Layer>,
        transaction: ReadTransaction,
        known: Arc<Known>,
        reader: Reader,
    ) -> Snapshot {
        let opened = [const { OnceLock::new() }; Tree::COUNT];
        Snapshot {
            place,
            position,
            layers,
            transaction,
            opened,
            near: Near::default(),
            known,
            _reader: Some(reader),
        }
    }

    /// The last position of the log that this view includes.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// At most `limit` decisions of a lane, in order, after the one named (or from the first).
    pub fn outbox(
        &self,
        lane: Lane,
        after: Option<OutboxId>,
        limit: usize,
    ) -> Result<Vec<Queued>, IndexError> {
        // The first key behind the one named is that with a zero behind it.
        let from = after.map(|id| layout::delivery_key(id, "\0")).unwrap_or_default();
        let mut rows = self.rows(Tree::Outbox(lane), &from, None).map_err(|error| self.failed(error))?;
        let mut queued = Vec::new();
        while queued.len() < limit
            && let Some(row) = rows.next().map_err(|error| self.failed(error))?
        {
            let Some((id, _)) = layout::outbox_id(row.key()) else { continue };
            let Row { decision, trace } =
                serde_json::from_slice(row.value()).map_err(|source| IndexError::Decode { id, source })?;
            queued.push(Queued { id, decision, trace });
        }
        Ok(queued)
    }

    /// The row of a delivery.
    pub(super) fn delivery(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.value(Tree::Outbox(Lane::Delivery), key).map_err(|error| self.failed(error))
    }

    /// The first delivery of a range of keys that is meant.
    pub(super) fn delivery_in(
        &self,
        keys: Range<Vec<u8>>,
        is_meant: impl Fn(OutboxId, &[u8]) -> Result<bool, IndexError>,
    ) -> Result<Option<OutboxId>, IndexError> {
        let tree = Tree::Outbox(Lane::Delivery);
        let rows = self.rows(tree, &keys.start, Some(&keys.end));
        let mut rows = rows.map_err(|error| self.failed(error))?;
        while let Some(row) = rows.next().map_err(|error| self.failed(error))? {
            let Some((id, _)) = layout::outbox_id(row.key()) else { continue };
            if is_meant(id, row.value())? {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// The decisions of a lane up to and including this one.
    pub(super) fn outbox_through(&self, lane: Lane, through: OutboxId) -> Result<Vec<Vec<u8>>, IndexError> {
        let end = layout::behind(&layout::outbox_key(through));
        self.keys(Tree::Outbox(lane), &[], end.as_deref())
    }

    /// Whether a decision waits in a lane.
    pub(super) fn waits(&self, lane: Lane, id: OutboxId) -> Result<bool, IndexError> {
        let found = self.value(Tree::Outbox(lane), &layout::outbox_key(id));
        Ok(found.map_err(|error| self.failed(error))?.is_some())
    }

    /// The keys of the end results so far of a decision.
    pub(super) fn delivery_keys(&self, id: OutboxId) -> Result<Vec<Vec<u8>>, IndexError> {
        let own = layout::outbox_key(id);
        self.keys(Tree::Deliveries, &own, layout::behind(&own).as_deref())
    }

    /// How many decisions wait in a lane.
    pub fn outbox_len(&self, lane: Lane) -> Result<u64, IndexError> {
        let tree = Tree::Outbox(lane);
        let in_file = self.tree(tree).map_err(|error| self.failed(error))?;
        let mut count = in_file.len().map_err(|error| self.failed(widen(error)))?;
        for (index, layer) in self.layers.iter().enumerate() {
            let Layer::Memtable(memtable) = layer else { continue };
            let above = self.layers.get(..index).unwrap_or_default();
            memtable
                .for_each(tree, self.position, |key, value| {
                    if above.iter().any(|layer| layer.get(tree, key, self.position).is_some()) {
                        return Ok(());
                    }
                    let is_in_file = in_file.get(key).map_err(widen)?.is_some();
                    match (is_in_file, value.is_some()) {
                        (false, true) => count += 1,
                        (true, false) => count = count.saturating_sub(1),
                        _ => {}
                    }
                    Ok(())
                })
                .map_err(|error| self.failed(error))?;
        }
        Ok(count)
    }

    /// The end results so far of a decision that is still in the delivery lane, one per sink.
    pub fn deliveries(&self, id: OutboxId) -> Result<Vec<Delivery>, IndexError> {
        let own = layout::outbox_key(id);
        let mut rows = self
            .rows(Tree::Deliveries, &own, layout::behind(&own).as_deref())
            .map_err(|error| self.failed(error))?;
        let mut deliveries = Vec::new();
        while let Some(row) = rows.next().map_err(|error| self.failed(error))? {
            let Some((_, sink)) = layout::outbox_id(row.key()) else { continue };
            let sink = String::from_utf8_lossy(sink).into_owned();
            let outcome =
                serde_json::from_slice(row.value()).map_err(|source| IndexError::Decode { id, source })?;
            deliveries.push(Delivery { sink, outcome });
        }
        Ok(deliveries)
    }

    pub(super) fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, IndexError> {
        let table = self.transaction.open_table(META).map_err(|error| self.failed(widen(error)))?;
        let value = table.get(key).map_err(|error| self.failed(widen(error)))?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    /// What the file keeps of rows that are gathered: those of each writing, in order.
    pub(super) fn gathered(&self) -> Result<Vec<Gathered>, Box<redb::Error>> {
        let mut writings = Vec::new();
        for written in self.tree(Tree::Gathered)?.iter().map_err(widen)? {
            let (_, bytes) = written.map_err(widen)?;
            let rows = Gathered::decode(bytes.value().to_vec());
            let damaged = || Box::new(redb::Error::Corrupted("rows by event do not decode".to_owned()));
            writings.push(rows.ok_or_else(damaged)?);
        }
        Ok(writings)
    }

    /// Which keys of the gathered tree the file may hold, in their tree or beside it.
    pub(super) fn known(&self, waiting: &Gathered) -> Result<Known, Box<redb::Error>> {
        let tree = self.tree(gathered::TREE)?;
        if tree.len().map_err(widen)? > KEYS_MAX as u64 {
            return Ok(Known::anything());
        }
        let known = Known::nothing();
        for row in tree.iter().map_err(widen)? {
            known.add(row.map_err(widen)?.0.value());
        }
        waiting.rows().for_each(|(key, _)| known.add(key));
        Ok(known)
    }

    /// Opens every table once, so that a file that lacks one is known at the start.
    pub(super) fn check_tables(&self) -> Result<(), Box<redb::Error>> {
        for tree in Tree::all() {
            self.tree(tree)?;
        }
        self.transaction.open_table(META).map_err(widen)?;
        Ok(())
    }

    pub(super) fn tree(&self, tree: Tree) -> Result<&TreeTable, Box<redb::Error>> {
        let Some(slot) = self.opened.get(tree.number()) else {
            return Err(widen(redb::TableError::TableDoesNotExist(tree.as_str().to_owned())));
        };
        if let Some(opened) = slot.get() {
            return Ok(opened);
        }
        let opened = self.transaction.open_table(tables::tree(tree)).map_err(widen)?;
        Ok(slot.get_or_init(|| opened))
    }

    fn value(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, Box<redb::Error>> {
        if tree == gathered::TREE && !self.known.may_hold(key) {
            return Ok(None);
        }
        if let Some(rows) = self.rows_near(tree, key)? {
            return Ok(near::value(&rows, key));
        }
        for layer in &self.layers {
            if let Some(value) = layer.get(tree, key, self.position) {
                return Ok(value);
            }
        }
        let value = self.tree(tree)?.get(key).map_err(widen)?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    /// All rows about the digest that a key is about, where they are few.
    fn rows_near(&self, tree: Tree, key: &[u8]) -> Result<Option<near::Rows>, Box<redb::Error>> {
        let Some(digest) = layout::digest_of(tree, key) else { return Ok(None) };
        if let Some(known) = self.near.get(digest) {
            return Ok(known);
        }
        let mut found = self.rows(tree, digest, layout::behind(digest).as_deref())?;
        let (mut rows, mut bytes) = (Vec::new(), digest.len());
        while let Some(row) = found.next()? {
            bytes += row.key().len() + row.value().len();
            if rows.len() >= near::ROWS_MAX || bytes > near::DIGEST_BYTES_MAX {
                self.near.keep(digest, None, digest.len());
                return Ok(None);
            }
            rows.push((row.key().to_vec(), row.into_value()));
        }
        let rows = near::Rows::from(rows);
        self.near.keep(digest, Some(near::Rows::clone(&rows)), bytes);
        Ok(Some(rows))
    }

    /// The rows of a tree from a key on, to another one that is not met itself.
    fn rows(&self, tree: Tree, from: &[u8], end: Option<&[u8]>) -> Result<Merged<'_>, Box<redb::Error>> {
        let cursor = |layer| Cursor::new(layer, tree, self.position, from, end);
        let layers = self.layers.iter().filter(|layer| layer.may_hold(tree)).map(cursor).collect();
        let within = (Bound::Included(from), end.map_or(Bound::Unbounded, Bound::Excluded));
        // A range that ends before it begins is no range.
        let within = match end {
            Some(end) if end <= from => (Bound::Included(from), Bound::Excluded(from)),
            _ => within,
        };
        Ok(Merged::new(layers, self.tree(tree)?.range::<&[u8]>(within).map_err(widen)?))
    }

    fn keys(&self, tree: Tree, from: &[u8], end: Option<&[u8]>) -> Result<Vec<Vec<u8>>, IndexError> {
        let mut rows = self.rows(tree, from, end).map_err(|error| self.failed(error))?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next().map_err(|error| self.failed(error))? {
            keys.push(row.key().to_vec());
        }
        Ok(keys)
    }

    /// Rows in the table's own tree.
    fn scan_own(
        &self,
        table: Table,
        prefix: &str,
        start: &str,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, Box<redb::Error>> {
        let mut found = Vec::new();
        let end = layout::behind(prefix.as_bytes());
        let mut rows = self.rows(Tree::Own(table), start.as_bytes(), end.as_deref())?;
        while found.len() < limit
            && let Some(row) = rows.next()?
        {
            // Every key was written as text.
            let key = String::from_utf8_lossy(row.key()).into_owned();
            found.push((key, row.into_value()));
        }
        Ok(found)
    }

    /// Rows that lie among those of other tables.
    fn scan_family(
        &self,
        family: &Family,
        prefix: &str,
        start: &str,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, Box<redb::Error>> {
        let within = family.place(prefix);
        let mut found = Vec::new();
        if let Some(within) = &within
            && let Some(rows) = self.rows_near(family.tree, within)?
        {
            let of_family = rows.iter().filter_map(|(placed, value)| Some((family.key(placed)?, value)));
            let wanted = of_family.filter(|(key, _)| key.as_str() >= start && key.starts_with(prefix));
            found.extend(wanted.take(limit).map(|(key, value)| (key, value.clone())));
            return Ok(found);
        }
        // Of one hash nothing behind its rows is looked at.
        let end = within.as_deref().and_then(layout::behind);
        let mut next = Some(family.from(start));
        while let Some(from) = next.take() {
            let mut rows = self.rows(family.tree, &from, end.as_deref())?;
            while found.len() < limit
                && let Some(row) = rows.next()?
            {
                let Some(key) = family.key(row.key()) else {
                    next = family.beyond(row.key());
                    break;
                };
                if key.as_str() < start {
                    continue;
                }
                if !key.starts_with(prefix) {
                    return Ok(found);
                }
                found.push((key, row.into_value()));
            }
        }
        Ok(found)
    }

    fn failed(&self, error: Box<redb::Error>) -> IndexError {
        self.place.failed("read", error)
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
        self.value(tree, &placed).map_err(|error| self.read_error(table, error))
    }

    fn scan(
        &self,
        table: Table,
        prefix: &str,
        from: &str,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, RecordsError> {
        let start = if from > prefix { from } else { prefix };
        let failed = |error| self.read_error(table, error);
        let Reach { own, family } = layout::reach(table, prefix, start);
        let mut found = match own {
            true => self.scan_own(table, prefix, start, limit).map_err(failed)?,
            false => Vec::new(),
        };
        if let Some(family) = family {
            found.extend(self.scan_family(family, prefix, start, limit).map_err(failed)?);
            if own {
                found.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
                found.truncate(limit);
            }
        }
        Ok(found)
    }
}
