//! A correlator in memory, which crashes between any two of its writes.
//!
//! What is durable is a field of its own: the log and the index. Everything else is gone with a crash. The order of the writes is
//! that of the service: the log, then the index in one commit, then the acknowledgement; an effect, then its receipt. It takes
//! events from the bus in any order, and puts some of them back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus_schema::{Digest, Envelope, EventId};
use correlator_core::decision::Decision;
use correlator_core::facts::{Outcome, Verified};
use correlator_core::input::{Entry, Input};
use correlator_core::ledger::Ledger;
use correlator_core::records::MemoryRecords;
use fleet_runtime::bus::{Bus, BusError, Consumer, ConsumerConfig, Delivery, Stream};
use jiff::Timestamp;
use scenarios::play::answer;
use scenarios::steps::Answers;

use crate::world::World;

/// The most events that are taken from the bus at once.
const BATCH_MAX: usize = 8;
/// A commit ends with the entries that are judged together once it has this many.
const COMMIT_ENTRIES: usize = 4;
const PUT_BACK_ONE_IN: usize = 6;
const PUT_BACK_SECONDS_MAX: usize = 20;
const NOT_SETTLED_ONE_IN: usize = 10;
const INDEX_LOST_ONE_IN: usize = 20;
/// How long it waits for events, where no window ends before.
const FETCH_WAIT: Duration = Duration::from_secs(5);
/// How long until what was not there is tried again.
const AGAIN: Duration = Duration::from_millis(300);
const AWAY_MILLIS_MAX: usize = 10_000;

/// The process ended where it was.
#[derive(Debug)]
pub(crate) struct Crash;

/// The place of a decision: the entry that led to it, and its number there.
type Place = (u64, usize);

#[derive(Debug)]
enum Logged {
    /// `joined`: judged together with the one before.
    Input { entry: Entry, joined: bool },
    /// A decision was carried out.
    Receipt(Place),
}

