//! Which trace a decision belongs to: that of the input; or, where only time or a contract decides, that of what marked the
//! unit last. Traces are carried beside the decisions, and nothing is decided by them.

use std::collections::BTreeSet;

use bus_schema::{EventId, TraceParent};

use super::Work;
use crate::decision::Decision;
use crate::records::RecordsError;
use crate::state::unit::UnitRecord;

impl Work<'_> {
    pub(super) fn decide(&mut self, decision: Decision, trace: Option<&TraceParent>) {
        let place = self.decisions.len();
        self.decisions.push(decision);
        self.trace_from(place, trace);
    }

    /// The trace of the decisions from a place on.
    pub(super) fn trace_from(&mut self, first: usize, trace: Option<&TraceParent>) {
        let Some(trace) = trace else { return };
        self.traces.extend((first..self.decisions.len()).map(|place| (place, trace.clone())));
    }

    /// The trace of a unit: of this input, of the one before, or of an event that its conclusion rests on.
    pub(super) fn trace_of_unit(
        &self,
        before: Option<&UnitRecord>,
        ground: &BTreeSet<EventId>,
    ) -> Result<Option<TraceParent>, RecordsError> {
        let known = self.trace.clone().or_else(|| before.and_then(|record| record.trace.clone()));
        if known.is_some() {
            return Ok(known);
        }
        for event in ground {
            if let Some(trace) = self.trace_of_event(event)? {
                return Ok(Some(trace));
            }
        }
        Ok(None)
    }
}
