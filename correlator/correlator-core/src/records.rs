//! The ledger's view of the state: tables of keys and values, read through [`Records`] and changed only in a [`Draft`].
//!
//! The core never owns the state. A store, or a map in a test, answers reads; what an input changes is collected in a
//! draft and handed back, so that one commit can take state, decisions and log position together.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The tables of the state. Each key is text made by [`key`]; each value is JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Event ids that were applied.
    SeenEvents,
    /// Single values: the contracts, the trust roots, counters.
    Globals,
    /// What is known of a digest; behind it, from the digest to its evidence and its placements, so that what is looked up
    /// together lies together.
    Digests,
    /// What is attached to a digest, and what verification said about it.
    Evidence,
    /// Commits, changes, reviews and pushes of a source repository.
    Source,
    /// Runs and jobs.
    Runs,
    /// Tags of image repositories.
    Tags,
    /// Container slots of workloads, and the inventories of clusters.
    Placements,
    /// Questions that were asked, and their answers.
    Questions,
    /// How many questions each namespace and repository has out, and which wait.
    Lanes,
    /// Agents, their coverage and gaps.
    Agents,
    /// From a fact to the units that must be judged again when it changes.
    Dependents,
    /// Units: what was concluded about each, and when to look again.
    Units,
    /// Deadlines, by time.
    Deadlines,
    Verdicts,
    Cases,
    /// From a case to the findings that keep it open, from a digest to its cases, and how many cases of one place may still be
    /// told by themselves.
    Findings,
}

impl Table {
    pub const ALL: [Table; 17] = [
        Table::SeenEvents,
        Table::Globals,
        Table::Digests,
        Table::Evidence,
        Table::Source,
        Table::Runs,
        Table::Tags,
        Table::Placements,
        Table::Questions,
        Table::Lanes,
        Table::Agents,
        Table::Dependents,
        Table::Units,
        Table::Deadlines,
        Table::Verdicts,
        Table::Cases,
        Table::Findings,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Table::SeenEvents => "seen_events",
            Table::Globals => "globals",
            Table::Digests => "digests",
            Table::Evidence => "evidence",
            Table::Source => "source",
            Table::Runs => "runs",
            Table::Tags => "tags",
            Table::Placements => "placements",
            Table::Questions => "questions",
            Table::Lanes => "lanes",
            Table::Agents => "agents",
            Table::Dependents => "dependents",
            Table::Units => "units",
            Table::Deadlines => "deadlines",
            Table::Verdicts => "verdicts",
            Table::Cases => "cases",
            Table::Findings => "findings",
        }
    }
}

/// Most keys have at most so many bytes.
const KEY_BYTES_USUAL: usize = 192;
/// Most records have at most so many bytes.
const ROW_BYTES_USUAL: usize = 1024;

/// Joins the parts of a key. No part can run into the next: the separator is a control character, and control
/// characters do not occur in identities.
pub fn key<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut joined = String::with_capacity(KEY_BYTES_USUAL);
    for (index, part) in parts.into_iter().enumerate() {
        if index > 0 {
            joined.push('\u{1f}');
        }
        for (nth, piece) in part.split('\u{1f}').enumerate() {
            if nth > 0 {
                joined.push('\u{fffd}');
            }
            joined.push_str(piece);
        }
    }
    joined
}

/// The parts of a key made by [`key`].
pub fn parts(key: &str) -> Vec<&str> {
    key.split('\u{1f}').collect()
}

/// The prefix of all keys that begin with these parts.
pub fn prefix<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut prefix = key(parts);
    prefix.push('\u{1f}');
    prefix
}

