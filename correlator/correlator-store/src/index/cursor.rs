//! Goes through the rows of one tree that are above the file, in order.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

use super::gathered::{self, Gathered};
use super::layout::Tree;
use super::memtable::{Memtable, OwnedRow};

/// A cursor fetches so many rows at first, and twice as many each time, up to this.
const FETCHED_FIRST: usize = 4;
const FETCHED_MAX: usize = 256;

/// Rows that lie above those of the file.
#[derive(Debug, Clone)]
pub(super) enum Layer {
    Memtable(Arc<Memtable>),
    Gathered(Arc<Gathered>),
}

/// Takes a few rows at a time, so that nobody waits for it.
pub(super) struct Cursor {
    layer: Layer,
    tree: Tree,
    position: u64,
    fetched: VecDeque<OwnedRow>,
    /// Where to fetch on; nothing at the end.
    next: Option<Bound<Vec<u8>>>,
    /// Rows from this key on are not looked at.
    end: Option<Vec<u8>>,
    fetch: usize,
}

impl Layer {
    /// The row as a reader at a position sees it: nothing where this has no word on it, `Some(None)` where it is removed.
    pub(super) fn get(&self, tree: Tree, key: &[u8], position: u64) -> Option<Option<Vec<u8>>> {
        match self {
            Layer::Memtable(memtable) => memtable.get(tree, key, position),
            Layer::Gathered(gathered) if tree == gathered::TREE => {
                gathered.get(key).map(|value| value.map(<[u8]>::to_vec))
            }
            Layer::Gathered(_) => None,
        }
    }

    /// Whether it can have rows of a tree.
    pub(super) fn may_hold(&self, tree: Tree) -> bool {
        match self {
            Layer::Memtable(_) => true,
            Layer::Gathered(gathered) => tree == gathered::TREE && !gathered.is_empty(),
        }
    }
}

impl Cursor {
    /// From a key on, to another one that is not met itself.
    pub(super) fn new(layer: &Layer, tree: Tree, position: u64, from: &[u8], end: Option<&[u8]>) -> Cursor {
        Cursor {
            layer: layer.clone(),
            tree,
            position,
            fetched: VecDeque::new(),
            next: Some(Bound::Included(from.to_vec())),
            end: end.map(<[u8]>::to_vec),
            fetch: FETCHED_FIRST,
        }
    }

    /// The next row, which stays where it is; removed ones have no value.
    pub(super) fn head(&mut self) -> Option<&OwnedRow> {
        while self.fetched.is_empty() && self.next.is_some() {
            self.fetch();
        }
        self.fetched.front()
    }

    pub(super) fn take(&mut self) -> Option<OwnedRow> {
        self.head()?;
        self.fetched.pop_front()
    }

    fn fetch(&mut self) {
        let Some(from) = self.next.take() else { return };
        let from = from.as_ref().map(Vec::as_slice);
        let end = self.end.as_deref();
        if let (Bound::Included(from) | Bound::Excluded(from), Some(end)) = (from, end)
            && from >= end
        {
            return;
        }
        let (fetched, last) = match &self.layer {
            Layer::Memtable(memtable) => {
                let within = (from, end.map_or(Bound::Unbounded, Bound::Excluded));
                memtable.fetch(self.tree, self.position, within, self.fetch)
            }
            Layer::Gathered(gathered) => {
                let rows = gathered.rows_from(from).take_while(|(key, _)| end.is_none_or(|end| *key < end));
                let rows =
                    rows.take(self.fetch).map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)));
                let fetched: VecDeque<OwnedRow> = rows.collect();
                let last = fetched.back().filter(|_| fetched.len() == self.fetch).map(|(key, _)| key.clone());
                (fetched, last)
            }
        };
        self.fetched = fetched;
        self.next = last.map(Bound::Excluded);
        self.fetch = (self.fetch * 2).min(FETCHED_MAX);
    }
}
