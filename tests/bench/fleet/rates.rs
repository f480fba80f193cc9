//! Events judged per second through the whole correlator, against the rate at which the same server takes and gives the same
//! bytes; and the same on the embedded bus.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use fleet_runtime::bus::embedded::{EmbeddedBus, EmbeddedLimits};
use fleet_runtime::bus::{Bus, ConsumerConfig, Message, Stream};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use crate::load::{Load, Signatures};
use crate::place::{Place, Sync};
use crate::tables;
use crate::wire::UNCONFIRMED_MAX;

const IMAGES: u64 = 3_000;
const IMAGES_KEYLESS: u64 = 1_000;
const WARM_UP_IMAGES: u64 = 200;
/// Rounds of raw and judged, one after the other; the median of their ratios counts.
const ROUNDS: usize = 3;

/// One way to run, in events a second.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rate {
    pub(crate) bus: String,
    pub(crate) evidence: &'static str,
    pub(crate) events: usize,
    pub(crate) bytes_per_event: usize,
    /// Published, pulled and acknowledged by clients that do nothing else.
    pub(crate) raw: f64,
    /// In the log, verified and judged.
    pub(crate) judged: f64,
    /// The same with every verdict and question published.
    pub(crate) told: f64,
    /// `judged` to `raw`.
    pub(crate) ratio: f64,
}

/// What the signatures of the measured images ask of the verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evidence {
    /// Nothing: the same signatures were verified before, beside the originals of these images.
    Known,
    /// A key's signature of each image.
    Key,
    /// A signature of each image with a certificate, a log entry and a timestamp.
    Keyless,
}

struct Took {
    raw: Duration,
    judged: Duration,
    told: Duration,
}

pub(crate) async fn measure() -> anyhow::Result<Vec<Rate>> {
    let mut rates = Vec::new();
    for (sync, name) in [(Sync::Default, "NATS, default sync"), (Sync::Always, "NATS, sync always")] {
        let place = Place::new(sync).await?;
        let load = Load::new("rates", &place.contracts(), true).await?;
        let mut correlator = place.correlator(None).await?;
        let mut next = 0;
        let mut fresh = |images: u64| {
            next += images;
            next - images..next
        };
        let warm_up = load.images(fresh(WARM_UP_IMAGES), Signatures::Key).await?;
        let before = correlator.done().await?;
        let events = warm_up.len();
        place.wire.publish(warm_up).await?;
        correlator.judged(before, events).await?;
        for evidence in [Evidence::Known, Evidence::Key, Evidence::Keyless] {
            let (mut took, mut weight) = (Vec::new(), (0, 0));
            for _ in 0..ROUNDS {
                let messages = match evidence {
                    Evidence::Known => {
                        let [originals, mirrors] = load.mirrored(fresh(IMAGES))?;
                        let (before, events) = (correlator.done().await?, originals.len());
                        place.wire.publish(originals).await?;
                        correlator.judged(before, events).await?;
                        correlator.published().await?;
                        mirrors
                    }
                    Evidence::Key => load.images(fresh(IMAGES), Signatures::Key).await?,
                    Evidence::Keyless => load.images(fresh(IMAGES_KEYLESS), Signatures::Keyless).await?,
                };
                weight = weight_of(&messages);
                let raw = place.wire.publish_and_pull(messages.clone()).await?;
                let before = correlator.done().await?;
                let began = Instant::now();
                let publishing = place.wire.publish(messages);
                let judging = correlator.judged(before, weight.0);
                let (published, judged) = tokio::join!(publishing, judging);
                published?;
                judged?;
                let judged = began.elapsed();
                correlator.published().await?;
                took.push(Took { raw, judged, told: began.elapsed() });
            }
            let row = rate(name, evidence, weight, &mut took);
            tables::rate(&row);
            rates.push(row);
        }
        correlator.stop().await?;
    }
    let row = embedded().await?;
    tables::rate(&row);
    rates.push(row);
    Ok(rates)
}

/// All in one process: the bench is the agents, and the correlator runs beside it.
async fn embedded() -> anyhow::Result<Rate> {
    let folder = tempfile::tempdir()?;
    let load = Load::new("embedded", &folder.path().join("contracts"), false).await?;
    let mut took = Vec::new();
    let mut weight = (0, 0);
    for round in 0..ROUNDS as u64 {
        let messages = load.images(round * IMAGES..(round + 1) * IMAGES, Signatures::Key).await?;
        weight = weight_of(&messages);
        let raw = {
            let bus = open(&folder.path().join(format!("raw-{round}"))).await?;
            let took = publish_and_pull(&bus, messages.clone()).await?;
            bus.close().await?;
            took
        };
        let within = crate::within::Within::start(folder.path(), round).await?;
        let began = Instant::now();
        let publishing = publish(within.bus(), messages);
        let judging = within.judged(weight.0);
        let (published, judged) = tokio::join!(publishing, judging);
        published?;
        judged?;
        let judged = began.elapsed();
        within.published().await?;
        took.push(Took { raw, judged, told: began.elapsed() });
        within.stop().await?;
    }
    Ok(rate("embedded", Evidence::Key, weight, &mut took))
}

pub(crate) async fn open(folder: &std::path::Path) -> anyhow::Result<Arc<dyn Bus>> {
    let bus: Arc<dyn Bus> =
        EmbeddedBus::open(folder, EmbeddedLimits::default()).await.context("open the embedded bus")?;
    Ok(bus)
}

async fn publish(bus: &Arc<dyn Bus>, messages: Vec<Message>) -> anyhow::Result<()> {
    let publishing = stream::iter(messages.into_iter().map(|message| bus.publish(message)));
    publishing.buffered(UNCONFIRMED_MAX).try_for_each(|_| async { Ok(()) }).await?;
    Ok(())
}

async fn publish_and_pull(bus: &Arc<dyn Bus>, messages: Vec<Message>) -> anyhow::Result<Duration> {
    let count = messages.len();
    let config = ConsumerConfig::new("reader", Stream::Events, bus_schema::subject::IN_ALL.parse()?);
    let consumer = bus.consumer(config).await?;
    let began = Instant::now();
    let pulled = async {
        let mut pulled = 0;
        while pulled < count {
            for delivery in consumer.fetch(UNCONFIRMED_MAX, Duration::from_secs(5)).await? {
                consumer.ack(&delivery).await?;
                pulled += 1;
            }
        }
        anyhow::Ok(())
    };
    let (published, pulled) = tokio::join!(publish(bus, messages), pulled);
    published?;
    pulled?;
    Ok(began.elapsed())
}

fn weight_of(messages: &[Message]) -> (usize, usize) {
    let bytes: usize = messages.iter().map(|message| message.payload.len()).sum();
    (messages.len(), bytes / messages.len().max(1))
}

fn rate(bus: &str, evidence: Evidence, (events, bytes_per_event): (usize, usize), took: &mut [Took]) -> Rate {
    took.sort_by(|one, other| {
        let ratio = |took: &Took| took.raw.as_secs_f64() / took.judged.as_secs_f64();
        ratio(one).total_cmp(&ratio(other))
    });
    let median = &took[took.len() / 2];
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let per_second = |time: Duration| events as f64 / time.as_secs_f64();
    Rate {
        bus: bus.to_owned(),
        evidence: match evidence {
            Evidence::Known => "verified before",
            Evidence::Key => "key, each new",
            Evidence::Keyless => "keyless, each new",
        },
        events,
        bytes_per_event,
        raw: per_second(median.raw),
        judged: per_second(median.judged),
        told: per_second(median.told),
        ratio: median.raw.as_secs_f64() / median.judged.as_secs_f64(),
    }
}
