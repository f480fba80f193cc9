//! What the processes of a simulation share: the time, the seed's choices, the disks, and who is there.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus_schema::Envelope;
use fleet_runtime::bus::embedded::{EmbeddedBus, EmbeddedLimits, Simulated};
use fleet_runtime::health::Health;
use fleet_runtime::metrics::{AgentMetrics, FleetMetrics, Metrics};
use fleet_runtime::outbox::Outbox;
use fleet_runtime::publisher::Publisher;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::disk::{Disk, Life};
use crate::random::Random;
use crate::wire::{NoBlobs, Wire};

const OUTBOX_BYTES_MAX: u64 = 64 << 20;
/// A process that ended is away for up to so long.
const AWAY_SECONDS_MAX: usize = 15;
/// Trouble ends by then: what windows of an hour and more come to is no matter of crashes.
const TROUBLE_MAX: Duration = Duration::from_secs(2 * 3600);
/// The bus forgets an id after this time, and beyond this number: repeats get through.
const ID_REMEMBERED: Duration = Duration::from_secs(20);
const IDS_REMEMBERED_MAX: usize = 32;
/// Pages in memory. A small cache reads again what it wrote.
const CACHE_BYTES_MAX: usize = 256 << 10;
const KEPT_BUT_NOT_HEARD_ONE_IN: usize = 10;
const FULL_ONE_IN: usize = 40;
const FULL_OPERATIONS_MAX: usize = 60;
const POST_AGAIN: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug)]
pub(crate) struct World {
    began: (Timestamp, Instant),
    random: Mutex<Random>,
    is_calm: AtomicBool,
    crashes: AtomicUsize,
    trace: Mutex<Vec<String>>,
    metrics: AgentMetrics,
    outbox_disk: Arc<Disk>,
    bus_disk: Arc<Disk>,
    outbox: Mutex<Option<Arc<Outbox>>>,
    bus: Mutex<Option<Arc<EmbeddedBus>>>,
}