/// Reads of the state. Both calls are reads of one consistent snapshot.
pub trait Records {
    fn get(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, RecordsError>;

    /// Keys and values from `from` (inclusive) upwards, while the key begins with `prefix`, at most `limit` of them.
    fn scan(
        &self,
        table: Table,
        prefix: &str,
        from: &str,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, RecordsError>;
}

/// The state could not be read: a failure of our own, never of the input.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    #[error("the state could not be read from {table}: {reason}")]
    Read { table: &'static str, reason: String },
    #[error("the record {key:?} in {table} does not decode")]
    Decode { table: &'static str, key: String, source: serde_json::Error },
    #[error("the record {key:?} for {table} does not encode")]
    Encode { table: &'static str, key: String, source: serde_json::Error },
}

/// What a row can hold.
pub trait Row: Serialize + DeserializeOwned + Clone + 'static {}

impl<T: Serialize + DeserializeOwned + Clone + 'static> Row for T {}

/// A row in memory, whatever it holds.
trait Value {
    fn as_any(&self) -> &dyn Any;
    fn encode(&self) -> serde_json::Result<Vec<u8>>;
}

impl<T: Row> Value for T {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(ROW_BYTES_USUAL);
        serde_json::to_writer(&mut bytes, self)?;
        bytes.shrink_to_fit();
        Ok(bytes)
    }
}

/// Rows by table and key; nothing where there is none.
type Rows = BTreeMap<Table, BTreeMap<String, Option<Rc<dyn Value>>>>;

/// The most rows that a draft has read and keeps for the next who asks.
const READ_ROWS_MAX: usize = 8192;

/// The state as one input changes it: reads see the writes of this draft.
///
/// What it read or wrote it keeps as it is in memory: inputs that are judged together look at the same rows many times. A
/// row is encoded once, when the draft ends.
pub struct Draft<'a> {
    records: &'a dyn Records,
    writes: Rows,
    reads: RefCell<Reads>,
}

#[derive(Default)]
struct Reads {
    rows: Rows,
    count: usize,
}

/// One change of the state; `None` removes the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub table: Table,
    pub key: String,
    pub value: Option<Vec<u8>>,
}

impl fmt::Debug for Draft<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Draft").field("tables", &self.writes.len()).finish()
    }
}

impl<'a> Draft<'a> {
    pub fn new(records: &'a dyn Records) -> Draft<'a> {
        Draft { records, writes: BTreeMap::new(), reads: RefCell::default() }
    }

    pub fn get<T: Row>(&self, table: Table, key: &str) -> Result<Option<T>, RecordsError> {
        if let Some(written) = self.written(table, key) {
            return written.as_ref().map(|value| of_value(table, key, &**value)).transpose();
        }
        if let Some(read) = self.reads.borrow().rows.get(&table).and_then(|rows| rows.get(key)) {
            return read.as_ref().map(|value| of_value(table, key, &**value)).transpose();
        }
        let found: Option<T> =
            self.records.get(table, key)?.map(|bytes| decode(table, key, &bytes)).transpose()?;
        self.reads.borrow_mut().keep(table, key, found.as_ref());
        Ok(found)
    }

    pub fn contains(&self, table: Table, key: &str) -> Result<bool, RecordsError> {
        match self.written(table, key) {
            Some(written) => Ok(written.is_some()),
            None => Ok(self.records.get(table, key)?.is_some()),
        }
    }

    pub fn put<T: Row>(&mut self, table: Table, key: String, value: T) {
        self.writes.entry(table).or_default().insert(key, Some(Rc::new(value)));
    }

    /// Reads a record, or its default, lets `change` alter it, and writes it back when it is another.
    /// Returns whether it changed.
    pub fn update<T>(
        &mut self,
        table: Table,
        key: &str,
        change: impl FnOnce(&mut T),
    ) -> Result<bool, RecordsError>
    where
        T: Row + Default + PartialEq,
    {
        let before: Option<T> = self.get(table, key)?;
        let mut after = before.clone().unwrap_or_default();
        change(&mut after);
        if before.as_ref() == Some(&after) {
            return Ok(false);
        }
        self.put(table, key.to_owned(), after);
        Ok(true)
    }

    pub fn remove(&mut self, table: Table, key: &str) {
        self.writes.entry(table).or_default().insert(key.to_owned(), None);
    }

    /// At most `limit` records whose key begins with `prefix`, in the order of their keys.
    pub fn scan<T: Row>(
        &self,
        table: Table,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<(String, T)>, RecordsError> {
        self.scan_from(table, prefix, prefix, limit)
    }

    /// At most `limit` records whose key begins with `prefix` and is not before `from`, in the order of their keys.
    pub fn scan_from<T: Row>(
        &self,
        table: Table,
        prefix: &str,
        from: &str,
        limit: usize,
    ) -> Result<Vec<(String, T)>, RecordsError> {
        let stored = |key: &str, bytes: Vec<u8>| decode(table, key, &bytes);
        let written = |key: &str, value: &dyn Value| of_value(table, key, value);
        self.scan_with(table, prefix, from, limit, stored, written)
    }

    /// The first key that is not before `from`.
    pub fn first_key(&self, table: Table, from: &str) -> Result<Option<String>, RecordsError> {
        Ok(self.keys_from(table, "", from, 1)?.pop())
    }

    /// At most `limit` keys that begin with `prefix`, in order.
    pub fn keys(&self, table: Table, prefix: &str, limit: usize) -> Result<Vec<String>, RecordsError> {
        self.keys_from(table, prefix, prefix, limit)
    }

    /// The same from a key on that is not before `from`.
    pub fn keys_from(
        &self,
        table: Table,
        prefix: &str,
        from: &str,
        limit: usize,
    ) -> Result<Vec<String>, RecordsError> {
        let rows = self.scan_with(table, prefix, from, limit, |_, _| Ok(()), |_, _| Ok(()))?;
        Ok(rows.into_iter().map(|(key, ())| key).collect())
    }

    /// Rows of the state below, with those of this draft among them.
    fn scan_with<T>(
        &self,
        table: Table,
        prefix: &str,
        from: &str,
        limit: usize,
        stored: impl Fn(&str, Vec<u8>) -> Result<T, RecordsError>,
        written: impl Fn(&str, &dyn Value) -> Result<T, RecordsError>,
    ) -> Result<Vec<(String, T)>, RecordsError> {
        let from = from.max(prefix);
        let from_here_on = (Bound::Included(from), Bound::Unbounded);
        let in_draft: BTreeMap<&str, &Option<Rc<dyn Value>>> = self
            .writes
            .get(&table)
            .into_iter()
            .flat_map(|writes| writes.range::<str, _>(from_here_on))
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.as_str(), value))
            .collect();
        // Rows that are removed here take places of the limit below.
        let removed = in_draft.values().filter(|value| value.is_none()).count();
        let below = self.records.scan(table, prefix, from, limit.saturating_add(removed))?;
        let below = below.into_iter().filter(|(key, _)| !in_draft.contains_key(key.as_str()));
        if in_draft.is_empty() {
            return below.map(|(key, bytes)| stored(&key, bytes).map(|row| (key, row))).collect();
        }
        let mut merged: BTreeMap<String, T> =
            below.map(|(key, bytes)| stored(&key, bytes).map(|row| (key, row))).collect::<Result<_, _>>()?;
        for (key, value) in in_draft {
            if let Some(value) = value {
                merged.insert(key.to_owned(), written(key, &**value)?);
            }
        }
        Ok(merged.into_iter().take(limit).collect())
    }

