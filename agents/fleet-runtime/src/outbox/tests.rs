#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicBool, AtomicU32};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::health::Health;
use crate::metrics::{FleetMetrics, Metrics};

/// A bus that can be away, or answer only after it has taken a message and lost the answer.
#[derive(Debug)]
struct Shaky {
    bus: Arc<EmbeddedBus>,
    is_away: AtomicBool,
    is_denied: AtomicBool,
    hangs: AtomicBool,
    has_no_room_for_letters: AtomicBool,
    answers_to_lose: AtomicU32,
}

#[async_trait]
impl Bus for Shaky {
    async fn publish(&self, message: Message) -> Result<Published, BusError> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err(BusError::Unavailable { reason: "away".to_owned() });
        }
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        if self.is_denied.load(Ordering::Relaxed) {
            return Err(BusError::Denied { subject: message.subject });
        }
        let is_letter = message.subject.starts_with("custody.dead.");
        if is_letter && self.has_no_room_for_letters.load(Ordering::Relaxed) {
            let (what, bound) = ("stream dead-letters".to_owned(), "its size".to_owned());
            return Err(BusError::Full { what, bound, held_by: None });
        }
        let published = self.bus.publish(message).await?;
        let lost = self
            .answers_to_lose
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        match lost {
            Ok(_) => Err(BusError::Unavailable { reason: "no answer".to_owned() }),
            Err(_) => Ok(published),
        }
    }

    async fn consumer(&self, config: ConsumerConfig) -> Result<Arc<dyn Consumer>, BusError> {
        self.bus.consumer(config).await
    }

    async fn remove_consumer(&self, stream: Stream, name: &str) -> Result<(), BusError> {
        self.bus.remove_consumer(stream, name).await
    }

    async fn read(&self, stream: Stream, from: u64, messages_max: usize) -> Result<Vec<Stored>, BusError> {
        self.bus.read(stream, from, messages_max).await
    }

    async fn remove(&self, stream: Stream, sequence: u64) -> Result<bool, BusError> {
        self.bus.remove(stream, sequence).await
    }

    async fn key_value(&self, bucket: &str) -> Result<Arc<dyn KeyValue>, BusError> {
        self.bus.key_value(bucket).await
    }

    fn blobs(&self) -> Arc<dyn Blobs> {
        self.bus.blobs()
    }

    async fn standing(&self) -> Result<BusStanding, BusError> {
        self.bus.standing().await
    }

    async fn close(&self) -> Result<(), BusError> {
        if self.hangs.load(Ordering::Relaxed) {
            return Err(BusError::Unavailable { reason: "the last words were not sent".to_owned() });
        }
        self.bus.close().await
    }
}

struct Place {
    there: Arc<Shaky>,
    process: Metrics,
    metrics: AgentMetrics,
    folder: tempfile::TempDir,
}

impl Place {
    async fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let bus = EmbeddedBus::open(&folder.path().join("there"), EmbeddedLimits::default()).await.unwrap();
        let there = Arc::new(Shaky {
            bus,
            is_away: AtomicBool::new(false),
            is_denied: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
            has_no_room_for_letters: AtomicBool::new(false),
            answers_to_lose: AtomicU32::new(0),
        });
        let process = Metrics::new();
        let metrics = FleetMetrics::new(&process).agent("tested");
        Place { there, process, metrics, folder }
    }

    async fn outbox(&self, bytes_max: u64) -> Arc<Outbox> {
        let here = self.folder.path().join("here");
        Outbox::open(&here, bytes_max, self.there.clone(), self.metrics.clone()).await.unwrap()
    }

    async fn arrived(&self) -> Vec<String> {
        let read = self.there.bus.read(Stream::Events, 0, 1000).await.unwrap();
        read.iter().map(|stored| String::from_utf8(stored.message.payload.to_vec()).unwrap()).collect()
    }

    fn go_away(&self, is_away: bool) {
        self.there.is_away.store(is_away, Ordering::Relaxed);
    }
}

