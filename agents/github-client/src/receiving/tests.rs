#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use bus_schema::fleet::{EvidenceRequested, Unavailable};
use bus_schema::question::Question;
use bus_schema::source::WorkflowChanged;
use bus_schema::{Event, ForgeHost};
use bytes::Bytes;
use fleet_runtime::bus::embedded::{EmbeddedBus, EmbeddedLimits};
use fleet_runtime::bus::{Bus, Stream};
use fleet_runtime::metrics::{FleetMetrics, Metrics};
use jiff::Timestamp;

use super::*;
use crate::answering::{AnswerEvents, LookUpEnd};

#[tokio::test]
async fn a_report_that_no_message_holds_hides_nothing_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (bus, publisher) = publisher(folder.path()).await;
    let receiving = Receiving::new(publisher, OneTooLarge);
    let delivery = Delivery {
        host: "github.com".parse().unwrap(),
        event: "push".to_owned(),
        id: None,
        body: Bytes::from_static(b"{}"),
    };
    assert_eq!(receiving.receive(&delivery).await.unwrap(), Received::Buried);
    assert_eq!(said(&bus).await.len(), 2, "those before and after it are said");
    assert_eq!(bus.read(Stream::DeadLetters, 0, 10).await.unwrap().len(), 1, "and the delivery is kept");
}

#[tokio::test]
async fn an_answer_with_an_event_that_no_message_holds_ends_as_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let (bus, publisher) = publisher(folder.path()).await;
    let commit = "c".repeat(40).parse().unwrap();
    let question =
        Question::Commit { repository: "github.com/acme/api".parse().unwrap(), commit, git_ref: None };
    let request = EvidenceRequested {
        request: question.request_id(),
        attempt: 1,
        question,
        why: "a test".to_owned(),
        until: Timestamp::now(),
    };
    let mut events = AnswerEvents::new(&publisher, &request, None);
    for report in reports() {
        events.publish(report).await.unwrap();
    }
    events.end(LookUpEnd::complete("all of it")).await.unwrap();
    let mut said = said(&bus).await;
    let Some(Event::EvidenceUnavailable(end)) = said.pop() else { panic!("{said:?}") };
    assert_eq!((end.reason, end.found, said.len()), (Unavailable::CutOff, 2, 2));
}

/// An event, one that is larger than a message, and another.
fn reports() -> Vec<Report> {
    let occurred: Timestamp = "2026-01-01T10:00:00Z".parse().unwrap();
    let changed = |(commit, path): (&str, String)| Report {
        occurred,
        event: Event::WorkflowChanged(WorkflowChanged {
            repository: "github.com/acme/api".parse().unwrap(),
            git_ref: "refs/heads/main".parse().unwrap(),
            commit: commit.repeat(40).parse().unwrap(),
            paths: vec![path],
            author: None,
            pusher: None,
            pushed_at: occurred,
        }),
    };
    [("a", "a".to_owned()), ("b", "b".repeat(2 * 1024 * 1024)), ("c", "c".to_owned())].map(changed).into()
}

#[derive(Debug)]
struct OneTooLarge;

impl Translate for OneTooLarge {
    type Refusal = std::convert::Infallible;

    fn read_events(&self) -> &'static [&'static str] {
        &["push"]
    }

    fn translate(&self, _: &str, _: &ForgeHost, _: &[u8]) -> Result<Translated, Self::Refusal> {
        Ok(Translated::Reports(reports()))
    }
}

async fn publisher(folder: &std::path::Path) -> (Arc<dyn Bus>, Publisher) {
    let bus: Arc<dyn Bus> = EmbeddedBus::open(&folder.join("bus"), EmbeddedLimits::default()).await.unwrap();
    let counters = FleetMetrics::new(&Metrics::new()).agent("source-agent");
    let publisher = Publisher::new(bus.clone(), "source-1".parse().unwrap(), counters);
    (bus, publisher)
}

async fn said(bus: &Arc<dyn Bus>) -> Vec<Event> {
    let stored = bus.read(Stream::Events, 0, 10).await.unwrap();
    stored.iter().map(|stored| Envelope::from_json(&stored.message.payload).unwrap().event).collect()
}
