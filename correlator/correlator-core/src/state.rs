//! The records of the state: what is remembered of each thing, and under which key.
//!
//! Records are sets that grow in any order to the same value, so that the order of events does not matter.

pub mod agent;
pub mod digest;
pub mod evidence;
pub mod lane;
pub mod placement;
pub mod question;
pub mod reports;
pub mod run;
pub mod source;
pub mod tag;
pub mod unit;

use bus_schema::{EventId, EventType};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The most events that one record remembers as its ground, so that a verdict's `restsOn` is bounded.
pub const GROUND_EVENTS_MAX: usize = 8;

/// One event that a record rests on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ground {
    pub event: EventId,
    pub agent: String,
}

/// What the ledger knows of an event while it applies it.
#[derive(Debug, Clone)]
pub struct Occasion {
    pub event: EventId,
    pub event_type: EventType,
    pub agent: String,
    /// The log's time.
    pub recorded: Timestamp,
    pub position: u64,
}

impl Occasion {
    pub fn ground(&self) -> Ground {
        Ground { event: self.event, agent: self.agent.clone() }
    }
}

/// Adds to a bounded, sorted list; returns whether it was new. Beyond the bound the smallest stay, in any order of arrival.
pub(crate) fn insert_bounded<T: Ord>(list: &mut Vec<T>, item: T, max: usize) -> bool {
    match list.binary_search(&item) {
        Ok(_) => false,
        Err(at) if at >= max => false,
        Err(at) => {
            list.insert(at, item);
            list.truncate(max);
            true
        }
    }
}
