//! The trace that a decision is carried out in.

use bus_schema::TraceParent;
use correlator_store::Queued;

/// The trace that led to the decision; one that no event led to has a trace derived from its place in the log, so that it
/// is the same each time.
pub(crate) fn trace_of(row: &Queued) -> TraceParent {
    let derived = || TraceParent::derive(["log", &row.id.position.to_string()]);
    row.trace.clone().unwrap_or_else(derived)
}
