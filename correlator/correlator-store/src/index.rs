//! The index: the state that the evidence log leads to, and the decisions that wait to be carried out.
//!
//! In: changes and decisions of applied entries, receipts. Out: records, the outbox, the position of the last entry
//! applied. It is derived: what is committed stays in memory until it is worth a transaction of the file, a crash takes
//! it back to an earlier position, and an index that does not fit (another format, another log, damage) is deleted and
//! built anew. It never holds anything that the log does not lead to again.
//!
//! The way of a row: a commit puts it into the memtable that is open ([`memtable`]); when that is large, it is closed and
//! a thread writes it to the file in one transaction, in the order of the file's trees, while commits go on in a new one.
//! Rows by the ids of events, which would change a page each, are gathered for some writings first ([`gathered`]), and an id
//! that was never seen is not looked for at all ([`known`]). Reads look at the open memtable, at the closed one, at what is
//! gathered, and then at the file ([`merged`]).

mod batch;
mod cursor;
mod error;
mod file;
mod gathered;
mod known;
mod layout;
mod memtable;
mod merged;
mod near;
mod snapshot;
mod tables;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::{self, JoinHandle};

use correlator_core::decision::Decision;
use correlator_core::records::{Change, Table};
use redb::{Durability, WriteTransaction};

pub use batch::Batch;
pub use error::IndexError;
pub use file::Started;
pub use snapshot::{Delivery, Queued, Snapshot};

use batch::{Row, Step};
use cursor::Layer;
pub(crate) use error::{is_damage, is_full, widen};
use file::{File, Place};
use gathered::Gathered;
use known::Known;
use layout::Tree;
use memtable::{Memtable, Readers, Rows};
use tables::{META, META_POSITION};

use crate::log::Identity;
use crate::receipt::{Lane, OutboxId, Receipt, Told};

/// After so many commits, or so many bytes of rows, what was committed is written to the file: this bounds the memory, and
/// what a crash makes the start replay. While a thread writes, as much again can be committed.
const UNWRITTEN_COMMITS_MAX: u32 = 512;
const UNWRITTEN_BYTES_MAX: usize = 12 * 1024 * 1024;

type Writes = BTreeMap<Table, BTreeMap<String, Option<Vec<u8>>>>;

/// The index of one data folder.
pub struct Index {
    shared: Arc<Shared>,
    state: Mutex<State>,
    started: Started,
}

/// What the thread that writes shares with the index.
struct Shared {
    place: Arc<Place>,
    /// Absent while the file is being opened again, and after that failed.
    file: RwLock<Option<File>>,
    view: RwLock<View>,
    readers: Arc<Readers>,
}

/// What readers see above the file.
#[derive(Debug)]
struct View {
    position: u64,
    /// Takes the commits.
    open: Arc<Memtable>,
    /// Is being written to the file.
    closed: Option<Arc<Memtable>>,
    /// Rows that are in the file, and not yet in their tree.
    gathered: Arc<Gathered>,
    /// Keys of that tree which may be in any of these, or in the file.
    known: Arc<Known>,
}

/// What only the one that commits looks at.
#[derive(Default)]
struct State {
    /// The last position that is in the file, or will be when the writer ends.
    handed_over: u64,
    unwritten_commits: u32,
    writer: Option<JoinHandle<Result<(), IndexError>>>,
    /// A write failed: nothing is committed before the index is opened again.
    has_failed: bool,
}

