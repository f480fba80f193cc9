#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};

use super::*;
use crate::bus::embedded::{EmbeddedBus, EmbeddedLimits};
use crate::bus::{Bus, ConsumerConfig, Message, Stream};
use crate::dead_letters::DeadLetters;

/// More often than a message may be delivered.
const FAILURES: usize = 12;

/// Fails on our own side some times, then takes everything.
struct Failing {
    bus: Arc<dyn Bus>,
    handled: Mutex<Vec<(String, u32)>>,
    stop: CancellationToken,
}

fn message(id: &str) -> Message {
    Message::new("custody.ask.ci.scope", id, "{}")
}

#[async_trait]
impl Handler for Failing {
    async fn handle(&self, delivery: &Delivery) -> Handled {
        let id = delivery.message.id.clone();
        let count = {
            let mut handled = self.handled.lock().unwrap();
            handled.push((id.clone(), delivery.deliveries));
            handled.len()
        };
        if count == 1 {
            self.bus.publish(message("two")).await.unwrap();
        }
        if count <= FAILURES {
            return Handled::Hold { after: Duration::from_millis(5), reason: "no space left".to_owned() };
        }
        if id == "two" {
            self.stop.cancel();
        }
        Handled::Done
    }
}

#[tokio::test]
async fn a_failure_of_our_own_stops_fetching_and_spends_no_deliveries() {
    let data = tempfile::tempdir().unwrap();
    let bus: Arc<dyn Bus> = EmbeddedBus::open(data.path(), EmbeddedLimits::default()).await.unwrap();
    let filter = "custody.ask.>".parse().unwrap();
    let config =
        ConsumerConfig { deliveries_max: 3, ..ConsumerConfig::new("one", Stream::Questions, filter) };
    let reader = Reader::open(&bus, config).await.unwrap();
    bus.publish(message("one")).await.unwrap();
    let stop = CancellationToken::new();
    let handler = Failing { bus: bus.clone(), handled: Mutex::default(), stop: stop.clone() };
    tokio::time::timeout(Duration::from_secs(60), work(&reader, &handler, 1, &stop)).await.unwrap().unwrap();
    let handled = handler.handled.lock().unwrap().clone();
    let ones = std::iter::repeat_n(("one".to_owned(), 1), FAILURES + 1);
    assert_eq!(handled, ones.chain([("two".to_owned(), 1)]).collect::<Vec<_>>());
    assert!(DeadLetters::new(bus).list(0, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_held_does_not_delay_the_stop() {
    struct Never;
    #[async_trait]
    impl Handler for Never {
        async fn handle(&self, _: &Delivery) -> Handled {
            Handled::Hold { after: Duration::from_secs(3600), reason: "no space left".to_owned() }
        }
    }
    let data = tempfile::tempdir().unwrap();
    let bus: Arc<dyn Bus> = EmbeddedBus::open(data.path(), EmbeddedLimits::default()).await.unwrap();
    let config = ConsumerConfig::new("one", Stream::Questions, "custody.ask.>".parse().unwrap());
    let reader = Reader::open(&bus, config).await.unwrap();
    bus.publish(message("one")).await.unwrap();
    let stop = CancellationToken::new();
    let working = work(&reader, &Never, 4, &stop);
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        stop.cancel();
    };
    let (worked, ()) =
        tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(working, stopping) })
            .await
            .unwrap();
    worked.unwrap();
}
