//! An agent's outbox, a bus and a correlator in memory, which crash between any two of their writes.
//!
//! What is durable is a field of its own: the outbox, the stream, the log, the index. Everything else is gone with a crash. The
//! order of the writes is that of the service: the log, then the index in one commit, then the acknowledgement; an effect,
//! then its receipt. The bus forgets acknowledgements and ids, hands out twice and in any order.

use std::collections::{BTreeMap, BTreeSet};

use bus_schema::{Digest, Envelope, EventId};
use correlator_core::decision::Decision;
use correlator_core::facts::{Outcome, Verified};
use correlator_core::input::{Entry, Input};
use correlator_core::ledger::Ledger;
use correlator_core::records::MemoryRecords;
use jiff::{SignedDuration, Timestamp};
use scenarios::play::answer;
use scenarios::steps::Answers;

use crate::random::Random;

/// The most events that are taken from the bus at once.
const BATCH_MAX: usize = 8;
/// The most entries that are applied in one commit.
const COMMIT_ENTRIES_MAX: usize = 4;
/// The longest time between two steps, in seconds.
const STEP_SECONDS_MAX: usize = 20;
const ANSWER_LOST_ONE_IN: usize = 5;
const ID_FORGOTTEN_ONE_IN: usize = 10;
const HANDED_OUT_AGAIN_ONE_IN: usize = 4;
const INDEX_LOST_ONE_IN: usize = 10;

/// The process ended where it was.
#[derive(Debug)]
pub(crate) struct Crash;

/// The place of a decision: the entry that led to it, and its number there.
type Place = (u64, usize);

#[derive(Debug)]
enum Logged {
    Input(Entry),
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

#[derive(Debug)]
struct Kept {
    envelope: Envelope,
    is_settled: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) answers: Answers,
    outcomes: BTreeMap<Digest, Outcome>,
    random: Random,
    /// One write in so many is the last of its process; `None` when nothing crashes any more.
    crash_one_in: Option<usize>,
    now: Timestamp,
    outbox: Vec<Envelope>,
    stream: Vec<Kept>,
    /// Ids that the bus knows to be repeats.
    known_ids: BTreeSet<EventId>,
    log: Vec<Logged>,
    index: Index,
    ledger: Ledger,
    /// What people were told: the alert's id and its text, by the change of a case that it tells.
    told: BTreeMap<Place, (String, String)>,
    pub(crate) crashes: usize,
}

impl Fleet {
    pub(crate) fn new(
        random: Random,
        crash_one_in: usize,
        now: Timestamp,
        answers: Answers,
        outcomes: BTreeMap<Digest, Outcome>,
    ) -> Fleet {
        let index = Index::default();
        let ledger = Ledger::open(&index.records).unwrap();
        Fleet {
            answers,
            outcomes,
            random,
            crash_one_in: Some(crash_one_in),
            now,
            outbox: Vec::new(),
            stream: Vec::new(),
            known_ids: BTreeSet::new(),
            log: Vec::new(),
            index,
            ledger,
            told: BTreeMap::new(),
            crashes: 0,
        }
    }

    /// Somebody tells the agent of an event, again until it is answered.
    pub(crate) fn post(&mut self, event: &Envelope) {
        while self.keep(event).is_err() {
            self.crashes += 1;
        }
    }

    /// Sets contracts.
    pub(crate) fn load(&mut self, input: Input) {
        while self.record(vec![input.clone()], None).is_err() {
            self.restart();
        }
    }

    /// Some time passes and one thing is done, whichever.
    pub(crate) fn step(&mut self) {
        let seconds = i64::try_from(self.random.below(STEP_SECONDS_MAX)).unwrap();
        self.now = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
        let ended = self.tick().and_then(|()| match self.random.below(3) {
            0 => self.send(),
            1 => self.take(),
            _ => self.act(),
        });
        if ended.is_err() {
            self.restart();
        }
    }

    /// Nothing crashes any more, everything is done, and every window passes until a time.
    pub(crate) fn come_to_rest(&mut self, windows: SignedDuration) -> &MemoryRecords {
        self.crash_one_in = None;
        let end = self.now.checked_add(windows).unwrap();
        loop {
            while !self.is_at_rest() {
                self.send().and_then(|()| self.take()).and_then(|()| self.act()).unwrap();
            }
            match self.index.next_deadline.filter(|due| *due <= end) {
                Some(due) => self.now = self.now.max(due),
                None => return &self.index.records,
            }
            self.tick().unwrap();
        }
    }

    /// How often each event is in the log.
    pub(crate) fn logged(&self) -> BTreeMap<EventId, usize> {
        let mut logged = BTreeMap::new();
        for entry in &self.log {
            if let Logged::Input(Entry { input: Input::Event(envelope), .. }) = entry {
                *logged.entry(envelope.id).or_default() += 1;
            }
        }
        logged
    }

    /// The ids under which people were told of more than one change.
    pub(crate) fn ids_used_twice(&self) -> Vec<&str> {
        let mut seen = BTreeSet::new();
        let ids = self.told.values().map(|(id, _)| id.as_str());
        ids.filter(|id| !seen.insert(*id)).collect()
    }

    fn is_at_rest(&self) -> bool {
        self.outbox.is_empty()
            && self.index.waiting.is_empty()
            && self.stream.iter().all(|kept| kept.is_settled)
    }

    /// Between two writes.
    fn survive(&mut self) -> Result<(), Crash> {
        match self.crash_one_in {
            Some(one_in) if self.random.one_in(one_in) => Err(Crash),
            _ => Ok(()),
        }
    }

