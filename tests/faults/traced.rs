//! One trace through the fleet: what an agent received, what the correlator recorded and what people were told are spans of
//! one trace, whichever process made them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use bus_schema::TraceParent;
use harness::said::say;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message as _;

use crate::fleet::Fleet;
use crate::images::{IMAGES_PER_RELEASE, Images};
use crate::load::Load;
use crate::random::Random;

const WITHIN: Duration = Duration::from_secs(60);
/// The image of a release that a person pushed.
const BY_A_PERSON: u64 = 1;

/// A span as the collector got it.
#[derive(Debug, Clone)]
struct Spanned {
    service: String,
    name: String,
    trace: String,
    id: String,
    parent: String,
}

type Spans = Arc<Mutex<Vec<Spanned>>>;

async fn collector() -> (String, Spans) {
    let spans = Spans::default();
    let socket = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = format!("http://{}", socket.local_addr().unwrap());
    let routes = Router::new().route("/v1/traces", post(take)).with_state(spans.clone());
    tokio::spawn(async move { axum::serve(socket, routes).await });
    (address, spans)
}

async fn take(State(spans): State<Spans>, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut spans = spans.lock().unwrap();
    for of_resource in request.resource_spans {
        let attributes = of_resource.resource.unwrap_or_default().attributes;
        let name = attributes.into_iter().find(|attribute| attribute.key == "service.name");
        let service = match name.and_then(|attribute| attribute.value?.value) {
            Some(Value::StringValue(name)) => name,
            other => panic!("{other:?}"),
        };
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.push(Spanned {
                service: service.clone(),
                name: span.name,
                trace: hex::encode(span.trace_id),
                id: hex::encode(span.span_id),
                parent: hex::encode(span.parent_span_id),
            });
        }
    }
}

/// The trace that an alert names, in its CloudEvent.
async fn trace_of_an_alert(fleet: &Fleet) -> String {
    let alert = fleet.alerts.wait_for(WITHIN, |_| true).await.unwrap();
    let event: serde_json::Value = serde_json::from_slice(&alert.body).unwrap();
    let trace: TraceParent = event["traceparent"].as_str().unwrap().parse().unwrap();
    trace.trace_id().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_leads_from_a_notification_to_an_alert() {
    let images = Arc::new(Images::make(IMAGES_PER_RELEASE));
    let (address, spans) = collector().await;
    let mut fleet = Fleet::traced(Arc::clone(&images), &address).await;
    let load = Load::new(Arc::clone(&images), Arc::clone(&fleet.intake));
    load.post(BY_A_PERSON..BY_A_PERSON + 1, Random::of_seed(1)).await;
    let trace = trace_of_an_alert(&fleet).await;
    // What waits is sent at the end.
    fleet.agent.stop().await.unwrap();
    fleet.correlator.stop().await.unwrap();
    let spans = spans.lock().unwrap().clone();
    let of_it: Vec<&Spanned> = spans.iter().filter(|span| span.trace == trace).collect();
    let steps: BTreeSet<(&str, &str)> =
        of_it.iter().map(|span| (span.service.as_str(), span.name.as_str())).collect();
    for step in [
        ("custody-agent-registry", "receive a registry notification"),
        ("custody-agent-registry", "publish image.pushed"),
        ("custody-correlator", "record image.pushed"),
        ("custody-correlator", "deliver an alert"),
    ] {
        assert!(steps.contains(&step), "no {step:?} in {steps:?}");
    }
    let first = of_it.iter().find(|span| span.parent.is_empty()).expect("a trace has a beginning");
    assert_eq!(first.name, "receive a registry notification");
    assert!(of_it.iter().all(|span| span.parent.is_empty() || span.parent == first.id), "{of_it:#?}");
    say("faults", &format!("one trace of {} steps leads through two processes", of_it.len()));
}
