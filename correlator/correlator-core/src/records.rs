//! The ledger's view of the state: tables of keys and values, read through [`Records`] and changed only in a [`Draft`].
//!
//! The core never owns the state. A store, or a map in a test, answers reads; what an input changes is collected in a
//! draft and handed back, so that one commit can take state, decisions and log position together.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;

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

/// Joins the parts of a key. No part can run into the next: the separator is a control character, and control
/// characters do not occur in identities.
pub fn key<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut joined = String::new();
    for (index, part) in parts.into_iter().enumerate() {
        if index > 0 {
            joined.push('\u{1f}');
        }
        joined.extend(part.chars().map(|c| if c == '\u{1f}' { '\u{fffd}' } else { c }));
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
}

/// The state as one input changes it: reads see the writes of this draft.
pub struct Draft<'a> {
    records: &'a dyn Records,
    writes: BTreeMap<Table, BTreeMap<String, Option<Vec<u8>>>>,
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
        Draft { records, writes: BTreeMap::new() }
    }

    pub fn get<T: DeserializeOwned>(&self, table: Table, key: &str) -> Result<Option<T>, RecordsError> {
        match self.written(table, key) {
            Some(written) => written.as_ref().map(|bytes| decode(table, key, bytes)).transpose(),
            None => self.records.get(table, key)?.map(|bytes| decode(table, key, &bytes)).transpose(),
        }
    }

    pub fn contains(&self, table: Table, key: &str) -> Result<bool, RecordsError> {
        match self.written(table, key) {
            Some(written) => Ok(written.is_some()),
            None => Ok(self.records.get(table, key)?.is_some()),
        }
    }

    pub fn put<T: Serialize>(&mut self, table: Table, key: String, value: &T) -> Result<(), RecordsError> {
        let bytes = serde_json::to_vec(value).map_err(|source| RecordsError::Decode {
            table: table.as_str(),
            key: key.clone(),
            source,
        })?;
        self.writes.entry(table).or_default().insert(key, Some(bytes));
        Ok(())
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
        T: Serialize + DeserializeOwned + Default + Clone + PartialEq,
    {
        let before: Option<T> = self.get(table, key)?;
        let mut after = before.clone().unwrap_or_default();
        change(&mut after);
        if before.as_ref() == Some(&after) {
            return Ok(false);
        }
        self.put(table, key.to_owned(), &after)?;
        Ok(true)
    }

    pub fn remove(&mut self, table: Table, key: &str) {
        self.writes.entry(table).or_default().insert(key.to_owned(), None);
    }

    /// At most `limit` records whose key begins with `prefix`, in the order of their keys.
    pub fn scan<T: DeserializeOwned>(
        &self,
        table: Table,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<(String, T)>, RecordsError> {
        self.scan_from(table, prefix, prefix, limit)
    }

    /// At most `limit` records whose key begins with `prefix` and is not before `from`, in the order of their keys.
    pub fn scan_from<T: DeserializeOwned>(
        &self,
        table: Table,
        prefix: &str,
        from: &str,
        limit: usize,
    ) -> Result<Vec<(String, T)>, RecordsError> {
        self.scan_raw(table, prefix, from, limit)?
            .into_iter()
            .map(|(key, bytes)| decode(table, &key, &bytes).map(|value| (key, value)))
            .collect()
    }

    /// The first key that is not before `from`.
    pub fn first_key(&self, table: Table, from: &str) -> Result<Option<String>, RecordsError> {
        Ok(self.scan_raw(table, "", from, 1)?.into_iter().next().map(|(key, _)| key))
    }

    /// At most `limit` keys that begin with `prefix`, in order.
    pub fn keys(&self, table: Table, prefix: &str, limit: usize) -> Result<Vec<String>, RecordsError> {
        Ok(self.scan_raw(table, prefix, prefix, limit)?.into_iter().map(|(key, _)| key).collect())
    }

    fn scan_raw(
        &self,
        table: Table,
        prefix: &str,
        from: &str,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, RecordsError> {
        let from = from.max(prefix);
        let from_here_on = (Bound::Included(from), Bound::Unbounded);
        let in_draft: BTreeMap<&str, &Option<Vec<u8>>> = self
            .writes
            .get(&table)
            .into_iter()
            .flat_map(|writes| writes.range::<str, _>(from_here_on))
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.as_str(), value))
            .collect();
        if in_draft.is_empty() {
            return self.records.scan(table, prefix, from, limit);
        }
        let removed = in_draft.values().filter(|value| value.is_none()).count();
        let stored = self.records.scan(table, prefix, from, limit.saturating_add(removed))?;
        let mut merged: BTreeMap<String, Vec<u8>> =
            stored.into_iter().filter(|(key, _)| !in_draft.contains_key(key.as_str())).collect();
        for (key, value) in in_draft {
            if let Some(bytes) = value {
                merged.insert(key.to_owned(), bytes.clone());
            }
        }
        Ok(merged.into_iter().take(limit).collect())
    }

    /// What this draft wrote under a key, if anything: `Some(None)` is a removal.
    fn written(&self, table: Table, key: &str) -> Option<&Option<Vec<u8>>> {
        self.writes.get(&table)?.get(key)
    }

    /// The changes, in the order of tables and keys.
    pub fn into_changes(self) -> Vec<Change> {
        let of_table = |(table, writes): (Table, BTreeMap<String, Option<Vec<u8>>>)| {
            writes.into_iter().map(move |(key, value)| Change { table, key, value })
        };
        self.writes.into_iter().flat_map(of_table).collect()
    }
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