    /// What this draft wrote under a key, if anything: `Some(None)` is a removal.
    fn written(&self, table: Table, key: &str) -> Option<&Option<Rc<dyn Value>>> {
        self.writes.get(&table)?.get(key)
    }

    /// The changes, in the order of tables and keys.
    pub fn into_changes(self) -> Result<Vec<Change>, RecordsError> {
        let mut changes = Vec::new();
        for (table, writes) in self.writes {
            for (key, value) in writes {
                let value = value.map(|value| encode(table, &key, &*value)).transpose()?;
                changes.push(Change { table, key, value });
            }
        }
        Ok(changes)
    }
}

impl Reads {
    fn keep<T: Row>(&mut self, table: Table, key: &str, row: Option<&T>) {
        if self.count >= READ_ROWS_MAX {
            *self = Reads::default();
        }
        self.count += 1;
        let row = row.map(|row| Rc::new(row.clone()) as Rc<dyn Value>);
        self.rows.entry(table).or_default().insert(key.to_owned(), row);
    }
}

fn of_value<T: Row>(table: Table, key: &str, value: &dyn Value) -> Result<T, RecordsError> {
    match value.as_any().downcast_ref::<T>() {
        Some(row) => Ok(row.clone()),
        None => decode(table, key, &encode(table, key, value)?),
    }
}

fn encode(table: Table, key: &str, value: &dyn Value) -> Result<Vec<u8>, RecordsError> {
    value.encode().map_err(|source| RecordsError::Encode {
        table: table.as_str(),
        key: key.to_owned(),
        source,
    })
}

