//! One step of an event's way, as a span (OpenTelemetry specification, "Tracing API").

use bus_schema::TraceParent;
use opentelemetry::global::{self, BoxedSpan};
use opentelemetry::trace::{
    Span, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
    TraceState, Tracer,
};
use opentelemetry::{Context, KeyValue};

use super::export;

/// What a step is to its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// Something came over HTTP.
    Receive,
    /// Something is handed to the bus.
    Publish,
    /// Something was taken from the bus.
    Consume,
    /// Something is called over HTTP.
    Call,
    /// Work inside the process.
    Work,
}

/// A step that is being taken; it ends when it is dropped. Nothing happens where nobody collects spans.
#[derive(Debug)]
#[must_use = "a step ends when it is dropped"]
pub struct Step(BoxedSpan);

impl Step {
    /// A step below the trace's own span.
    pub fn below(trace: &TraceParent, kind: StepKind, name: impl Into<String>) -> Step {
        let parent = parent_of(trace);
        let context = Context::new().with_remote_span_context(parent);
        Step(build(kind, name.into(), &context))
    }

    /// The step with which a trace begins: all others lie below it.
    pub fn first(trace: &TraceParent, kind: StepKind, name: impl Into<String>) -> Step {
        let parent = parent_of(trace);
        let ids = (parent.trace_id(), parent.span_id());
        Step(export::with_ids(ids, || build(kind, name.into(), &Context::new())))
    }

    /// Says something of the step. Never a payload, a token or a person's name.
    pub fn note(&mut self, key: &'static str, value: impl Into<String>) {
        if self.0.is_recording() {
            self.0.set_attribute(KeyValue::new(key, value.into()));
        }
    }

    /// The step did not succeed.
    pub fn failed(&mut self, reason: &'static str) {
        self.0.set_status(Status::error(reason));
    }
}

fn build(kind: StepKind, name: String, context: &Context) -> BoxedSpan {
    let kind = match kind {
        StepKind::Receive => SpanKind::Server,
        StepKind::Publish => SpanKind::Producer,
        StepKind::Consume => SpanKind::Consumer,
        StepKind::Call => SpanKind::Client,
        StepKind::Work => SpanKind::Internal,
    };
    let builder = SpanBuilder::from_name(name).with_kind(kind);
    global::tracer("custody").build_with_context(builder, context)
}

fn parent_of(trace: &TraceParent) -> SpanContext {
    // A `TraceParent` is right by its type.
    let trace_id = TraceId::from_hex(trace.trace_id()).unwrap_or(TraceId::INVALID);
    let span_id = SpanId::from_hex(trace.parent_id()).unwrap_or(SpanId::INVALID);
    SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, true, TraceState::NONE)
}
