//! One namespace runs digests that it made up, all the while others release images: what each costs, what is asked and said
//! about them, and how long the others wait.

use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::load::{Load, Signatures};
use crate::place::{Correlator, Memory, Place, Sync};

/// Made-up digests between two images of others.
const STEP: u64 = 2_500;
/// Images of others before the flood, and after it.
const OTHERS: u64 = 20;
/// So long the contracts wait for evidence; then each made-up digest is judged again.
const SETTLES_AFTER: Duration = Duration::from_secs(90);
/// When so long nothing was decided, nothing is left to decide.
const QUIET: Duration = Duration::from_secs(5);
const QUIET_WITHIN: Duration = Duration::from_secs(3 * 3600);

/// The correlator after a flood.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Flood {
    pub(crate) made_up: u64,
    /// Made-up digests judged per second: in the first tenth, and in the last.
    pub(crate) first_per_second: f64,
    pub(crate) last_per_second: f64,
    /// Questions that were asked about all of them.
    pub(crate) asked: f64,
    /// Changes of cases that were told, and messages to people.
    pub(crate) cases: f64,
    pub(crate) alerts: f64,
    /// Images of others that were verified and judged meanwhile: all of them.
    pub(crate) others: u64,
    /// From the first event of another's image to its judgement, before and after, in milliseconds (median).
    pub(crate) other_before_ms: f64,
    pub(crate) other_after_ms: f64,
    /// Until nothing was left to decide, in seconds after the last digest's window ended.
    pub(crate) settled_s: f64,
    pub(crate) memory: Memory,
    /// What the correlator keeps on its disk, in MB: its log, and the index that is derived from it, whose file has holes.
    pub(crate) log_mb: f64,
    pub(crate) index_mb: f64,
}

struct Flooded {
    place: Place,
    load: Load,
    correlator: Correlator,
    others: u64,
}

pub(crate) async fn measure(made_up: u64) -> anyhow::Result<Flood> {
    let place = Place::new(Sync::Default).await?;
    let load = Load::new("flood", &place.contracts(), false).await?;
    let correlator = place.correlator(None).await?;
    let mut flooded = Flooded { place, load, correlator, others: 0 };
    let other_before_ms = flooded.others().await?;
    let before = flooded.correlator.done().await?;
    let mut rates = Vec::new();
    let mut fed = 0;
    while fed < made_up {
        let count = STEP.min(made_up - fed);
        rates.push(flooded.feed(fed..fed + count).await?);
        fed += count;
        if fed.is_multiple_of(STEP * 20) {
            let memory = flooded.correlator.memory()?;
            eprintln!(
                "  {fed} of {made_up} made up, {:.0} a second, {:.1} MB",
                rates[rates.len() - 1],
                memory.now
            );
        }
    }
    tokio::time::sleep(SETTLES_AFTER).await;
    let began = Instant::now();
    let after = flooded.settled().await?;
    let settled_s = began.elapsed().saturating_sub(QUIET).as_secs_f64();
    let other_after_ms = flooded.others().await?;
    let tenth = (rates.len() / 10).max(1);
    let mean = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len().max(1) as f64;
    let folder = flooded.place.folder().join("correlator/correlator");
    let flood = Flood {
        made_up,
        first_per_second: mean(&rates[..tenth]),
        last_per_second: mean(&rates[rates.len() - tenth..]),
        asked: after.asked - before.asked,
        cases: after.cases - before.cases,
        alerts: after.alerts - before.alerts,
        others: flooded.others,
        other_before_ms,
        other_after_ms,
        settled_s,
        memory: flooded.correlator.memory()?,
        log_mb: bytes_below(&folder.join("log"))? / 1e6,
        index_mb: (std::fs::metadata(folder.join("index.redb"))?.blocks() * 512) as f64 / 1e6,
    };
    flooded.correlator.stop().await?;
    Ok(flood)
}

impl Flooded {
    /// Made-up digests with one image of another in their middle; made-up digests judged per second.
    async fn feed(&mut self, numbers: std::ops::Range<u64>) -> anyhow::Result<f64> {
        let count = (numbers.end - numbers.start) as f64;
        let mut messages = self.load.made_up(numbers)?;
        let other = self.load.images(self.others..self.others + 1, Signatures::Key).await?;
        self.others += 1;
        let middle = messages.len() / 2;
        messages.splice(middle..middle, other);
        let took = self.correlator.judge(&self.place.wire, messages).await?;
        Ok(count / took.as_secs_f64())
    }

    /// Images of others, one after the other: the median time of each.
    async fn others(&mut self) -> anyhow::Result<f64> {
        let mut times = Vec::new();
        for _ in 0..OTHERS {
            let image = self.load.images(self.others..self.others + 1, Signatures::Key).await?;
            self.others += 1;
            times.push(self.correlator.judge(&self.place.wire, image).await?);
        }
        times.sort();
        Ok(times[times.len() / 2].as_secs_f64() * 1e3)
    }

    /// Waits until nothing was decided for a while.
    async fn settled(&mut self) -> anyhow::Result<crate::place::Done> {
        let began = Instant::now();
        let mut last = self.correlator.done().await?;
        loop {
            tokio::time::sleep(QUIET).await;
            let now = self.correlator.done().await?;
            if now == last && now.has_published() {
                return Ok(now);
            }
            anyhow::ensure!(began.elapsed() < QUIET_WITHIN, "the flood did not settle in time: {now:?}");
            last = now;
        }
    }
}

fn bytes_below(folder: &std::path::Path) -> anyhow::Result<f64> {
    let mut bytes = 0.0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes += match entry.file_type()?.is_dir() {
            true => bytes_below(&entry.path())?,
            false => entry.metadata()?.len() as f64,
        };
    }
    Ok(bytes)
}