fn decode<T: DeserializeOwned>(table: Table, key: &str, bytes: &[u8]) -> Result<T, RecordsError> {
    serde_json::from_slice(bytes).map_err(|source| RecordsError::Decode {
        table: table.as_str(),
        key: key.to_owned(),
        source,
    })
}

/// A state in memory: for tests and for questions asked of recorded events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryRecords {
    tables: BTreeMap<(Table, String), Vec<u8>>,
}

impl MemoryRecords {
    pub fn commit(&mut self, changes: Vec<Change>) {
        for Change { table, key, value } in changes {
            match value {
                Some(bytes) => self.tables.insert((table, key), bytes),
                None => self.tables.remove(&(table, key)),
            };
        }
    }
}

impl Records for MemoryRecords {
    fn get(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, RecordsError> {
        Ok(self.tables.get(&(table, key.to_owned())).cloned())
    }

    fn scan(
        &self,
        table: Table,
        prefix: &str,
        from: &str,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, RecordsError> {
        let start = if from > prefix { from } else { prefix };
        Ok(self
            .tables
            .range((table, start.to_owned())..)
            .take_while(|((in_table, key), _)| *in_table == table && key.starts_with(prefix))
            .take(limit)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn with(rows: &[(&str, u32)]) -> MemoryRecords {
        let mut records = MemoryRecords::default();
        let changes = {
            let mut draft = Draft::new(&records);
            for (key, value) in rows {
                draft.put(Table::Runs, (*key).to_owned(), *value);
            }
            draft.into_changes().unwrap()
        };
        records.commit(changes);
        records
    }

    #[test]
    fn a_draft_reads_what_it_wrote_above_what_was_there() {
        let records = with(&[("a", 1), ("b", 2), ("d", 4), ("e", 5)]);
        let mut draft = Draft::new(&records);
        assert_eq!(draft.get(Table::Runs, "a").unwrap(), Some(1_u32));
        draft.put(Table::Runs, "a".to_owned(), 10_u32);
        draft.put(Table::Runs, "c".to_owned(), 3_u32);
        draft.remove(Table::Runs, "b");
        assert_eq!(draft.get(Table::Runs, "a").unwrap(), Some(10_u32));
        assert_eq!(draft.get::<u32>(Table::Runs, "b").unwrap(), None);
        assert!(!draft.contains(Table::Runs, "b").unwrap() && draft.contains(Table::Runs, "c").unwrap());
        let rows: Vec<(String, u32)> = draft.scan(Table::Runs, "", 3).unwrap();
        assert_eq!(rows, [("a".to_owned(), 10), ("c".to_owned(), 3), ("d".to_owned(), 4)]);
        assert_eq!(draft.first_key(Table::Runs, "b").unwrap().as_deref(), Some("c"));
        let changed: Vec<(String, bool)> = draft
            .into_changes()
            .unwrap()
            .into_iter()
            .map(|change| (change.key, change.value.is_some()))
            .collect();
        assert_eq!(changed, [("a".to_owned(), true), ("b".to_owned(), false), ("c".to_owned(), true)]);
    }

    #[test]
    fn a_row_in_memory_reads_as_one_that_was_stored_whatever_is_asked_for() {
        let stored = with(&[("a", 7)]);
        let nothing = MemoryRecords::default();
        let mut written = Draft::new(&nothing);
        written.put(Table::Runs, "a".to_owned(), 7_u32);
        for draft in [Draft::new(&stored), written] {
            assert_eq!(draft.get::<u32>(Table::Runs, "a").unwrap(), Some(7));
            assert_eq!(draft.get::<serde_json::Value>(Table::Runs, "a").unwrap(), Some(7.into()));
            assert!(matches!(draft.get::<String>(Table::Runs, "a"), Err(RecordsError::Decode { .. })));
            assert_eq!(draft.get::<u32>(Table::Runs, "a").unwrap(), Some(7));
        }
    }

    #[test]
    fn what_is_read_is_kept_within_the_bound() {
        let names: Vec<String> = (0..READ_ROWS_MAX + 10).map(|number| format!("{number:05}")).collect();
        let rows: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        let records = with(&rows);
        let draft = Draft::new(&records);
        for name in names.iter().chain(&names) {
            assert_eq!(draft.get(Table::Runs, name).unwrap(), Some(1_u32));
            assert!(draft.reads.borrow().rows[&Table::Runs].len() <= READ_ROWS_MAX);
        }
    }
}