impl fmt::Debug for Index {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Index");
        debug.field("path", &self.shared.place.path).field("position", &self.position());
        debug.finish_non_exhaustive()
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
        let view = place.view(&file)?;
        let position = view.position;
        let shared =
            Shared { place, file: RwLock::new(Some(file)), view: RwLock::new(view), readers: Arc::default() };
        let state = State { handed_over: position, ..State::default() };
        Ok(Index { shared: Arc::new(shared), state: Mutex::new(state), started })
    }

    /// How the index was found when it was opened.
    pub fn started(&self) -> &Started {
        &self.started
    }

    /// The last position of the log that was applied.
    pub fn position(&self) -> u64 {
        self.shared.view().position
    }

    /// A view of the index as it is now.
    pub fn snapshot(&self) -> Result<Snapshot, IndexError> {
        let shared = &self.shared;
        let file = shared.file();
        let file = file.as_ref().ok_or_else(|| shared.closed())?;
        // Held until the file is looked at too: what leaves the memory is in the file then.
        let view = shared.view();
        let transaction = file.begin_read().map_err(|error| shared.place.failed("read", error))?;
        let reader = shared.readers.enter(view.position);
        let memtables = std::iter::once(&view.open).chain(&view.closed);
        let gathered = Layer::Gathered(Arc::clone(&view.gathered));
        let layers = memtables.map(|rows| Layer::Memtable(Arc::clone(rows))).chain([gathered]).collect();
        let (place, known) = (Arc::clone(&shared.place), Arc::clone(&view.known));
        Ok(Snapshot::new(place, view.position, layers, transaction, known, reader))
    }

    /// Begins to apply entries.
    pub fn begin(&self) -> Result<Batch<'_>, IndexError> {
        Ok(Batch::new(self, self.snapshot()?))
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
        self.check_usable(&state)?;
        self.hand_over(&mut state)?;
        self.await_writer(&mut state)
    }

    /// Opens the file again, after an error that left the database unusable (a full disk). The position may be an
    /// earlier one: what follows it must be replayed.
    pub fn reopen(&self) -> Result<Started, IndexError> {
        let mut state = self.state();
        // It may have failed; what it could not write is in the log.
        let _ = self.await_writer(&mut state);
        let shared = &self.shared;
        let mut file = shared.file.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = file.take() {
            if matches!(open, File::ReadOnly(_)) {
                *file = Some(open);
                return Err(IndexError::ReadOnly);
            }
            let _ = open.close();
        }
        let (opened, started) = shared.place.open()?;
        let view = shared.place.view(&opened)?;
        *state = State { handed_over: view.position, ..State::default() };
        *shared.view_to_change() = view;
        *file = Some(opened);
        Ok(started)
    }

    fn write(&self, began: u64, position: u64, writes: Writes, outbox: Vec<Step>) -> Result<(), IndexError> {
        let mut state = self.state();
        self.check_usable(&state)?;
        let at = self.position();
        if at != began {
            return Err(IndexError::Stale { at, began });
        }
        if position == began {
            return Ok(());
        }
        if state.writer.as_ref().is_some_and(JoinHandle::is_finished) {
            self.await_writer(&mut state)?;
        }
        let mut rows = rows_of(writes);
        self.add_outbox(&mut rows, outbox)?;
        let bytes = {
            let mut view = self.shared.view_to_change();
            // Nobody begins to read meanwhile.
            rows.get(&gathered::TREE).into_iter().flatten().for_each(|(key, _)| view.known.add(key));
            view.open.take(position, rows, self.shared.readers.oldest());
            view.position = position;
            view.open.bytes()
        };
        state.unwritten_commits += 1;
        if state.unwritten_commits >= UNWRITTEN_COMMITS_MAX || bytes >= UNWRITTEN_BYTES_MAX {
            self.hand_over(&mut state)?;
        }
        Ok(())
    }

    /// The rows of the outbox that a commit adds, changes and removes.
    fn add_outbox(&self, rows: &mut Rows, steps: Vec<Step>) -> Result<(), IndexError> {
        let mut before: Option<Snapshot> = None;
        for step in steps {
            match step {
                Step::Add(id, row) => {
                    let bytes =
                        serde_json::to_vec(&row).map_err(|source| IndexError::Encode { id, source })?;
                    let lane = rows.entry(Tree::Outbox(Lane::of(&row.decision))).or_default();
                    lane.insert(layout::outbox_key(id), Some(bytes));
                }
                Step::Receipt(receipt) => {
                    if before.is_none() {
                        before = Some(self.snapshot()?);
                    }
                    if let Some(before) = &before {
                        add_receipt(rows, before, receipt)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Closes the memtable that is open, and lets a thread write it to the file.
    fn hand_over(&self, state: &mut State) -> Result<(), IndexError> {
        self.await_writer(state)?;
        let position = self.position();
        if position == state.handed_over {
            return Ok(());
        }
        let rows = {
            let mut view = self.shared.view_to_change();
            let rows = std::mem::replace(&mut view.open, Arc::new(Memtable::new()));
            view.closed = Some(Arc::clone(&rows));
            rows
        };
        (state.handed_over, state.unwritten_commits) = (position, 0);
        let shared = Arc::clone(&self.shared);
        let write = move || shared.write(position, &rows);
        let writer = thread::Builder::new().name("index".to_owned()).spawn(write);
        let writer = writer.map_err(|error| self.shared.place.failed("write", widen(error)));
        state.has_failed = writer.is_err();
        state.writer = Some(writer?);
        Ok(())
    }

    /// Waits until what was handed over is in the file.
    fn await_writer(&self, state: &mut State) -> Result<(), IndexError> {
        let Some(writer) = state.writer.take() else { return Ok(()) };
        let written = writer.join().unwrap_or_else(|_| Err(self.shared.closed()));
        state.has_failed = written.is_err();
        written
    }

    fn check_usable(&self, state: &State) -> Result<(), IndexError> {
        match self.shared.file().as_ref() {
            Some(File::ReadOnly(_)) => Err(IndexError::ReadOnly),
            Some(File::Writable(_)) if !state.has_failed => Ok(()),
            _ => Err(self.shared.closed()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rows of the ledger's tables, where they lie.
fn rows_of(writes: Writes) -> Rows {
    let mut rows = Rows::new();
    for (table, writes) in writes {
        for (key, value) in writes {
            let (tree, placed) = layout::spot(table, &key);
            rows.entry(tree).or_default().insert(placed, value);
        }
    }
    rows
}

/// What a receipt takes from the outbox as it was before this commit, and from what this commit adds.
fn add_receipt(rows: &mut Rows, before: &Snapshot, receipt: Receipt) -> Result<(), IndexError> {
    match receipt {
        Receipt::Dispatched { lane, through } => {
            let there = before.outbox_through(lane, through)?;
            let lane = rows.entry(Tree::Outbox(lane)).or_default();
            lane.extend(there.into_iter().map(|key| (key, None)));
            let through = layout::outbox_key(through);
            lane.range_mut(..=through).for_each(|(_, value)| *value = None);
        }
        Receipt::Delivered { id, told, sink, outcome, settled } => {
            let Some(id) = delivery_meant(rows, before, id, told.as_ref())? else { return Ok(()) };
            let own = layout::outbox_key(id);
            let lane = rows.entry(Tree::Outbox(Lane::Delivery)).or_default();
            if settled {
                lane.insert(own.clone(), None);
                let there = before.delivery_keys(id)?;
                let deliveries = rows.entry(Tree::Deliveries).or_default();
                deliveries.extend(there.into_iter().map(|key| (key, None)));
                let of_this = deliveries.range_mut(own.clone()..);
                of_this.take_while(|(key, _)| key.starts_with(&own)).for_each(|(_, value)| *value = None);
                return Ok(());
            }
            let waits = match lane.get(&own) {
                Some(value) => value.is_some(),
                None => before.waits(Lane::Delivery, id)?,
            };
            if waits {
                let bytes =
                    serde_json::to_vec(&outcome).map_err(|source| IndexError::Encode { id, source })?;
                let deliveries = rows.entry(Tree::Deliveries).or_default();
                deliveries.insert(layout::delivery_key(id, &sink), Some(bytes));
            }
        }
    }
    Ok(())
}

/// The delivery that a receipt means: the one that it names where that tells what it says, or another of the same input.
fn delivery_meant(
    rows: &Rows,
    before: &Snapshot,
    id: OutboxId,
    told: Option<&Told>,
) -> Result<Option<OutboxId>, IndexError> {
    let Some(told) = told else { return Ok(Some(id)) };
    let tells_it = |id: OutboxId, row: &[u8]| -> Result<bool, IndexError> {
        let row: Row = serde_json::from_slice(row).map_err(|source| IndexError::Decode { id, source })?;
        Ok(matches!(&row.decision, Decision::Deliver { case, .. } if Told::of(case) == *told))
    };
    let lane = rows.get(&Tree::Outbox(Lane::Delivery));
    let own = layout::outbox_key(id);
    let named = match lane.and_then(|lane| lane.get(&own)) {
        Some(row) => row.clone(),
        None => before.delivery(&own)?,
    };
    if let Some(named) = named
        && tells_it(id, &named)?
    {
        return Ok(Some(id));
    }
    let [first, end] = [id.position, id.position + 1].map(|position| OutboxId { position, index: 0 });
    let of_input = layout::outbox_key(first)..layout::outbox_key(end);
    for (key, value) in lane.into_iter().flat_map(|lane| lane.range(of_input.clone())) {
        let (Some(value), Some((id, _))) = (value, layout::outbox_id(key)) else { continue };
        if tells_it(id, value)? {
            return Ok(Some(id));
        }
    }
    before.delivery_in(of_input, tells_it)
}

impl Shared {
    /// Writes the closed memtable to the file, durably; then it is no more above it.
    fn write(&self, position: u64, rows: &Memtable) -> Result<(), IndexError> {
        let new = Gathered::of(rows, position);
        // The view is not held meanwhile: commits go on.
        let before = Arc::clone(&self.view().gathered);
        let mut waiting = before.with(&new);
        self.in_transaction(|transaction| {
            // In the order in which they lie: what is about one digest changes the same pages.
            for tree in Tree::all().filter(|tree| *tree != gathered::TREE) {
                let mut writer = TreeWriter::new(transaction, tree);
                rows.for_each(tree, position, |key, value| writer.write(key, value))?;
            }
            let mut journal = TreeWriter::new(transaction, Tree::Gathered);
            if waiting.is_full() {
                let mut writer = TreeWriter::new(transaction, gathered::TREE);
                waiting.rows().try_for_each(|(key, value)| writer.write(key, value))?;
                journal.clear()?;
            } else if !new.is_empty() {
                journal.write(&position.to_be_bytes(), Some(new.bytes()))?;
            }
            let mut meta = transaction.open_table(META).map_err(widen)?;
            let position = position.to_be_bytes();
            meta.insert(META_POSITION, &position[..]).map(|_| ()).map_err(widen)
        })
        .map_err(|error| self.place.failed("write", error))?;
        if waiting.is_full() {
            waiting = Gathered::default();
        }
        let is_worn = self.view().known.is_worn();
        let known = is_worn.then(|| self.known_anew(&waiting)).transpose()?;
        let mut view = self.view_to_change();
        (view.closed, view.gathered) = (None, Arc::new(waiting));
        if let Some(known) = known {
            // What was committed since is above the file only.
            view.open.visit(gathered::TREE, u64::MAX, |key, _| known.add(key));
            view.known = Arc::new(known);
        }
        Ok(())
    }

    fn known_anew(&self, waiting: &Gathered) -> Result<Known, IndexError> {
        let file = self.file();
        let file = file.as_ref().ok_or_else(|| self.closed())?;
        let transaction = file.begin_read().map_err(|error| self.place.failed("read", error))?;
        let snapshot = Snapshot::of_file(Arc::clone(&self.place), transaction)?;
        snapshot.known(waiting).map_err(|error| self.place.failed("read", error))
    }

    fn in_transaction(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<(), Box<redb::Error>>,
    ) -> Result<(), Box<redb::Error>> {
        let file = self.file();
        let Some(File::Writable(database)) = file.as_ref() else {
            return Err(Box::new(redb::Error::DatabaseClosed));
        };
        let mut transaction = database.begin_write().map_err(widen)?;
        transaction.set_durability(Durability::Immediate).map_err(widen)?;
        // Without it, the start after a crash walks the whole file.
        transaction.set_quick_repair(true);
        work(&transaction)?;
        transaction.commit().map_err(widen)
    }

    fn closed(&self) -> IndexError {
        self.place.failed("use", Box::new(redb::Error::DatabaseClosed))
    }

    fn file(&self) -> RwLockReadGuard<'_, Option<File>> {
        self.file.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn view_to_change(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes rows to one tree, which is opened for the first.
struct TreeWriter<'a> {
    transaction: &'a WriteTransaction,
    tree: Tree,
    table: Option<redb::Table<'a, &'static [u8], &'static [u8]>>,
}

impl<'a> TreeWriter<'a> {
    fn new(transaction: &'a WriteTransaction, tree: Tree) -> TreeWriter<'a> {
        TreeWriter { transaction, tree, table: None }
    }

    fn write(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Box<redb::Error>> {
        let table = self.table()?;
        match value {
            Some(bytes) => table.insert(key, bytes).map(|_| ()).map_err(widen),
            None => table.remove(key).map(|_| ()).map_err(widen),
        }
    }

    /// Removes all rows.
    fn clear(&mut self) -> Result<(), Box<redb::Error>> {
        self.table()?.retain(|_, _| false).map_err(widen)
    }

    fn table(&mut self) -> Result<&mut redb::Table<'a, &'static [u8], &'static [u8]>, Box<redb::Error>> {
        match &mut self.table {
            Some(table) => Ok(table),
            none => Ok(none.insert(self.transaction.open_table(tables::tree(self.tree)).map_err(widen)?)),
        }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        // Without the checkpoint the next start replays a little more.
        let writable = matches!(*self.shared.file(), Some(File::Writable(_)));
        if writable && let Err(error) = self.checkpoint() {
            tracing::warn!(index = %self.shared.place.path.display(), "failed to make the index durable: {error}");
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

    /// What an open file holds, with nothing above it.
    fn view(self: &Arc<Place>, file: &File) -> Result<View, IndexError> {
        let transaction = file.begin_read().map_err(|error| self.failed("read", error))?;
        let snapshot = Snapshot::of_file(Arc::clone(self), transaction)?;
        let writings = snapshot.gathered().map_err(|error| self.failed("read", error))?;
        let gathered = Gathered::of_writings(writings);
        // Whoever only reads asks for few events, and would wait for the filter.
        let known = match file {
            File::Writable(_) => snapshot.known(&gathered).map_err(|error| self.failed("read", error))?,
            File::ReadOnly(_) => Known::anything(),
        };
        Ok(View {
            position: snapshot.position(),
            open: Arc::new(Memtable::new()),
            closed: None,
            gathered: Arc::new(gathered),
            known: Arc::new(known),
        })
    }
}
