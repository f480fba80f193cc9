//! What the parts of the correlator tell each other: how far it is, what is in force, what agents said of themselves.
//!
//! Each value has one writer. Readers wait for changes; nobody decides here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bus_schema::fleet::AgentReported;
use bus_schema::{AgentId, Digest};
use correlator_core::contracts::ContractSet;
use evidence::TrustSet;
use jiff::Timestamp;
use tokio::sync::watch;

/// How many agents' last reports are remembered.
const REPORTS_MAX: usize = 1000;

/// How far the correlator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The last position that is committed to the index.
    pub(crate) applied: u64,
    /// When a tick is due next.
    pub(crate) next_deadline: Option<Timestamp>,
}

/// The contracts in force and what they trust.
#[derive(Debug, Clone)]
pub(crate) struct InForce {
    pub(crate) contracts: Arc<ContractSet>,
    /// What evidence is verified against; or why that cannot be built, and then nothing is verified.
    pub(crate) trust: Result<Arc<TrustSet>, String>,
    /// The core's name for it.
    pub(crate) trust_version: Digest,
}

/// What the consumer of events does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consuming {
    Busy,
    /// A fetch that began at this time found nothing, and no message waits to be tried again.
    CaughtUp {
        since: Instant,
    },
}

/// What went wrong with the contracts folder last, if it did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ContractProblems {
    pub(crate) problems: Vec<String>,
    pub(crate) since: Option<Timestamp>,
}

/// The shared values.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) in_force: watch::Sender<InForce>,
    pub(crate) consuming: watch::Sender<Consuming>,
    pub(crate) contract_problems: watch::Sender<ContractProblems>,
    /// Pieces of evidence that wait for their verification or are being verified.
    pub(crate) verifications_waiting: AtomicUsize,
    events_lost: AtomicU64,
    reports: Mutex<BTreeMap<AgentId, LastReport>>,
    heard: Mutex<BTreeMap<AgentId, Heard>>,
}

/// What came in an agent's name since this process began.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    /// When its last event came, its reports aside.
    pub(crate) last_event_at: Option<Timestamp>,
    pub(crate) refused: u64,
    pub(crate) last_refusal: Option<String>,
}

/// What an agent said of itself last.
#[derive(Debug, Clone)]
pub(crate) struct LastReport {
    pub(crate) report: AgentReported,
    pub(crate) received_at: Timestamp,
}

impl Shared {
    pub(crate) fn new(progress: Progress, in_force: InForce) -> Shared {
        Shared {
            progress: watch::Sender::new(progress),
            in_force: watch::Sender::new(in_force),
            consuming: watch::Sender::new(Consuming::Busy),
            contract_problems: watch::Sender::new(ContractProblems::default()),
            verifications_waiting: AtomicUsize::new(0),
            events_lost: AtomicU64::new(0),
            reports: Mutex::default(),
            heard: Mutex::default(),
        }
    }

    pub(crate) fn remember_report(&self, report: &AgentReported, received_at: Timestamp) {
        let mut reports = lock(&self.reports);
        let is_known = reports.contains_key(&report.agent);
        if is_known || reports.len() < REPORTS_MAX {
            reports.insert(report.agent.clone(), LastReport { report: report.clone(), received_at });
        }
    }

    /// Notes something about what comes in an agent's name. Names that nobody granted anything fill no memory.
    pub(crate) fn note(&self, agent: &AgentId, note: impl FnOnce(&mut Heard)) {
        let mut heard = lock(&self.heard);
        if heard.contains_key(agent) || heard.len() < REPORTS_MAX {
            note(heard.entry(agent.clone()).or_default());
        }
    }

    pub(crate) fn heard(&self) -> BTreeMap<AgentId, Heard> {
        lock(&self.heard).clone()
    }

    pub(crate) fn reports(&self) -> BTreeMap<AgentId, LastReport> {
        lock(&self.reports).clone()
    }

    /// Events left the bus before they were taken.
    pub(crate) fn note_lost(&self, events: u64) {
        self.events_lost.fetch_add(events, Ordering::Relaxed);
    }

    pub(crate) fn events_lost(&self) -> u64 {
        self.events_lost.load(Ordering::Relaxed)
    }

    pub(crate) fn verifications_waiting(&self) -> usize {
        self.verifications_waiting.load(Ordering::Acquire)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
