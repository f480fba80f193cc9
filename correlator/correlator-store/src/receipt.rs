//! Receipts: what must not happen twice, remembered in the evidence log.
//!
//! A decision waits in the outbox of the index, in the lane that its executor reads. What was done with it is a
//! receipt, logged before the row leaves the outbox, so that an index built anew from the log sends nothing again.

use bus_schema::CaseId;
use bus_schema::case::Case;
use correlator_core::decision::Decision;
use serde::{Deserialize, Serialize};

/// Which decision: the position of the input that led to it and its place among that input's decisions, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OutboxId {
    pub position: u64,
    pub index: u32,
}

/// Who carries a decision out. Each lane is worked through in its own order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Verdicts, cases and questions, published on the bus.
    Bus,
    /// Cases for people, delivered to sinks.
    Delivery,
    /// Evidence to verify.
    Verification,
}

impl Lane {
    pub const ALL: [Lane; 3] = [Lane::Bus, Lane::Delivery, Lane::Verification];

    /// The lane of a decision.
    pub fn of(decision: &Decision) -> Lane {
        match decision {
            Decision::PublishVerdict { .. } | Decision::PublishCase { .. } | Decision::Ask { .. } => {
                Lane::Bus
            }
            Decision::Deliver { .. } => Lane::Delivery,
            Decision::Verify { .. } => Lane::Verification,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Lane::Bus => "bus",
            Lane::Delivery => "delivery",
            Lane::Verification => "verification",
        }
    }
}

/// What was done with decisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "receipt", rename_all = "snake_case", deny_unknown_fields)]
pub enum Receipt {
    /// Everything in the lane up to and including this decision was carried out.
    Dispatched { lane: Lane, through: OutboxId },
    /// One sink has an end result for one decision of the delivery lane.
    Delivered {
        id: OutboxId,
        /// What the decision tells. Another build may decide more or less before it at the same position: then the decision
        /// that tells the same is meant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        told: Option<Told>,
        sink: String,
        outcome: DeliveryOutcome,
        /// No other sink waits for this decision: it leaves the outbox.
        settled: bool,
    },
}

/// One revision of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    pub case: CaseId,
    pub revision: u32,
}

impl Told {
    pub fn of(case: &Case) -> Told {
        Told { case: case.id.clone(), revision: case.revision }
    }
}

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case", deny_unknown_fields)]
pub enum DeliveryOutcome {
    /// The sink took it.
    Accepted,
    /// A later delivery of the same case says all that this one would have said.
    Superseded,
    /// It was given up and is in the dead letter.
    DeadLettered { reason: String },
}
