//! The one door to the state: [`Ledger::apply`] and [`Ledger::apply_together`], for live events, replay and tests.
//!
//! An input changes records (`intake`), the records mark units (`touched`), each marked unit is judged again (`judge`),
//! and what is new against its last conclusion becomes decisions. Inputs that arrive together are judged together: each
//! changes the records, then what they marked is judged once; of very many units that facts mark, most are due at once
//! instead, and ticks judge them. Nothing else happens here: no clock, no randomness, no input or output. The same inputs in
//! the same order, together in the same way, give the same outcomes, byte for byte.

pub mod cases;
mod deadlines;
mod intake;
mod judge;
pub(crate) mod questions;
mod storm;
mod sweep;
pub(crate) mod touched;
mod tracing;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use bus_schema::{ClusterId, Digest, EventId, TraceParent};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::chain::walked::WalkedBranches;
use crate::contracts::{ContractSet, parse};
use crate::decision::{Decision, Outcome};
use crate::facts::RootVersion;
use crate::input::{ContractLoaded, Entry, Input};
use crate::records::{Draft, Records, RecordsError, Table};
use crate::state::placement::InventoryRecord;
use crate::state::unit::Unit;
use touched::Touched;

/// The ledger: the contracts in force, and a memory of branches that were walked through. No outcome depends on the memory.
#[derive(Debug, Clone)]
pub struct Ledger {
    contracts: Arc<ContractSet>,
    roots: Arc<Vec<RootVersion>>,
    pub(crate) walked: WalkedBranches,
}

/// What the globals table keeps of the contracts.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct LoadedContracts {
    loaded: ContractLoaded,
    position: u64,
}

const CONTRACTS_KEY: &str = "contracts";
const ROOTS_KEY: &str = "roots";
const REFUSED_CONTRACTS_KEY: &str = "refused-contracts";

impl Ledger {
    /// The ledger over a state: its contracts are those that were loaded last.
    pub fn open(records: &dyn Records) -> Result<Ledger, RecordsError> {
        let draft = Draft::new(records);
        let contracts = match draft.get::<LoadedContracts>(Table::Globals, CONTRACTS_KEY)? {
            Some(stored) => parse::parse(&stored.loaded).unwrap_or_else(|_| ContractSet::empty()),
            None => ContractSet::empty(),
        };
        let roots = draft.get(Table::Globals, ROOTS_KEY)?.unwrap_or_default();
        Ok(Ledger {
            contracts: Arc::new(contracts),
            roots: Arc::new(roots),
            walked: WalkedBranches::default(),
        })
    }

    /// The ledger over a state that holds nothing yet, under contracts that are in force from the start.
    pub fn under(contracts: ContractSet) -> Ledger {
        Ledger { contracts: Arc::new(contracts), roots: Arc::default(), walked: WalkedBranches::default() }
    }

    pub fn contracts(&self) -> &Arc<ContractSet> {
        &self.contracts
    }

    /// The texts of the contracts in force, as they were loaded; `None` before the first load.
    pub fn contracts_in_force(records: &dyn Records) -> Result<Option<ContractLoaded>, RecordsError> {
        let stored: Option<LoadedContracts> = Draft::new(records).get(Table::Globals, CONTRACTS_KEY)?;
        Ok(stored.map(|stored| stored.loaded))
    }

    /// Applies one input. On an error nothing has changed, and the same input can be applied again.
    pub fn apply(&mut self, records: &dyn Records, entry: &Entry) -> Result<Outcome, RecordsError> {
        self.apply_together(records, std::slice::from_ref(entry))
    }

    /// Applies inputs in their order and judges what they marked once, as of the last of them. On an error nothing has
    /// changed, and the same inputs can be applied again.
    pub fn apply_together(
        &mut self,
        records: &dyn Records,
        entries: &[Entry],
    ) -> Result<Outcome, RecordsError> {
        let mut work = Work::new(self, records);
        for entry in entries {
            work.take(entry)?;
        }
        work.sweep()?;
        work.date_seen_events();
        work.decide_verifications();
        work.judge_touched()?;
        let next_deadline = work.next_deadline()?;
        let Work { draft, contracts, roots, walked, decisions, traces, .. } = work;
        *self = Ledger { contracts, roots, walked };
        let changes = draft.into_changes()?;
        let has_passed_deadline = changes.iter().any(|change| {
            sweep::is_moved_by(change) || (change.table == Table::Deadlines && change.value.is_none())
        });
        Ok(Outcome { changes, decisions, traces, next_deadline, has_passed_deadline })
    }

    /// The earliest deadline of a state, for a start on which nothing has to be applied.
    pub fn next_deadline(records: &dyn Records) -> Result<Option<Timestamp>, RecordsError> {
        deadlines::earliest(&Draft::new(records))
    }