fn event(number: usize) -> Message {
    Message::new(
        "custody.in.registry.a.0000000000000000.image.pushed.v1",
        format!("id-{number}"),
        number.to_string(),
    )
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_any_more_is_counted_right() {
    let place = Place::new().await;
    let outbox = place.outbox(BYTES_MAX).await;
    place.go_away(true);
    outbox.publish(event(0)).await.unwrap();
    // Begun and dropped: one that is there already, and one that is new.
    for number in [0, 1] {
        let publishing = outbox.publish(event(number));
        assert!(publishing.now_or_never().is_none());
    }
    place.go_away(false);
    drain(&outbox).await;
    assert_eq!(place.arrived().await, numbers(0..2));
}

/// Sends until nothing waits.
async fn drain(outbox: &Arc<Outbox>) {
    let stop = CancellationToken::new();
    let check = Health::default().check("outbox");
    let sending = tokio::spawn(outbox.clone().send(check, stop.clone()));
    for _ in 0..1000 {
        if outbox.waiting_messages() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.cancel();
    sending.await.unwrap();
    assert_eq!((outbox.waiting_messages(), outbox.waiting_bytes()), (0, 0));
}

#[tokio::test]
async fn what_is_said_while_the_bus_is_away_arrives_in_order_and_once() {
    let place = Place::new().await;
    place.go_away(true);
    let outbox = place.outbox(BYTES_MAX).await;
    for number in 0..300 {
        outbox.publish(event(number)).await.unwrap();
    }
    assert!(outbox.publish(event(7)).await.unwrap().duplicate, "a repeat is one here already");
    assert_eq!(outbox.waiting_messages(), 300);
    let error = outbox.round(Stream::Events).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    place.go_away(false);
    // Answers that are lost are no second messages.
    place.there.answers_to_lose.store(3, Ordering::Relaxed);
    drain(&outbox).await;
    assert_eq!(place.arrived().await, numbers(0..300));
}

#[tokio::test]
async fn what_the_servers_deny_waits_and_is_counted_from_zero_on() {
    let place = Place::new().await;
    let outbox = place.outbox(BYTES_MAX).await;
    let counted = |count: u32| {
        let line = format!("custody_publish_denied_total{{agent=\"tested\",kind=\"events\"}} {count}\n");
        assert!(place.process.text().contains(&line), "{line} is not in\n{}", place.process.text());
    };
    counted(0);
    place.there.is_denied.store(true, Ordering::Relaxed);
    outbox.publish(event(0)).await.unwrap();
    outbox.round(Stream::Events).await.unwrap_err();
    counted(1);
    place.there.is_denied.store(false, Ordering::Relaxed);
    drain(&outbox).await;
    assert_eq!(place.arrived().await, numbers(0..1));
}

#[tokio::test]
async fn a_full_stream_of_dead_letters_holds_up_no_event() {
    let place = Place::new().await;
    place.there.has_no_room_for_letters.store(true, Ordering::Relaxed);
    let outbox = place.outbox(BYTES_MAX).await;
    outbox.publish(Message::new("custody.dead.agent.tested", "letter", "{}")).await.unwrap();
    let stop = CancellationToken::new();
    let health = Health::default();
    let sending = tokio::spawn(outbox.clone().send(health.check("outbox"), stop.clone()));
    // Far more pages than one for each pause.
    let events = (0..8 * MESSAGES_READ_MAX).map(|number| outbox.publish(event(number)));
    futures::future::try_join_all(events).await.unwrap();
    let all_but_the_letter = async {
        while outbox.waiting_messages() > 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all_but_the_letter).await.expect("events wait");
    let checks = serde_json::to_string(&health.report().checks).unwrap();
    assert!(checks.contains("stream dead-letters is full"), "{checks}");
    place.there.has_no_room_for_letters.store(false, Ordering::Relaxed);
    stop.cancel();
    sending.await.unwrap();
    drain(&outbox).await;
}

#[tokio::test]
async fn an_end_while_the_servers_hang_is_soon_and_no_failure() {
    let place = Place::new().await;
    place.there.hangs.store(true, Ordering::Relaxed);
    let outbox = place.outbox(BYTES_MAX).await;
    outbox.publish(event(0)).await.unwrap();
    let stop = CancellationToken::new();
    let sending = tokio::spawn(outbox.clone().send(Health::default().check("outbox"), stop.clone()));
    tokio::time::sleep(Duration::from_millis(50)).await;
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), sending).await.expect("it waits for the servers").unwrap();
    outbox.close().await.unwrap();
    place.there.hangs.store(false, Ordering::Relaxed);
    drop(outbox);
    drain(&place.outbox(BYTES_MAX).await).await;
    assert_eq!(place.arrived().await, numbers(0..1));
}

