#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Mutex;

use bus_schema::question::Question;
use bus_schema::{Digest, ImageRepository};
use jiff::Timestamp;

use super::*;
use crate::bus::Message;
use crate::bus::embedded::{EmbeddedBus, EmbeddedLimits};
use crate::dead_letters::DeadLetters;
use crate::metrics::{FleetMetrics, Metrics};
use crate::publisher::{PublishError, Publisher};

/// Answers everything at the second attempt.
#[derive(Default)]
struct Second {
    asked: Mutex<Vec<(String, Option<String>)>>,
}

#[async_trait]
impl Answer for Second {
    async fn answer(&self, request: &EvidenceRequested, trace: Option<&TraceParent>) -> Handled {
        let mut asked = self.asked.lock().unwrap();
        let is_first = !asked.iter().any(|(why, _)| *why == request.why);
        asked.push((request.why.clone(), trace.map(|trace| trace.as_str().to_owned())));
        match is_first {
            true => Handled::Retry { after: Duration::from_millis(5), reason: "the bus was down".to_owned() },
            false => Handled::Done,
        }
    }
}

fn question(why: &str, until: Timestamp) -> Event {
    let repository: ImageRepository = "registry.example/team/app".parse().unwrap();
    let question = Question::Image { repository, digest: Digest::sha256_of(why.as_bytes()) };
    Event::EvidenceRequested(EvidenceRequested {
        request: question.request_id(),
        attempt: 1,
        question,
        why: why.to_owned(),
        until,
    })
}

#[tokio::test]
async fn questions_are_answered_passed_over_or_kept_aside() {
    let data = tempfile::tempdir().unwrap();
    let bus: Arc<dyn Bus> = EmbeddedBus::open(data.path(), EmbeddedLimits::default()).await.unwrap();
    let metrics = FleetMetrics::new(&Metrics::new());
    let correlator = Publisher::new(bus.clone(), "correlator".parse().unwrap(), metrics.agent("correlator"));
    let now = Timestamp::now();
    let (later, earlier) = (now + Duration::from_secs(600), now - Duration::from_secs(600));
    let trace = TraceParent::derive(["a test"]);
    for (why, until) in [("runs", later), ("forgotten", earlier), ("placed", later)] {
        let envelope = correlator.envelope(now, Some(trace.clone()), question(why, until));
        let Event::EvidenceRequested(request) = &envelope.event else { panic!() };
        correlator.publish_on(Subject::question(&request.question), &envelope).await.unwrap();
    }
    let subject = Subject::questions_to(Answerer::Registry).replace('>', "0123456789abcdef");
    bus.publish(Message::new(subject, "rubbish", "{")).await.unwrap();

    let agent: AgentId = "registry-agent".parse().unwrap();
    let reader = reader(&bus, &agent, Answerer::Registry).await.unwrap();
    let answer = Second::default();
    let stop = CancellationToken::new();
    let ended = tokio::join!(run(&reader, &answer, 4, &stop), async {
        for _ in 0..500 {
            if answer.asked.lock().unwrap().len() == 4 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stop.cancel();
    });
    ended.0.unwrap();
    let mut asked = answer.asked.lock().unwrap().clone();
    asked.sort();
    let whys: Vec<&str> = asked.iter().map(|(why, _)| why.as_str()).collect();
    assert_eq!(whys, ["placed", "placed", "runs", "runs"]);
    assert!(asked.iter().all(|(_, given)| given.as_deref() == Some(trace.as_str())));
    let letters = DeadLetters::new(bus).list(0, 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].letter.as_ref().unwrap().undelivered.as_ref().unwrap().id, "rubbish");
}

#[tokio::test]
async fn an_agent_speaks_for_itself_only_and_a_repeat_is_one_event() {
    let data = tempfile::tempdir().unwrap();
    let bus: Arc<dyn Bus> = EmbeddedBus::open(data.path(), EmbeddedLimits::default()).await.unwrap();
    let metrics = FleetMetrics::new(&Metrics::new());
    let of = |name: &str| Publisher::new(bus.clone(), name.parse().unwrap(), metrics.agent("test"));
    let (one, two) = (of("one"), of("two"));
    let envelope = one.envelope(Timestamp::now(), None, question("why", Timestamp::now()));
    assert!(matches!(two.publish(&envelope).await, Err(PublishError::OtherAgent { .. })));
    one.publish_all(&[envelope.clone(), envelope.clone()]).await.unwrap();
    assert_eq!(one.metrics().published_total(), 1);
    let read = bus.read(crate::bus::Stream::Events, 0, 10).await.unwrap();
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].message.id, envelope.id.to_string());
    assert_eq!(Envelope::from_json(&read[0].message.payload).unwrap(), envelope);
}
