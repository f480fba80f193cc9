//! Several entries of the log applied one after the other and committed together: each sees what those before it changed.

use std::collections::BTreeMap;
use std::fmt;

use bus_schema::TraceParent;
use correlator_core::decision::{Decision, Outcome};
use correlator_core::records::{Change, Records, RecordsError, Table};
use serde::{Deserialize, Serialize};

use super::error::IndexError;
use super::{Index, Snapshot};
use crate::receipt::{OutboxId, Receipt};

/// Changes over one snapshot, not committed yet. Dropping it forgets them.
pub struct Batch<'a> {
    index: &'a Index,
    snapshot: Snapshot,
    pub(super) began: u64,
    pub(super) position: u64,
    pub(super) writes: BTreeMap<Table, BTreeMap<String, Option<Vec<u8>>>>,
    pub(super) outbox: Vec<Step>,
    weight_bytes: usize,
}

/// A change of the outbox, in the order of the log.
#[derive(Debug)]
pub(super) enum Step {
    Add(OutboxId, Row),
    Receipt(Receipt),
}

/// A row of the outbox.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) decision: Decision,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trace: Option<TraceParent>,
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Batch")
            .field("began", &self.began)
            .field("position", &self.position)
            .field("weight_bytes", &self.weight_bytes)
            .finish_non_exhaustive()
    }
}

impl<'a> Batch<'a> {
    pub(super) fn new(index: &'a Index, snapshot: Snapshot) -> Batch<'a> {
        let began = snapshot.position();
        let (writes, outbox) = (BTreeMap::new(), Vec::new());
        Batch { index, snapshot, began, position: began, writes, outbox, weight_bytes: 0 }
    }

    /// What the input at `position` changed and led to. Positions come one after the other, without a gap.
    pub fn apply(
        &mut self,
        position: u64,
        changes: Vec<Change>,
        decisions: Vec<Decision>,
    ) -> Result<(), IndexError> {
        self.apply_outcome(position, Outcome { changes, decisions, ..Outcome::default() })
    }

    /// The same, with the traces that led to the decisions.
    pub fn apply_outcome(&mut self, position: u64, outcome: Outcome) -> Result<(), IndexError> {
        self.step_to(position)?;
        let Outcome { changes, decisions, mut traces, .. } = outcome;
        for Change { table, key, value } in changes {
            self.weight_bytes += key.len() + value.as_ref().map_or(0, Vec::len);
            self.writes.entry(table).or_default().insert(key, value);
        }
        for ((index, place), decision) in (0..).zip(0..).zip(decisions) {
            let row = Row { decision, trace: traces.remove(&place) };
            self.outbox.push(Step::Add(OutboxId { position, index }, row));
        }
        Ok(())
    }

    /// The receipt at `position`: what it names leaves the outbox.
    pub fn receipt(&mut self, position: u64, receipt: Receipt) -> Result<(), IndexError> {
        self.step_to(position)?;
        self.outbox.push(Step::Receipt(receipt));
        Ok(())
    }

    /// The entry at `position` changes nothing by itself: it was erased, its kind is none of the index's, or it is judged
    /// together with one after it.
    pub fn skip(&mut self, position: u64) -> Result<(), IndexError> {
        self.step_to(position)
    }

    /// The last position that this batch includes.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How much memory the changes take, roughly: a long batch is committed in parts.
    pub fn weight_bytes(&self) -> usize {
        self.weight_bytes
    }

    /// Commits state, decisions and position together.
    pub fn commit(self) -> Result<(), IndexError> {
        // A read that is alive would keep the rows that this commit replaces.
        let Batch { index, snapshot, began, position, writes, outbox, .. } = self;
        drop(snapshot);
        index.write(began, position, writes, outbox)
    }

    fn step_to(&mut self, position: u64) -> Result<(), IndexError> {
        if position != self.position + 1 {
            return Err(IndexError::OutOfOrder { at: self.position, next: position });
        }
        self.position = position;
        Ok(())
    }
}

impl Records for Batch<'_> {
    fn get(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, RecordsError> {
        match self.writes.get(&table).and_then(|writes| writes.get(key)) {
            Some(written) => Ok(written.clone()),
            None => self.snapshot.get(table, key),
        }
    }

    fn scan(
        &self,
        table: Table,
        prefix: &str,
        from: &str,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, RecordsError> {
        let Some(writes) = self.writes.get(&table) else {
            return self.snapshot.scan(table, prefix, from, limit);
        };
        let start = if from > prefix { from } else { prefix };
        let written: BTreeMap<&str, Option<&Vec<u8>>> = writes
            .range::<str, _>((std::ops::Bound::Included(start), std::ops::Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.as_str(), value.as_ref()))
            .collect();
        if written.is_empty() {
            return self.snapshot.scan(table, prefix, from, limit);
        }
        // Rows that are removed here take places of the limit below.
        let removed = written.values().filter(|value| value.is_none()).count();
        let stored = self.snapshot.scan(table, prefix, from, limit.saturating_add(removed))?;
        let mut merged: BTreeMap<String, Vec<u8>> =
            stored.into_iter().filter(|(key, _)| !written.contains_key(key.as_str())).collect();
        for (key, value) in written {
            if let Some(bytes) = value {
                merged.insert(key.to_owned(), bytes.clone());
            }
        }
        Ok(merged.into_iter().take(limit).collect())
    }
}
