//! The trace that leads from an intake to an alert: W3C `traceparent`, from process to process.
//!
//! An event carries its trace with it, whether anybody collects spans or not; where `[traces]` names a collector, each step
//! of its way is a span there ([`Step`]).

mod export;
mod step;

use axum::http::HeaderMap;
use bus_schema::TraceParent;

pub use export::{Exporting, TraceError, TraceSettings};
pub use step::{Step, StepKind};

/// The header that carries it, on HTTP and on the bus.
pub const TRACEPARENT: &str = "traceparent";

/// Continues a caller's trace where its header is right, else derives one from what the payload is, so that the same
/// payload sent twice is one trace.
pub fn of_request<'a>(headers: &HeaderMap, identity: impl IntoIterator<Item = &'a str>) -> TraceParent {
    let given = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
    continued(given).unwrap_or_else(|| TraceParent::derive(identity))
}

/// The step of an intake that took a request: the first of a trace that begins here, or one below the caller's.
pub fn received(headers: &HeaderMap, trace: &TraceParent, name: &'static str) -> Step {
    let given = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
    match continued(given) {
        Some(given) if given == *trace => Step::below(trace, StepKind::Receive, name),
        _ => Step::first(trace, StepKind::Receive, name),
    }
}

/// A trace that was handed on; anything that is not one counts as absent.
pub fn continued(given: Option<&str>) -> Option<TraceParent> {
    given?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_right_header_is_continued_and_a_wrong_one_replaced() {
        let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let mut headers = HeaderMap::new();
        let derived = of_request(&headers, ["a", "b"]);
        headers.insert(TRACEPARENT, given.parse().unwrap());
        assert_eq!(of_request(&headers, ["a", "b"]).as_str(), given);
        headers.insert(TRACEPARENT, "00-zz".parse().unwrap());
        assert_eq!(of_request(&headers, ["a", "b"]), derived);
        assert_ne!(of_request(&headers, ["a", "c"]), derived);
    }
}
