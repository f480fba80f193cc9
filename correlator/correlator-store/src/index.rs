//! The index: the state that the evidence log leads to, and the decisions that wait to be carried out.
//!
//! In: changes and decisions of applied entries, receipts. Out: records, the outbox, the position of the last entry
//! applied. It is derived: its commits are not fsynced one by one, a crash takes it back to an earlier position, and an
//! index that does not fit (another format, another log, damage) is deleted and built anew. It never holds anything
//! that the log does not lead to again.

mod batch;
mod error;
mod file;
mod layout;
mod snapshot;
mod tables;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use correlator_core::decision::Decision;
use correlator_core::records::{Change, Table};
use redb::{Durability, ReadableTable, WriteTransaction};

pub use batch::Batch;
pub use error::IndexError;
pub use file::Started;
pub use snapshot::{Delivery, Queued, Snapshot};

use batch::Step;
pub(crate) use error::{is_damage, is_full, widen};
use file::{File, Place};
use layout::Tree;
use tables::{DELIVERIES, META, META_POSITION};

use crate::log::Identity;
use crate::receipt::{Lane, OutboxId, Receipt};

/// After so many commits, or so many bytes, one is fsynced: this bounds what a crash makes the start replay.
const UNSYNCED_COMMITS_MAX: u32 = 512;
const UNSYNCED_BYTES_MAX: usize = 16 * 1024 * 1024;

type Writes = BTreeMap<Table, BTreeMap<String, Option<Vec<u8>>>>;

/// The index of one data folder.
pub struct Index {
    place: Arc<Place>,
    /// Absent while the file is being opened again, and after that failed.
    file: RwLock<Option<File>>,
    state: Mutex<State>,
    started: Started,
}

#[derive(Debug, Default)]
struct State {
    position: u64,
    unsynced_commits: u32,
    unsynced_bytes: usize,
}

impl fmt::Debug for Index {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Index");
        debug.field("path", &self.place.path).field("position", &self.position()).finish_non_exhaustive()
    }
}

impl Index {
    /// Opens the index of a log, or begins it anew. `records_format` is the ledger's: another one begins it anew too.
    pub(crate) fn open(
        path: &Path,
        identity: &Identity,
        records_format: u32,
        cache_bytes: usize,
    ) -> Result<Index, IndexError> {
        let place = Arc::new(Place::new(path, identity, records_format, cache_bytes));
        let (file, started) = place.open()?;
        Index::new(place, file, started)
    }

    /// Opens the index to be read.
    pub(crate) fn open_read_only(
        path: &Path,
        identity: &Identity,
        records_format: u32,
        cache_bytes: usize,
    ) -> Result<Index, IndexError> {
        let place = Arc::new(Place::new(path, identity, records_format, cache_bytes));
        let file = place.open_read_only()?;
        Index::new(place, file, Started::Continued)
    }

    fn new(place: Arc<Place>, file: File, started: Started) -> Result<Index, IndexError> {
        let index =
            Index { place, file: RwLock::new(Some(file)), state: Mutex::new(State::default()), started };
        index.state().position = index.snapshot()?.position()?;
        Ok(index)
    }

    /// How the index was found when it was opened.
    pub fn started(&self) -> &Started {
        &self.started
    }

    /// The last position of the log that was applied.
    pub fn position(&self) -> u64 {
        self.state().position
    }

    /// A view of the index as it is now.
    pub fn snapshot(&self) -> Result<Snapshot, IndexError> {
        let file = self.file();
        let file = file.as_ref().ok_or_else(|| self.closed())?;
        let transaction = file.begin_read().map_err(|error| self.place.failed("read", error))?;
        Ok(Snapshot::new(self.place.clone(), transaction))
    }

