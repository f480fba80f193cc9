//! Rows that were committed and are not in the file yet.
//!
//! In: the rows of each commit, under its position. Out: reads as of a position, and at the end the newest of each row,
//! in order, to be written to the file. A row that changes often is written once so, and one that comes and goes not at
//! all. Nothing here is durable: the log leads to it again.

use std::collections::{BTreeMap, VecDeque, btree_map};
use std::convert::Infallible;
use std::fmt;
use std::mem;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use super::layout::Tree;

/// What a row takes beside its bytes, roughly.
const ROW_OVERHEAD_BYTES: usize = 96;

/// Rows by tree and key; nothing where a row is removed.
pub(super) type Rows = BTreeMap<Tree, BTreeMap<Vec<u8>, Option<Vec<u8>>>>;

type Versions = BTreeMap<Vec<u8>, Row>;

/// A key, and its value; nothing where the row is removed.
pub(super) type OwnedRow = (Vec<u8>, Option<Vec<u8>>);

/// See the module.
pub(super) struct Memtable {
    /// By the trees' numbers.
    trees: RwLock<Vec<Versions>>,
    /// Roughly what all of it takes in memory.
    bytes: AtomicUsize,
}

struct Row {
    newest: Version,
    /// Those that a reader of an earlier position may still ask for, in order.
    older: Vec<Version>,
}

struct Version {
    position: u64,
    /// Nothing where the row is removed.
    value: Option<Vec<u8>>,
}

impl Version {
    fn bytes(&self) -> usize {
        self.value.as_ref().map_or(0, Vec::len) + mem::size_of::<Version>()
    }
}

impl Row {
    /// The row as a reader at a position sees it.
    fn at(&self, position: u64) -> Option<&Version> {
        let mut versions = std::iter::once(&self.newest).chain(self.older.iter().rev());
        versions.find(|version| version.position <= position)
    }

    /// Sets the newest; what no reader from `oldest` on asks for is let go. Returns the bytes that came and that went.
    fn set(&mut self, version: Version, oldest: Option<u64>) -> (usize, usize) {
        let came = version.bytes();
        let mut went = 0;
        let before = mem::replace(&mut self.newest, version);
        self.older.push(before);
        let needed = match oldest {
            Some(oldest) => self.older.iter().rposition(|version| version.position <= oldest).unwrap_or(0),
            None => self.older.len(),
        };
        for version in self.older.drain(..needed) {
            went += version.bytes();
        }
        if self.older.is_empty() {
            self.older = Vec::new();
        }
        (came, went)
    }
}

impl fmt::Debug for Memtable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Memtable").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl Memtable {
    pub(super) fn new() -> Memtable {
        let trees = Tree::all().map(|_| Versions::new()).collect();
        Memtable { trees: RwLock::new(trees), bytes: AtomicUsize::new(0) }
    }

    /// Roughly what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Takes the rows of the commit at a position, which is above all before it. `oldest` is the position of the reader
    /// that has been reading longest.
    pub(super) fn take(&self, position: u64, rows: Rows, oldest: Option<u64>) {
        let mut trees = self.trees.write().unwrap_or_else(PoisonError::into_inner);
        let (mut came, mut went) = (0, 0);
        for (tree, rows) in rows {
            let Some(versions) = trees.get_mut(tree.number()) else { continue };
            for (key, value) in rows {
                let version = Version { position, value };
                match versions.entry(key) {
                    btree_map::Entry::Occupied(row) => {
                        let (new, old) = row.into_mut().set(version, oldest);
                        (came, went) = (came + new, went + old);
                    }
                    btree_map::Entry::Vacant(place) => {
                        came += place.key().len() + version.bytes() + ROW_OVERHEAD_BYTES;
                        place.insert(Row { newest: version, older: Vec::new() });
                    }
                }
            }
        }
        let bytes = (self.bytes() + came).saturating_sub(went);
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// The row as a reader at a position sees it: nothing where this has no word on it, `Some(None)` where it is removed.
    pub(super) fn get(&self, tree: Tree, key: &[u8], position: u64) -> Option<Option<Vec<u8>>> {
        let trees = self.read();
        Some(trees.get(tree.number())?.get(key)?.at(position)?.value.clone())
    }

    /// What `look` makes of each row of a tree as a reader at a position sees it, removed ones included, in order.
    pub(super) fn for_each<E>(
        &self,
        tree: Tree,
        position: u64,
        mut look: impl FnMut(&[u8], Option<&[u8]>) -> Result<(), E>,
    ) -> Result<(), E> {
        let trees = self.read();
        for (key, row) in trees.get(tree.number()).into_iter().flatten() {
            if let Some(version) = row.at(position) {
                look(key, version.value.as_deref())?;
            }
        }
        Ok(())
    }

    /// The same, where nothing can fail.
    pub(super) fn visit(&self, tree: Tree, position: u64, mut look: impl FnMut(&[u8], Option<&[u8]>)) {
        let Ok(()) = self.for_each::<Infallible>(tree, position, |key, value| {
            look(key, value);
            Ok(())
        });
    }

    /// At most `limit` rows of a tree within a range as a reader at a position sees them, removed ones included, and the last
    /// key that was looked at, where there are more.
    pub(super) fn fetch(
        &self,
        tree: Tree,
        position: u64,
        within: (Bound<&[u8]>, Bound<&[u8]>),
        limit: usize,
    ) -> (VecDeque<OwnedRow>, Option<Vec<u8>>) {
        let mut fetched = VecDeque::new();
        let trees = self.read();
        let Some(versions) = trees.get(tree.number()) else { return (fetched, None) };
        let mut rows = versions.range::<[u8], _>(within);
        let mut last = None;
        for (key, row) in rows.by_ref().take(limit) {
            if let Some(version) = row.at(position) {
                fetched.push_back((key.clone(), version.value.clone()));
            }
            last = Some(key);
        }
        let last = last.filter(|_| rows.next().is_some()).cloned();
        (fetched, last)
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Versions>> {
        self.trees.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who reads, and as of which position: their versions are kept.
#[derive(Debug, Default)]
pub(super) struct Readers {
    by_position: Mutex<BTreeMap<u64, usize>>,
}

/// One of the readers, until it is dropped.
#[derive(Debug)]
pub(super) struct Reader {
    readers: Arc<Readers>,
    position: u64,
}

impl Readers {
    pub(super) fn enter(self: &Arc<Readers>, position: u64) -> Reader {
        let mut positions = self.by_position.lock().unwrap_or_else(PoisonError::into_inner);
        *positions.entry(position).or_default() += 1;
        Reader { readers: Arc::clone(self), position }
    }

    /// The position of the one that has been reading longest.
    pub(super) fn oldest(&self) -> Option<u64> {
        let positions = self.by_position.lock().unwrap_or_else(PoisonError::into_inner);
        positions.keys().next().copied()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut positions = self.readers.by_position.lock().unwrap_or_else(PoisonError::into_inner);
        if let btree_map::Entry::Occupied(mut count) = positions.entry(self.position) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}
