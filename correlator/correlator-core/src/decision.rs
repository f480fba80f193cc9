//! What the ledger decides: values precise enough that nothing is left for the executor to choose.

use std::collections::BTreeMap;

use bus_schema::case::Case;
use bus_schema::fleet::EvidenceRequested;
use bus_schema::verdict::VerdictChanged;
use bus_schema::{Digest, Event, TraceParent};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One decision. Decisions of one input are in a fixed order, so that position and index name each for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decide", rename_all = "snake_case")]
pub enum Decision {
    /// Publish a verdict: to the bus, and to the key-value bucket that readers watch.
    PublishVerdict { change: Box<VerdictChanged> },
    /// Publish that a case opened, changed or resolved.
    PublishCase { change: CaseChange, case: Box<Case> },
    /// Tell people: deliver the case to every sink, in place of what was delivered for it before.
    Deliver { change: CaseChange, case: Box<Case> },
    /// Ask an agent.
    Ask { request: Box<EvidenceRequested> },
    /// Verify this evidence (again): its bytes are in the blob store or the event.
    Verify { evidence: Digest },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseChange {
    Opened,
    Updated,
    Resolved,
}

impl CaseChange {
    pub fn as_str(self) -> &'static str {
        match self {
            CaseChange::Opened => "opened",
            CaseChange::Updated => "updated",
            CaseChange::Resolved => "resolved",
        }
    }

    /// The event that says it.
    pub fn event(self, case: Case, log_position: u64) -> Event {
        use bus_schema::case::{CaseOpened, CaseResolved, CaseUpdated};
        match self {
            CaseChange::Opened => Event::CaseOpened(CaseOpened { case, log_position }),
            CaseChange::Updated => Event::CaseUpdated(CaseUpdated { case, log_position }),
            CaseChange::Resolved => Event::CaseResolved(CaseResolved { case, log_position }),
        }
    }
}

/// What one input led to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The changes of the state, to be committed together with the log position.
    pub changes: Vec<crate::records::Change>,
    pub decisions: Vec<Decision>,
    /// The traces that led to decisions, by their place: nothing is decided by them.
    pub traces: BTreeMap<usize, TraceParent>,
    /// The next time at which a tick is due, over the whole state.
    pub next_deadline: Option<Timestamp>,
    /// Something that was due is out of the way: where more is due, the next tick need not wait.
    pub has_passed_deadline: bool,
}