/// What is committed at once.
#[derive(Debug, Default)]
struct Index {
    records: MemoryRecords,
    applied: usize,
    waiting: BTreeMap<Place, Decision>,
    next_deadline: Option<Timestamp>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Correlator {
    world: Arc<World>,
    /// One write in so many is the last of its process.
    crash_one_in: usize,
    pub(crate) answers: Answers,
    outcomes: BTreeMap<Digest, Outcome>,
    log: Vec<Logged>,
    index: Index,
    ledger: Ledger,
    /// What people were told: the alert's id and its text, by the change of a case that it tells.
    told: BTreeMap<Place, (String, String)>,
}

/// Runs it, again whenever it ended.
pub(crate) async fn run(world: Arc<World>, correlator: Arc<Mutex<Correlator>>) {
    loop {
        let Err(Crash) = work(&world, &correlator).await else { continue };
        let away = world.below(AWAY_MILLIS_MAX) as u64;
        tokio::time::sleep(Duration::from_millis(away)).await;
        correlator.lock().unwrap().restart();
    }
}

/// Works until it crashes, or until the bus is another.
async fn work(world: &World, correlator: &Mutex<Correlator>) -> Result<(), Crash> {
    let Ok(consumer) = consumer(world).await else {
        tokio::time::sleep(AGAIN).await;
        return correlator.lock().unwrap().tick();
    };
    loop {
        correlator.lock().unwrap().tick()?;
        let wait = correlator.lock().unwrap().wait();
        let Ok(deliveries) = consumer.fetch(BATCH_MAX, wait).await else { return Ok(()) };
        take(world, correlator, consumer.as_ref(), deliveries).await?;
        act(world, correlator).await?;
    }
}

async fn consumer(world: &World) -> Result<Arc<dyn Consumer>, BusError> {
    let bus = world.bus().ok_or(BusError::Closed)?;
    bus.consumer(ConsumerConfig::new("correlator", Stream::Events, "custody.in.>".parse()?)).await
}

/// Records what it was given, in any order, and settles it. Some of it is put back, and of some the bus does not hear.
async fn take(
    world: &World,
    correlator: &Mutex<Correlator>,
    consumer: &dyn Consumer,
    mut deliveries: Vec<Delivery>,
) -> Result<(), Crash> {
    let mut batch = Vec::new();
    while !deliveries.is_empty() {
        let delivery = deliveries.swap_remove(world.below(deliveries.len()));
        world.trace(|| format!("was given {} for the {}th time", delivery.sequence, delivery.deliveries));
        match world.goes_wrong(PUT_BACK_ONE_IN) {
            true => {
                let after = Duration::from_secs(world.below(PUT_BACK_SECONDS_MAX) as u64);
                // Of a bus that is away it comes again anyway.
                let _ = consumer.retry(&delivery, after).await;
            }
            false => batch.push(delivery),
        }
    }
    let events = batch.iter().map(|delivery| Envelope::from_json(&delivery.message.payload).unwrap());
    correlator.lock().unwrap().record_events(events.collect())?;
    for delivery in batch {
        correlator.lock().unwrap().survive()?;
        if !world.goes_wrong(NOT_SETTLED_ONE_IN) {
            let _ = consumer.ack(&delivery).await;
        }
    }
    Ok(())
}

/// Carries out one of the decisions that wait.
async fn act(world: &World, correlator: &Mutex<Correlator>) -> Result<(), Crash> {
    let Some((place, decision)) = correlator.lock().unwrap().choose() else { return Ok(()) };
    let mut inputs = Vec::new();
    match decision {
        Decision::Verify { evidence } => inputs.extend(correlator.lock().unwrap().verified(evidence)),
        Decision::Ask { request } => {
            let said = answer(&correlator.lock().unwrap().answers, &request, world.now());
            if let Some(said) = said
                && !world.keep(&said).await
            {
                tokio::time::sleep(AGAIN).await;
                return Ok(());
            }
        }
        Decision::Deliver { change, case } => {
            let id = format!("{} {}", case.id, case.revision);
            let alert = (id, format!("{} {}", change.as_str(), serde_json::to_string(&case).unwrap()));
            correlator.lock().unwrap().tell(place, alert);
        }
        Decision::PublishVerdict { .. } | Decision::PublishCase { .. } => {}
    }
    let mut correlator = correlator.lock().unwrap();
    correlator.survive()?;
    correlator.record(inputs, Some(place))
}

impl Correlator {
    pub(crate) fn new(
        world: Arc<World>,
        crash_one_in: usize,
        answers: Answers,
        outcomes: BTreeMap<Digest, Outcome>,
    ) -> Correlator {
        let index = Index::default();
        let ledger = Ledger::open(&index.records).unwrap();
        let (log, told) = (Vec::new(), BTreeMap::new());
        Correlator { world, crash_one_in, answers, outcomes, log, index, ledger, told }
    }

    /// Sets contracts.
    pub(crate) fn load(&mut self, input: Input) {
        while self.record(vec![input.clone()], None).is_err() {
            self.restart();
        }
    }

    pub(crate) fn records(&self) -> &MemoryRecords {
        &self.index.records
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.index.next_deadline
    }

    /// Everything is done that is due.
    pub(crate) fn is_at_rest(&self) -> bool {
        let is_due = self.index.next_deadline.is_some_and(|due| due <= self.world.now());
        self.index.waiting.is_empty() && !is_due
    }

    /// How often each event is in the log.
    pub(crate) fn logged(&self) -> BTreeMap<EventId, usize> {
        let mut logged = BTreeMap::new();
        for entry in &self.log {
            if let Logged::Input { entry: Entry { input: Input::Event(envelope), .. }, .. } = entry {
                *logged.entry(envelope.id).or_default() += 1;
            }
        }
        logged
    }

    /// The ids under which people were told of more than one change.
    pub(crate) fn ids_used_twice(&self) -> impl Iterator<Item = &str> {
        let mut seen = BTreeSet::new();
        let ids = self.told.values().map(|(id, _)| id.as_str());
        ids.filter(move |id| !seen.insert(*id))
    }

    fn wait(&self) -> Duration {
        if !self.index.waiting.is_empty() {
            return Duration::ZERO;
        }
        let until = self.index.next_deadline.map(|due| due.duration_since(self.world.now()));
        let until = until.and_then(|until| Duration::try_from(until).ok());
        until.map_or(FETCH_WAIT, |until| until.min(FETCH_WAIT))
    }

    /// Between two writes.
    fn survive(&self) -> Result<(), Crash> {
        match self.world.goes_wrong(self.crash_one_in) {
            true => Err(Crash),
            false => Ok(()),
        }
    }