#[tokio::test]
async fn the_next_process_sends_what_the_last_one_left_under_the_same_ids() {
    let place = Place::new().await;
    let outbox = place.outbox(BYTES_MAX).await;
    for number in 0..5 {
        outbox.publish(event(number)).await.unwrap();
    }
    // Taken by the servers, and the process died before it knew.
    for stored in outbox.here.read(Stream::Events, 0, 2).await.unwrap() {
        let mut message = stored.message;
        message.id = outbox.key.wire_id(&message.id);
        place.there.publish(message).await.unwrap();
    }
    outbox.here.close().await.unwrap();
    drop(outbox);
    let outbox = place.outbox(BYTES_MAX).await;
    assert_eq!((outbox.waiting_messages(), outbox.waiting_bytes()), (5, 5));
    drain(&outbox).await;
    assert_eq!(place.arrived().await, numbers(0..5));
}

#[tokio::test]
async fn a_full_outbox_refuses_and_loses_nothing() {
    let place = Place::new().await;
    place.go_away(true);
    let outbox = place.outbox(64 << 10).await;
    let (stop, health) = (CancellationToken::new(), Health::default());
    let sending = tokio::spawn(outbox.clone().send(health.check("outbox"), stop.clone()));
    let mut accepted = 0;
    let refused = loop {
        match outbox.publish(event(accepted)).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, BusError::Full { .. }), "{refused}");
    assert_eq!(refused.to_string(), "the outbox is full at 65536 bytes: the servers do not take what waits");
    let checks = serde_json::to_string(&health.report().checks).unwrap();
    assert!(checks.contains("the outbox is full"), "{checks}");
    stop.cancel();
    sending.await.unwrap();
    assert_eq!(outbox.waiting_messages(), u64::try_from(accepted).unwrap());
    place.go_away(false);
    drain(&outbox).await;
    assert_eq!(place.there.bus.read(Stream::Events, 0, 1).await.unwrap().len(), 1);
    outbox.publish(event(accepted)).await.unwrap();
}

#[tokio::test]
async fn nobody_else_can_make_the_id_of_a_message() {
    let (place, other) = (Place::new().await, Place::new().await);
    let (outbox, stranger) = (place.outbox(BYTES_MAX).await, other.outbox(BYTES_MAX).await);
    assert_ne!(outbox.key.wire_id("id-1"), stranger.key.wire_id("id-1"));
    assert_eq!(
        outbox.key.wire_id("id-1"),
        WireKey::of_folder(&place.folder.path().join("here")).unwrap().wire_id("id-1")
    );
    // Whoever sends the event's own id first takes nothing from it.
    let forged = Message::new(event(1).subject, "id-1", "forged");
    place.there.publish(forged).await.unwrap();
    outbox.publish(event(1)).await.unwrap();
    drain(&outbox).await;
    assert_eq!(place.arrived().await, ["forged", "1"]);
}

#[tokio::test]
async fn large_messages_are_in_memory_a_few_at_a_time() {
    let place = Place::new().await;
    let outbox = place.outbox(BYTES_MAX).await;
    for number in 0..4 {
        let payload = vec![b'x'; READ_BYTES_MAX / 2];
        outbox.publish(Message { payload: payload.into(), ..event(number) }).await.unwrap();
    }
    for _ in 0..2 {
        assert_eq!(outbox.round(Stream::Events).await.unwrap(), 2);
    }
    assert_eq!(outbox.waiting_messages(), 0);
}

#[tokio::test]
async fn two_processes_do_not_share_an_outbox() {
    let place = Place::new().await;
    let _outbox = place.outbox(BYTES_MAX).await;
    let here = place.folder.path().join("here");
    let second = Outbox::open(&here, BYTES_MAX, place.there.clone(), place.metrics.clone()).await;
    assert!(matches!(second, Err(BusError::InUse { .. })), "{second:?}");
}