impl World {
    /// `life_operations`: after how many writes a process ends, on average.
    pub(crate) fn new(seed: u64, began: Timestamp, life_operations: usize) -> Arc<World> {
        let mut random = Random::of_seed(!seed);
        let mut disk = || Disk::new(Random::of_seed(random.below(usize::MAX) as u64), life_operations);
        let (outbox_disk, bus_disk) = (disk(), disk());
        Arc::new(World {
            began: (began, Instant::now()),
            random: Mutex::new(random),
            is_calm: AtomicBool::new(false),
            crashes: AtomicUsize::new(0),
            trace: Mutex::default(),
            metrics: FleetMetrics::new(&Metrics::new()).agent("simulated"),
            outbox_disk,
            bus_disk,
            outbox: Mutex::default(),
            bus: Mutex::default(),
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        let (at, instant) = self.began;
        at.checked_add(SignedDuration::try_from(instant.elapsed()).unwrap()).unwrap()
    }

    pub(crate) fn below(&self, limit: usize) -> usize {
        self.random.lock().unwrap().below(limit)
    }

    /// One time in so many, until nothing goes wrong any more.
    pub(crate) fn goes_wrong(&self, one_in: usize) -> bool {
        !self.is_calm() && self.random.lock().unwrap().one_in(one_in)
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.is_calm.load(Ordering::Relaxed) || self.began.1.elapsed() > TROUBLE_MAX
    }

    /// From now on nothing goes wrong.
    pub(crate) fn calm(&self) {
        self.is_calm.store(true, Ordering::Relaxed);
        self.outbox_disk.calm();
        self.bus_disk.calm();
    }

    pub(crate) fn crashed(&self, what: &str) {
        self.crashes.fetch_add(1, Ordering::Relaxed);
        self.trace(|| format!("{what} ended"));
    }

    pub(crate) fn crashes(&self) -> usize {
        self.crashes.load(Ordering::Relaxed)
    }

    /// Notes what happened, for a comparison of two runs.
    pub(crate) fn trace(&self, what: impl FnOnce() -> String) {
        let micros = self.began.1.elapsed().as_micros();
        self.trace.lock().unwrap().push(format!("{micros:>12} {}", what()));
    }

    pub(crate) fn take_trace(&self) -> Vec<String> {
        std::mem::take(&mut self.trace.lock().unwrap())
    }

    pub(crate) fn bus(&self) -> Option<Arc<EmbeddedBus>> {
        self.bus.lock().unwrap().clone()
    }

    pub(crate) fn outbox(&self) -> Option<Arc<Outbox>> {
        self.outbox.lock().unwrap().clone()
    }

    /// Somebody tells the agent of an event, again until it is answered.
    pub(crate) async fn post(&self, event: &Envelope) {
        while !self.keep(event).await || self.goes_wrong(KEPT_BUT_NOT_HEARD_ONE_IN) {
            tokio::time::sleep(POST_AGAIN).await;
        }
    }

    /// Tells the agent of an event; whether it answers.
    pub(crate) async fn keep(&self, event: &Envelope) -> bool {
        if self.goes_wrong(FULL_ONE_IN) {
            let disk = if self.below(2) == 0 { &self.outbox_disk } else { &self.bus_disk };
            disk.refuse(self.below(FULL_OPERATIONS_MAX));
        }
        let Some(outbox) = self.outbox() else { return false };
        let publisher = Publisher::new(outbox, event.agent.clone(), self.metrics.clone());
        let kept = publisher.publish(event).await;
        self.trace(|| format!("the outbox took {}: {}", event.id, kept.is_ok()));
        kept.is_ok()
    }

    /// The agent's process, started again whenever it ended.
    pub(crate) async fn run_agent(self: Arc<World>) {
        loop {
            let simulated = self.simulated(self.begin_life(&self.outbox_disk));
            let wire = Arc::new(Wire(Arc::clone(&self)));
            let (secret, metrics) = ([7; 32], self.metrics.clone());
            match Outbox::simulate(&simulated, secret, OUTBOX_BYTES_MAX, wire, metrics).await {
                Ok(outbox) => {
                    let (check, stop) = (Health::default().check("outbox"), CancellationToken::new());
                    let sending = tokio::spawn(Arc::clone(&outbox).send(check, stop));
                    *self.outbox.lock().unwrap() = Some(outbox);
                    self.outbox_disk.ended().await;
                    *self.outbox.lock().unwrap() = None;
                    sending.abort();
                }
                Err(error) => self.outbox_disk.assert_spoilt(&error),
            }
            self.stay_away("the agent").await;
        }
    }

    /// The bus's process.
    pub(crate) async fn run_bus(self: Arc<World>) {
        let limits = EmbeddedLimits {
            duplicate_window: ID_REMEMBERED,
            duplicates_max: IDS_REMEMBERED_MAX,
            cache_bytes_max: CACHE_BYTES_MAX,
            ..EmbeddedLimits::default()
        };
        loop {
            match EmbeddedBus::simulate(&self.simulated(self.begin_life(&self.bus_disk)), limits) {
                Ok(bus) => {
                    *self.bus.lock().unwrap() = Some(bus);
                    self.bus_disk.ended().await;
                    *self.bus.lock().unwrap() = None;
                }
                Err(error) => self.bus_disk.assert_spoilt(&error),
            }
            self.stay_away("the bus").await;
        }
    }

    /// Nobody is there any more: what they hold holds this.
    pub(crate) fn end(&self) {
        *self.outbox.lock().unwrap() = None;
        *self.bus.lock().unwrap() = None;
    }

    fn begin_life(&self, disk: &Arc<Disk>) -> Life {
        if self.is_calm() {
            disk.calm();
        }
        disk.begin_life()
    }

    async fn stay_away(&self, who: &str) {
        self.crashed(who);
        let seconds = self.below(AWAY_SECONDS_MAX) as u64;
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    fn simulated(self: &Arc<World>, life: Life) -> Simulated {
        let world = Arc::clone(self);
        let now = Arc::new(move || world.now());
        Simulated { storage: Arc::new(life), blobs: Arc::new(NoBlobs), now }
    }
}
