//! Where spans go: OTLP over HTTP to a collector (OpenTelemetry Protocol, "OTLP/HTTP").
//!
//! Spans are sent in batches from a thread of their own; a collector that is away costs spans and nothing else.

use std::cell::Cell;
use std::time::Duration;

use opentelemetry::global;
use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, IdGenerator, RandomIdGenerator, SdkTracerProvider,
};
use serde::Deserialize;

/// How long one export may take.
const EXPORT_TIME_MAX: Duration = Duration::from_secs(5);
/// Spans that wait to be sent; more are dropped.
const SPANS_WAITING_MAX: usize = 8192;
const SPANS_PER_EXPORT: usize = 512;
const EXPORT_EVERY: Duration = Duration::from_secs(2);
const PATH: &str = "/v1/traces";
/// The variable by which every program is told of a collector (OpenTelemetry specification, "OTLP Exporter").
const ENDPOINT_VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Whether and where spans are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TraceSettings {
    /// The collector's address for OTLP over HTTP: `http://127.0.0.1:4318`. Without it, `OTEL_EXPORTER_OTLP_ENDPOINT`;
    /// without both, no spans are made.
    pub otlp: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    #[error("traces.otlp: {address:?} is no address such as http://127.0.0.1:4318")]
    Address { address: String },
    #[error("traces.otlp: no exporter can be made")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// The sending of spans; ends with [`Exporting::end`].
#[derive(Debug, Default)]
pub struct Exporting(Option<SdkTracerProvider>);

impl Exporting {
    /// Begins for the whole process, once. `service` names it: `custody-correlator`.
    pub fn begin(settings: &TraceSettings, service: &str) -> Result<Exporting, TraceError> {
        let named = std::env::var(ENDPOINT_VARIABLE).ok().filter(|text| !text.is_empty());
        let Some(address) = settings.otlp.clone().or(named) else { return Ok(Exporting(None)) };
        let is_web = address.starts_with("http://") || address.starts_with("https://");
        if !is_web || address.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(TraceError::Address { address });
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}{PATH}", address.trim_end_matches('/')))
            .with_timeout(EXPORT_TIME_MAX)
            .build()?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(SPANS_WAITING_MAX)
            .with_max_export_batch_size(SPANS_PER_EXPORT)
            .with_scheduled_delay(EXPORT_EVERY)
            .build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_id_generator(Ids::default())
            .with_resource(Resource::builder().with_service_name(service.to_owned()).build())
            .build();
        global::set_tracer_provider(provider.clone());
        Ok(Exporting(Some(provider)))
    }

    /// Sends what waits, within a bound.
    pub async fn end(self) {
        let Some(provider) = self.0 else { return };
        let ended =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(EXPORT_TIME_MAX)).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::warn!("not every span was sent");
        }
    }
}

thread_local! {
    static NEXT: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

/// Builds a span that has these ids.
pub(super) fn with_ids<T>(ids: (TraceId, SpanId), build: impl FnOnce() -> T) -> T {
    NEXT.set(Some(ids));
    let built = build();
    NEXT.set(None);
    built
}

/// Random ids, but where a trace has its own already.
#[derive(Debug, Default)]
struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        NEXT.get().map_or_else(|| self.0.new_trace_id(), |ids| ids.0)
    }

    fn new_span_id(&self) -> SpanId {
        NEXT.get().map_or_else(|| self.0.new_span_id(), |ids| ids.1)
    }
}