    /// Since when everything is being judged again under changed contracts; `None` once it is.
    pub fn judged_again_since(records: &dyn Records) -> Result<Option<Timestamp>, RecordsError> {
        sweep::since(&Draft::new(records))
    }

    /// Whether an event was applied already. Ids are remembered for longer than any bus keeps messages.
    pub fn has_applied(records: &dyn Records, event: &EventId) -> Result<bool, RecordsError> {
        Draft::new(records).contains(Table::SeenEvents, &intake::seen_key(event))
    }
}

/// The inputs that are judged together, on their way through the ledger.
struct Work<'a> {
    draft: Draft<'a>,
    contracts: Arc<ContractSet>,
    roots: Arc<Vec<RootVersion>>,
    /// When the input in hand was recorded, and its position; after all of them, those of the last.
    now: Timestamp,
    position: u64,
    touched: Touched,
    /// What is walked is forgotten with inputs that fail.
    walked: WalkedBranches,
    /// The next page of the sweep that is under way is to be marked.
    sweeps: bool,
    /// The newest inventories of clusters that were read.
    inventories: BTreeMap<ClusterId, Rc<Vec<InventoryRecord>>>,
    /// The events among them that are new.
    seen: Vec<EventId>,
    /// Evidence whose bytes are to be verified, with the trace of what asks for it: what comes with its result is not.
    to_verify: Vec<(Digest, Option<TraceParent>)>,
    decisions: Vec<Decision>,
    /// The trace that the input in hand belongs to, then the one that the unit in hand was marked by, where there is one.
    trace: Option<TraceParent>,
    /// The traces of decisions, by their place.
    traces: BTreeMap<usize, TraceParent>,
}

impl<'a> Work<'a> {
    fn new(ledger: &mut Ledger, records: &'a dyn Records) -> Work<'a> {
        Work {
            draft: Draft::new(records),
            contracts: Arc::clone(&ledger.contracts),
            roots: Arc::clone(&ledger.roots),
            now: Timestamp::MIN,
            position: 0,
            touched: Touched::default(),
            walked: std::mem::take(&mut ledger.walked),
            sweeps: false,
            inventories: BTreeMap::new(),
            seen: Vec::new(),
            to_verify: Vec::new(),
            decisions: Vec::new(),
            trace: None,
            traces: BTreeMap::new(),
        }
    }
}

impl Work<'_> {
    /// What one input changes and marks.
    fn take(&mut self, entry: &Entry) -> Result<(), RecordsError> {
        (self.now, self.position, self.trace) = (entry.recorded, entry.position, None);
        match &entry.input {
            Input::Event(envelope) => self.take_event(envelope),
            Input::Tick => self.take_tick(),
            Input::ContractLoaded(loaded) => self.take_contracts(loaded),
            Input::TrustRootLoaded(root) => self.take_root(root),
            Input::Verified(verified) => self.take_verified(verified),
        }
    }

    /// Replaces the contracts. A set that does not parse changes nothing: the one before stays in force.
    fn take_contracts(&mut self, loaded: &ContractLoaded) -> Result<(), RecordsError> {
        let set = match parse::parse(loaded) {
            Ok(set) => Arc::new(set),
            Err(problems) => {
                self.draft.put(Table::Globals, REFUSED_CONTRACTS_KEY.to_owned(), problems.to_string());
                return Ok(());
            }
        };
        let before = Arc::clone(&self.contracts);
        let known: Option<LoadedContracts> = self.draft.get(Table::Globals, CONTRACTS_KEY)?;
        if known.is_none_or(|known| known.loaded != *loaded) {
            let stored = LoadedContracts { loaded: loaded.clone(), position: self.position };
            self.draft.put(Table::Globals, CONTRACTS_KEY.to_owned(), stored);
        }
        self.draft.remove(Table::Globals, REFUSED_CONTRACTS_KEY);
        self.contracts = Arc::clone(&set);
        for name in before.pipelines.keys().chain(set.pipelines.keys()) {
            self.touch_unit(Unit::RemovedPipeline { pipeline: name.clone() });
            if set.pipelines.contains_key(name) {
                self.remember_pipeline(name);
            }
        }
        self.begin_sweep(before.trust_version() != set.trust_version())
    }

    fn take_root(&mut self, root: &RootVersion) -> Result<(), RecordsError> {
        let mut roots: Vec<RootVersion> =
            self.roots.iter().filter(|known| known.name != root.name).cloned().collect();
        roots.push(root.clone());
        roots.sort();
        self.roots = Arc::new(roots.clone());
        self.draft.put(Table::Globals, ROOTS_KEY.to_owned(), roots);
        Ok(())
    }

    /// The versions of the trust roots in force, for verdicts.
    fn root_versions(&self) -> Vec<String> {
        self.contracts
            .roots
            .values()
            .map(|root| format!("{}@{}", root.name, Digest::short(&root.content)))
            .collect()
    }
}
