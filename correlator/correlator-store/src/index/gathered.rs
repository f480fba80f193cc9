//! Rows of a tree whose keys are random, gathered until they are worth a pass over it: one by one, each of them would change
//! a page of its own.
//!
//! In: such rows of each writing. Out: reads of them, the bytes that keep those of one writing in the file, and all of them
//! in the order of their tree.

use std::cmp::Ordering;
use std::ops::Bound;

use super::layout::Tree;
use super::memtable::Memtable;

/// So many rows, or bytes of them, are written to their tree.
pub(super) const ROWS_MAX: usize = if cfg!(test) { 24 } else { 128 * 1024 };
pub(super) const BYTES_MAX: usize = 16 * 1024 * 1024;
/// The tree whose rows are gathered.
pub(super) const TREE: Tree = Tree::ByEvent;

/// A key, and its value; nothing where the row is removed.
pub(super) type Row<'a> = (&'a [u8], Option<&'a [u8]>);

/// See the module. It never changes: what is added makes another one.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Row after row, in the order of their keys: the lengths of the key and of the value plus one (zero where the row is
    /// removed), four bytes each, big-endian; the key; the value.
    bytes: Vec<u8>,
    /// Where each row begins.
    starts: Vec<usize>,
}

impl Gathered {
    /// The rows of a memtable as of a position.
    pub(super) fn of(memtable: &Memtable, position: u64) -> Gathered {
        let mut gathered = Gathered::default();
        memtable.visit(TREE, position, |key, value| gathered.push((key, value)));
        gathered
    }

    /// What [`bytes`](Self::bytes) gave; nothing where they are something else.
    pub(super) fn decode(bytes: Vec<u8>) -> Option<Gathered> {
        let mut starts = Vec::new();
        let (mut rest, mut last): (&[u8], Option<&[u8]>) = (&bytes, None);
        while !rest.is_empty() {
            let ((key, _), behind) = split_row(rest)?;
            if last.is_some_and(|last| last >= key) {
                return None;
            }
            starts.push(bytes.len() - rest.len());
            (rest, last) = (behind, Some(key));
        }
        Some(Gathered { bytes, starts })
    }

    /// The rows of several writings, the oldest first. Neighbours are put together two by two: there may be as many as rows,
    /// when little is said.
    pub(super) fn of_writings(mut writings: Vec<Gathered>) -> Gathered {
        while writings.len() > 1 {
            let two_by_two = writings.chunks(2).map(|two| match two {
                [older, newer] => older.with(newer),
                others => others.iter().fold(Gathered::default(), |all, other| all.with(other)),
            });
            writings = two_by_two.collect();
        }
        writings.pop().unwrap_or_default()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.starts.len() >= ROWS_MAX || self.bytes.len() >= BYTES_MAX
    }

    /// These rows and newer ones, which replace those under the same keys.
    pub(super) fn with(&self, newer: &Gathered) -> Gathered {
        let mut both = Gathered {
            bytes: Vec::with_capacity(self.bytes.len() + newer.bytes.len()),
            starts: Vec::with_capacity(self.starts.len() + newer.starts.len()),
        };
        let (mut old, mut new) = (self.rows().peekable(), newer.rows().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return both,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((old, _)), Some((new, _))) => old.cmp(new),
            };
            let row = match order {
                Ordering::Less => old.next(),
                Ordering::Greater => new.next(),
                Ordering::Equal => {
                    old.next();
                    new.next()
                }
            };
            row.into_iter().for_each(|row| both.push(row));
        }
    }

    /// The value under a key: nothing where this has no word on it, `Some(None)` where it is removed.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        let at = self.first_from(Bound::Included(key));
        self.row(at).filter(|(found, _)| *found == key).map(|(_, value)| value)
    }

    /// All rows, in order.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows_from(Bound::Unbounded)
    }

    /// The rows from a key on, in order.
    pub(super) fn rows_from(&self, from: Bound<&[u8]>) -> impl Iterator<Item = Row<'_>> {
        (self.first_from(from)..self.starts.len()).filter_map(|at| self.row(at))
    }

    fn first_from(&self, from: Bound<&[u8]>) -> usize {
        let is_before = |start: &usize| {
            let key = self.bytes.get(*start..).and_then(split_row).map(|((key, _), _)| key);
            match from {
                Bound::Included(from) => key < Some(from),
                Bound::Excluded(from) => key <= Some(from),
                Bound::Unbounded => false,
            }
        };
        self.starts.partition_point(is_before)
    }

    fn row(&self, at: usize) -> Option<Row<'_>> {
        let rest = self.bytes.get(*self.starts.get(at)?..)?;
        split_row(rest).map(|(row, _)| row)
    }

    /// Adds a row behind all others.
    fn push(&mut self, (key, value): Row<'_>) {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1);
        self.starts.push(self.bytes.len());
        self.bytes.extend_from_slice(&length(key).to_be_bytes());
        self.bytes.extend_from_slice(&value.map_or(0, |value| length(value) + 1).to_be_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.unwrap_or_default());
    }
}

/// The first row, and what is behind it.
fn split_row(bytes: &[u8]) -> Option<(Row<'_>, &[u8])> {
    let (key, rest) = bytes.split_first_chunk()?;
    let (value, rest) = rest.split_first_chunk()?;
    let (key, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*key)).ok()?)?;
    match usize::try_from(u32::from_be_bytes(*value)).ok()?.checked_sub(1) {
        None => Some(((key, None), rest)),
        Some(length) => {
            let (value, rest) = rest.split_at_checked(length)?;
            Some(((key, Some(value)), rest))
        }
    }
}
