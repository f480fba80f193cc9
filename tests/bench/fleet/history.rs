//! What a growing history costs: memory of the correlator, time per event, the start, and judging all of it again under
//! changed contracts.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde::Serialize;

use crate::load::{EVENTS_PER_IMAGE, Load, Signatures};
use crate::place::{Correlator, Memory, Place, Sync};

/// Images of the shortest history that is measured.
const SHORTEST: u64 = 1_000;
/// Images of one step of the history.
const STEP_IMAGES: u64 = 2_500;
/// Restarts of the container of each image: with them an image has ten events.
const RESTARTS: u64 = 3;
/// How long changed contracts may wait until they are taken.
const CHANGED_WITHIN: Duration = Duration::from_secs(60);
/// What is measured is fed so often; the fastest counts.
const ROUNDS: usize = 3;

/// The correlator with so much behind it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct History {
    pub(crate) events: u64,
    pub(crate) digests: u64,
    /// Of the correlator's process, in MB.
    pub(crate) memory: Memory,
    /// Events of new images judged per second.
    pub(crate) judged: f64,
    /// The same by another correlator in the same minutes, with the shortest history behind it.
    pub(crate) judged_beside: f64,
    /// Time per event, to that of the other.
    pub(crate) cost: f64,
}

/// Times of starts at the longest history, in seconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Starts {
    pub(crate) digests: u64,
    pub(crate) entries: f64,
    pub(crate) with_index: f64,
    pub(crate) rebuilding: f64,
    /// After a start with the index, in MB.
    pub(crate) memory: Memory,
}

/// Changed contracts at the longest history: all of it is judged again.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JudgedAgain {
    pub(crate) digests: u64,
    /// From the first entry that the change brought to the last of all verdicts.
    pub(crate) seconds: f64,
    /// How long an event waited meanwhile, from its publishing to its judging, in milliseconds.
    pub(crate) event_p50_ms: f64,
    pub(crate) event_max_ms: f64,
    pub(crate) memory: Memory,
}

struct Fed {
    place: Place,
    load: Load,
    correlator: Correlator,
    images: u64,
    events: u64,
}

/// `digests` is the longest history; it has ten events of each.
pub(crate) async fn measure(digests: u64) -> anyhow::Result<(Vec<History>, JudgedAgain, Starts)> {
    let mut fed = Fed::nothing().await?;
    let mut rows: Vec<History> = Vec::new();
    for until in [SHORTEST, digests / 10, digests] {
        while fed.images < until {
            let images = STEP_IMAGES.min(until - fed.images);
            fed.feed(images, RESTARTS).await?;
            if fed.images.is_multiple_of(STEP_IMAGES * 8) {
                eprintln!("  {} of {until} digests, {} events", fed.images, fed.events);
            }
        }
        let (digests, events) = (fed.images, fed.events);
        let mut beside = Fed::nothing().await?;
        beside.feed(SHORTEST, RESTARTS).await?;
        // In turns: what else the machine does meanwhile it does to both.
        let (mut judged, mut judged_beside) = (0.0_f64, 0.0_f64);
        for _ in 0..ROUNDS {
            judged = judged.max(fed.round().await?);
            judged_beside = judged_beside.max(beside.round().await?);
        }
        beside.correlator.stop().await?;
        let memory = fed.correlator.memory()?;
        let cost = judged_beside / judged;
        rows.push(History { events, digests, memory, judged, judged_beside, cost });
    }
    let judged_again = fed.judged_again().await?;
    let starts = fed.starts().await?;
    Ok((rows, judged_again, starts))
}

impl Fed {
    async fn nothing() -> anyhow::Result<Fed> {
        let place = Place::new(Sync::Default).await?;
        let load = Load::new("history", &place.contracts(), false).await?;
        let correlator = place.correlator(None).await?;
        Ok(Fed { place, load, correlator, images: 0, events: 0 })
    }

    /// Feeds one step of new images: events judged per second.
    async fn round(&mut self) -> anyhow::Result<f64> {
        let took = self.feed(STEP_IMAGES, 0).await?;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        Ok((STEP_IMAGES * EVENTS_PER_IMAGE as u64) as f64 / took.as_secs_f64())
    }

    /// Feeds new images, and returns the time until all is judged.
    async fn feed(&mut self, images: u64, restarts: u64) -> anyhow::Result<Duration> {
        let numbers = self.images..self.images + images;
        let mut messages = self.load.images(numbers.clone(), Signatures::Key).await?;
        if restarts > 0 {
            for number in numbers {
                messages.extend(self.load.restarts(number, restarts)?);
            }
        }
        self.images += images;
        self.events += messages.len() as u64;
        let took = self.correlator.judge(&self.place.wire, messages).await?;
        self.correlator.published().await?;
        Ok(took)
    }

    /// Changes the contracts, and publishes one event after the other until everything is judged again.
    async fn judged_again(&mut self) -> anyhow::Result<JudgedAgain> {
        let file = self.place.contracts().join("all.yaml");
        let text = std::fs::read_to_string(&file)?;
        std::fs::write(&file, format!("{text}  settle: 91s\n"))?;
        let asked = Instant::now();
        while !self.correlator.is_judging_again().await? {
            ensure!(asked.elapsed() < CHANGED_WITHIN, "nobody took the changed contracts");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let began = Instant::now();
        let mut waits = Vec::new();
        while self.correlator.is_judging_again().await? {
            // The last start of so many is one that nobody heard of.
            let message = self.load.restarts(0, RESTARTS + 1 + waits.len() as u64)?.pop();
            let published = Instant::now();
            self.correlator.judge(&self.place.wire, message.into_iter().collect()).await?;
            waits.push(published.elapsed().as_secs_f64() * 1e3);
        }
        let seconds = began.elapsed().as_secs_f64();
        self.correlator.published().await?;
        waits.sort_by(f64::total_cmp);
        Ok(JudgedAgain {
            digests: self.images,
            seconds,
            event_p50_ms: waits.get(waits.len() / 2).copied().unwrap_or_default(),
            event_max_ms: waits.last().copied().unwrap_or_default(),
            memory: self.correlator.memory()?,
        })
    }

    async fn starts(&mut self) -> anyhow::Result<Starts> {
        let folder = self.place.folder().join("correlator/correlator");
        let with_index = self.correlator.restart(|| ()).await?;
        let memory = self.correlator.memory()?;
        let entries = self.correlator.position().await?;
        let rebuilding = self
            .correlator
            .restart(|| {
                // It is derived: what is not there is built anew from the log.
                let _ = std::fs::remove_file(folder.join("index.redb"));
            })
            .await?;
        self.correlator.stop().await?;
        Ok(Starts {
            digests: self.images,
            entries,
            with_index: with_index.as_secs_f64(),
            rebuilding: rebuilding.as_secs_f64(),
            memory,
        })
    }
}