    fn is_disturbed(&mut self, one_in: usize) -> bool {
        self.crash_one_in.is_some() && self.random.one_in(one_in)
    }

    /// Opens what is durable. An index that is lost is built anew.
    fn restart(&mut self) {
        loop {
            self.crashes += 1;
            if self.is_disturbed(INDEX_LOST_ONE_IN) {
                self.index = Index::default();
            }
            self.ledger = Ledger::open(&self.index.records).unwrap();
            if self.apply_rest().is_ok() {
                return;
            }
        }
    }

    fn keep(&mut self, event: &Envelope) -> Result<(), Crash> {
        self.survive()?;
        if self.outbox.iter().all(|kept| kept.id != event.id) {
            self.outbox.push(event.clone());
        }
        // Kept, and the answer is not heard.
        self.survive()
    }

    /// Sends the oldest of the outbox.
    fn send(&mut self) -> Result<(), Crash> {
        let Some(envelope) = self.outbox.first().cloned() else { return Ok(()) };
        if self.is_disturbed(ID_FORGOTTEN_ONE_IN) {
            self.known_ids.clear();
        }
        if self.known_ids.insert(envelope.id) {
            self.stream.push(Kept { envelope, is_settled: false });
        }
        if self.is_disturbed(ANSWER_LOST_ONE_IN) {
            return Ok(());
        }
        self.survive()?;
        self.outbox.remove(0);
        Ok(())
    }

    /// Takes some of the events that are not settled, in any order, and perhaps one that is.
    fn take(&mut self) -> Result<(), Crash> {
        let mut open: Vec<usize> = (0..self.stream.len()).filter(|at| !self.stream[*at].is_settled).collect();
        let mut batch = Vec::new();
        while !open.is_empty() && batch.len() < BATCH_MAX {
            let at = self.random.below(open.len());
            batch.push(open.swap_remove(at));
        }
        if !self.stream.is_empty() && self.is_disturbed(HANDED_OUT_AGAIN_ONE_IN) {
            batch.push(self.random.below(self.stream.len()));
        }
        let mut in_hand = BTreeSet::new();
        let mut events = Vec::new();
        for at in &batch {
            let envelope = &self.stream[*at].envelope;
            let is_new = in_hand.insert(envelope.id);
            if is_new && !Ledger::has_applied(&self.index.records, &envelope.id).unwrap() {
                events.push(Input::Event(Box::new(envelope.clone())));
            }
        }
        self.record(events, None)?;
        for at in batch {
            self.survive()?;
            self.stream[at].is_settled = true;
        }
        Ok(())
    }

    /// Carries out one of the decisions that wait.
    fn act(&mut self) -> Result<(), Crash> {
        if self.index.waiting.is_empty() {
            return Ok(());
        }
        let at = self.random.below(self.index.waiting.len());
        let (place, decision) = self.index.waiting.iter().nth(at).unwrap();
        let (place, decision) = (*place, decision.clone());
        let mut inputs = Vec::new();
        match decision {
            Decision::Verify { evidence } => inputs.extend(self.verified(evidence)),
            Decision::Ask { request } => {
                if let Some(answer) = answer(&self.answers, &request, self.now) {
                    self.keep(&answer)?;
                }
            }
            Decision::Deliver { change, case } => {
                let id = format!("{} {}", case.id, case.revision);
                let alert = (id, format!("{} {}", change.as_str(), serde_json::to_string(&case).unwrap()));
                let before = self.told.insert(place, alert.clone());
                assert!(before.as_ref().is_none_or(|before| *before == alert), "{before:?} and {alert:?}");
            }
            Decision::PublishVerdict { .. } | Decision::PublishCase { .. } => {}
        }
        self.survive()?;
        self.record(inputs, Some(place))
    }

    fn verified(&self, evidence: Digest) -> Option<Input> {
        let outcome = self.outcomes.get(&evidence)?.clone();
        let trust = self.ledger.contracts().trust_version();
        Some(Input::Verified(Box::new(Verified { evidence, verifier: 1, trust, outcome })))
    }

    fn tick(&mut self) -> Result<(), Crash> {
        while self.index.next_deadline.is_some_and(|due| due <= self.now) {
            self.record(vec![Input::Tick], None)?;
        }
        Ok(())
    }

    /// Appends to the log, of which a crash leaves the beginning, and applies it.
    fn record(&mut self, inputs: Vec<Input>, receipt: Option<Place>) -> Result<(), Crash> {
        let entries = inputs.len() + usize::from(receipt.is_some());
        let torn = self.survive().is_err().then(|| self.random.below(entries + 1));
        let first = self.log.len() as u64 + 1;
        let inputs = (first..)
            .zip(inputs)
            .map(|(position, input)| Logged::Input(Entry { position, recorded: self.now, input }));
        let whole: Vec<Logged> = inputs.chain(receipt.map(Logged::Receipt)).collect();
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
            for logged in self.log.iter().skip(self.index.applied).take(COMMIT_ENTRIES_MAX) {
                match logged {
                    Logged::Receipt(place) => drop(self.index.waiting.remove(place)),
                    Logged::Input(entry) => {
                        let outcome = self.ledger.apply(&self.index.records, entry).unwrap();
                        self.index.records.commit(outcome.changes);
                        self.index.next_deadline = outcome.next_deadline;
                        let decisions = outcome.decisions.into_iter().enumerate();
                        let decisions = decisions.map(|(number, one)| ((entry.position, number), one));
                        self.index.waiting.extend(decisions);
                    }
                }
            }
            self.index.applied = self.log.len().min(self.index.applied + COMMIT_ENTRIES_MAX);
        }
        Ok(())
    }
}