    /// Begins to apply entries.
    pub fn begin(&self) -> Result<Batch<'_>, IndexError> {
        Batch::new(self, self.snapshot()?)
    }

    /// Commits what one entry led to. Several entries are cheaper in a [`Batch`].
    pub fn commit(
        &self,
        position: u64,
        changes: Vec<Change>,
        decisions: Vec<Decision>,
    ) -> Result<(), IndexError> {
        let mut batch = self.begin()?;
        batch.apply(position, changes, decisions)?;
        batch.commit()
    }

    /// Makes what was committed so far durable: a start after a crash replays nothing of it.
    pub fn checkpoint(&self) -> Result<(), IndexError> {
        let mut state = self.state();
        if state.unsynced_commits == 0 {
            return Ok(());
        }
        self.in_transaction(true, |_| Ok(()))?;
        (state.unsynced_commits, state.unsynced_bytes) = (0, 0);
        Ok(())
    }

    /// Opens the file again, after an error that left the database unusable (a full disk). The position may be an
    /// earlier one: what follows it must be replayed.
    pub fn reopen(&self) -> Result<Started, IndexError> {
        let mut state = self.state();
        let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = file.take() {
            if matches!(open, File::ReadOnly(_)) {
                *file = Some(open);
                return Err(IndexError::ReadOnly);
            }
            // It failed before; what it could not write is in the log.
            let _ = open.close();
        }
        let (opened, started) = self.place.open()?;
        let transaction = opened.begin_read().map_err(|error| self.place.failed("read", error))?;
        let position = Snapshot::new(self.place.clone(), transaction).position()?;
        *state = State { position, ..State::default() };
        *file = Some(opened);
        Ok(started)
    }

    fn write(
        &self,
        began: u64,
        position: u64,
        writes: Writes,
        outbox: Vec<Step>,
        weight_bytes: usize,
    ) -> Result<(), IndexError> {
        let mut state = self.state();
        if state.position != began {
            return Err(IndexError::Stale { at: state.position, began });
        }
        if position == began {
            return Ok(());
        }
        let commits = state.unsynced_commits + 1;
        let bytes = state.unsynced_bytes.saturating_add(weight_bytes);
        let durable = commits >= UNSYNCED_COMMITS_MAX || bytes >= UNSYNCED_BYTES_MAX;
        self.in_transaction(durable, |transaction| {
            self.write_records(transaction, writes)?;
            self.write_outbox(transaction, outbox)?;
            let mut meta = transaction.open_table(META).map_err(|error| self.failed(error))?;
            let position = position.to_be_bytes();
            meta.insert(META_POSITION, &position[..]).map_err(|error| self.failed(error))?;
            Ok(())
        })?;
        state.position = position;
        (state.unsynced_commits, state.unsynced_bytes) = if durable { (0, 0) } else { (commits, bytes) };
        Ok(())
    }

    fn write_records(&self, transaction: &WriteTransaction, writes: Writes) -> Result<(), IndexError> {
        let mut trees: BTreeMap<Tree, BTreeMap<Vec<u8>, Option<Vec<u8>>>> = BTreeMap::new();
        for (table, writes) in writes {
            for (key, value) in writes {
                let (tree, placed) = layout::spot(table, &key);
                trees.entry(tree).or_default().insert(placed, value);
            }
        }
        // In the order in which they lie: what is about one digest changes the same pages.
        for (tree, writes) in trees {
            let mut tree = transaction.open_table(tables::tree(tree)).map_err(|error| self.failed(error))?;
            for (placed, value) in writes {
                match value {
                    Some(bytes) => tree.insert(placed.as_slice(), bytes.as_slice()).map(|_| ()),
                    None => tree.remove(placed.as_slice()).map(|_| ()),
                }
                .map_err(|error| self.failed(error))?;
            }
        }
        Ok(())
    }

    fn write_outbox(&self, transaction: &WriteTransaction, steps: Vec<Step>) -> Result<(), IndexError> {
        for step in steps {
            match step {
                Step::Add(id, row) => {
                    let bytes =
                        serde_json::to_vec(&row).map_err(|source| IndexError::Encode { id, source })?;
                    let lane = tables::outbox(Lane::of(&row.decision));
                    let mut table = transaction.open_table(lane).map_err(|error| self.failed(error))?;
                    table
                        .insert((id.position, id.index), bytes.as_slice())
                        .map_err(|error| self.failed(error))?;
                }
                Step::Receipt(Receipt::Dispatched { lane, through }) => {
                    let mut table =
                        transaction.open_table(tables::outbox(lane)).map_err(|error| self.failed(error))?;
                    let through = (through.position, through.index);
                    table.retain_in(..=through, |_, _| false).map_err(|error| self.failed(error))?;
                }
                Step::Receipt(Receipt::Delivered { id, sink, outcome, settled }) => {
                    self.write_delivery(transaction, id, &sink, &outcome, settled)?;
                }
            }
        }
        Ok(())
    }

    fn write_delivery(
        &self,
        transaction: &WriteTransaction,
        id: OutboxId,
        sink: &str,
        outcome: &crate::receipt::DeliveryOutcome,
        settled: bool,
    ) -> Result<(), IndexError> {
        let lane = tables::outbox(Lane::Delivery);
        let mut waiting = transaction.open_table(lane).map_err(|error| self.failed(error))?;
        let mut deliveries = transaction.open_table(DELIVERIES).map_err(|error| self.failed(error))?;
        let key = (id.position, id.index);
        if settled {
            waiting.remove(key).map_err(|error| self.failed(error))?;
            // Sinks' names are below the greatest character, so this is every sink of this decision.
            let (first, last) = ((key.0, key.1, ""), (key.0, key.1, "\u{10ffff}"));
            return deliveries.retain_in(first..=last, |_, _| false).map_err(|error| self.failed(error));
        }
        if waiting.get(key).map_err(|error| self.failed(error))?.is_some() {
            let bytes = serde_json::to_vec(outcome).map_err(|source| IndexError::Encode { id, source })?;
            deliveries.insert((key.0, key.1, sink), bytes.as_slice()).map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    fn in_transaction(
        &self,
        durable: bool,
        work: impl FnOnce(&WriteTransaction) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let file = self.file();
        let database = match file.as_ref() {
            Some(File::Writable(database)) => database,
            Some(File::ReadOnly(_)) => return Err(IndexError::ReadOnly),
            None => return Err(self.closed()),
        };
        let mut transaction = database.begin_write().map_err(|error| self.failed(error))?;
        let durability = if durable { Durability::Immediate } else { Durability::None };
        transaction.set_durability(durability).map_err(|error| self.failed(error))?;
        // Without it, the start after a crash walks the whole file.
        transaction.set_quick_repair(durable);
        work(&transaction)?;
        transaction.commit().map_err(|error| self.failed(error))
    }

    fn failed(&self, error: impl Into<redb::Error>) -> IndexError {
        self.place.failed("write", widen(error))
    }

    fn closed(&self) -> IndexError {
        self.place.failed("use", Box::new(redb::Error::DatabaseClosed))
    }

    fn file(&self) -> RwLockReadGuard<'_, Option<File>> {
        self.file.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        // Without the checkpoint the next start replays a little more.
        let writable = matches!(*self.file(), Some(File::Writable(_)));
        if writable && let Err(error) = self.checkpoint() {
            tracing::warn!(index = %self.place.path.display(), "failed to make the index durable: {error}");
        }
    }
}

impl Place {
    fn new(path: &Path, identity: &Identity, records_format: u32, cache_bytes: usize) -> Place {
        Place {
            path: path.to_owned(),
            format: format!("{}/{records_format}", tables::FORMAT),
            log: format!("{} {}", identity.log, identity.generation),
            cache_bytes,
        }
    }
}