    /// Opens what is durable. An index that is lost is built anew.
    fn restart(&mut self) {
        loop {
            self.world.crashed("the correlator");
            if self.world.goes_wrong(INDEX_LOST_ONE_IN) {
                self.index = Index::default();
            }
            self.ledger = Ledger::open(&self.index.records).unwrap();
            if self.apply_rest().is_ok() {
                return;
            }
        }
    }

    /// Each event once, whatever the bus hands out.
    fn record_events(&mut self, events: Vec<Envelope>) -> Result<(), Crash> {
        let mut in_hand = BTreeSet::new();
        let is_new = |event: &Envelope| {
            in_hand.insert(event.id) && !Ledger::has_applied(&self.index.records, &event.id).unwrap()
        };
        let events: Vec<Envelope> = events.into_iter().filter(is_new).collect();
        self.record(events.into_iter().map(|event| Input::Event(Box::new(event))).collect(), None)
    }

    fn choose(&self) -> Option<(Place, Decision)> {
        let at = self.world.below(self.index.waiting.len());
        let (place, decision) = self.index.waiting.iter().nth(at)?;
        Some((*place, decision.clone()))
    }

    fn tell(&mut self, place: Place, alert: (String, String)) {
        let before = self.told.insert(place, alert.clone());
        assert!(before.as_ref().is_none_or(|before| *before == alert), "{before:?} and {alert:?}");
    }

    fn verified(&self, evidence: Digest) -> Option<Input> {
        let outcome = self.outcomes.get(&evidence)?.clone();
        let trust = self.ledger.contracts().trust_version();
        Some(Input::Verified(Box::new(Verified { evidence, verifier: 1, trust, outcome })))
    }

    fn tick(&mut self) -> Result<(), Crash> {
        while self.index.next_deadline.is_some_and(|due| due <= self.world.now()) {
            self.record(vec![Input::Tick], None)?;
        }
        Ok(())
    }

    /// Appends to the log, of which a crash leaves the beginning, and applies it.
    fn record(&mut self, inputs: Vec<Input>, receipt: Option<Place>) -> Result<(), Crash> {
        let entries = inputs.len() + usize::from(receipt.is_some());
        let torn = self.survive().is_err().then(|| self.world.below(entries + 1));
        let (first, now) = (self.log.len() as u64 + 1, self.world.now());
        // What is appended at once are events, or one input.
        let inputs = (first..).zip(inputs).map(|(position, input)| Logged::Input {
            entry: Entry { position, recorded: now, input },
            joined: position > first,
        });
        let whole: Vec<Logged> = inputs.chain(receipt.map(Logged::Receipt)).collect();
        if entries > 0 {
            self.world.trace(|| format!("logs {entries} from {first}, torn: {torn:?}"));
        }
        self.log.extend(whole.into_iter().take(torn.unwrap_or(entries)));
        if torn.is_some() {
            return Err(Crash);
        }
        self.apply_rest()
    }

    /// Applies what the index lacks, some entries at a time. Before a commit nothing of it is durable: a crash leaves nothing.
    fn apply_rest(&mut self) -> Result<(), Crash> {
        while self.index.applied < self.log.len() {
            self.survive()?;
            let began = self.index.applied;
            while self.index.applied < self.log.len() && self.index.applied - began < COMMIT_ENTRIES {
                self.apply_together();
            }
        }
        Ok(())
    }

    /// Applies the next entry, and those that are judged together with it.
    fn apply_together(&mut self) {
        let rest = self.log.get(self.index.applied..).unwrap_or_default();
        let Some(Logged::Input { entry, .. }) = rest.first() else {
            if let Some(Logged::Receipt(place)) = rest.first() {
                self.index.waiting.remove(place);
            }
            self.index.applied += 1;
            return;
        };
        let joined = rest.iter().skip(1).map_while(|logged| match logged {
            Logged::Input { entry, joined: true } => Some(entry),
            _ => None,
        });
        let entries: Vec<Entry> = std::iter::once(entry).chain(joined).cloned().collect();
        let outcome = self.ledger.apply_together(&self.index.records, &entries).unwrap();
        self.index.records.commit(outcome.changes);
        self.index.next_deadline = outcome.next_deadline;
        self.index.applied += entries.len();
        let position = self.index.applied as u64;
        let decisions = outcome.decisions.into_iter().enumerate();
        self.index.waiting.extend(decisions.map(|(number, one)| ((position, number), one)));
    }
}
