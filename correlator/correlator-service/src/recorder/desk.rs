//! The writer's desk: the store, the ledger and the clock, in one hand.
//!
//! In: one batch at a time. Out: the batch in the log, then in the ledger, then in the index; or the trouble, with what is
//! not in the log. After a trouble with the index the desk opens it again and replays what it lacks, by the same code.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use correlator_core::decision::Outcome;
use correlator_core::input::{Entry, Input};
use correlator_core::ledger::Ledger;
use correlator_core::records::RecordsError;
use correlator_store::{
    Batch, EntryKind, Index, IndexError, LogError, NewEntry, Recorded, Snapshot, Store, Together,
};
use fleet_runtime::error_chain;
use jiff::Timestamp;

use super::due::Due;
use super::together::Joiner;
use super::{Record, Remembered, Request};
use crate::clock::Clock;
use crate::contracts::trust;
use crate::metrics::CorrelatorMetrics;
use crate::shared::{InForce, Progress, Shared};

/// Changes are committed when they weigh this much, or after this many entries.
const COMMIT_BYTES: usize = 8 * 1024 * 1024;
const COMMIT_ENTRIES: u64 = 512;

/// Why a batch is not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenTrouble {
    #[error("the evidence log fails")]
    Log(#[from] LogError),
    #[error("the index fails")]
    Index(#[from] IndexError),
    #[error("the ledger fails")]
    Ledger(#[from] RecordsError),
    #[error("the index is not open: {0}")]
    NoIndex(String),
}

/// A trouble, and what of the batch is not in the log.
#[derive(Debug)]
pub(super) struct Trouble {
    cause: OpenTrouble,
    pub(super) unrecorded: Vec<Request>,
}

impl Trouble {
    pub(super) fn reason(&self) -> String {
        error_chain(&self.cause)
    }
}

/// What came of the entries of one commit.
#[derive(Debug, Default)]
struct Applied {
    deadline: Option<Timestamp>,
    has_passed_deadline: bool,
    contracts_changed: bool,
}

impl Applied {
    fn note(&mut self, inputs: &[Entry], outcome: &Outcome) {
        self.deadline = outcome.next_deadline;
        self.has_passed_deadline |= outcome.has_passed_deadline;
        self.contracts_changed |= inputs.iter().any(|entry| matches!(entry.input, Input::ContractLoaded(_)));
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Desk {
    store: Arc<Store>,
    shared: Arc<Shared>,
    metrics: CorrelatorMetrics,
    ledger: Ledger,
    clock: Clock,
    due: Due,
    /// Since when everything is being judged again under changed contracts.
    judged_again_since: Option<Timestamp>,
    /// The index lacks entries of the log, or is unusable.
    is_behind: bool,
}

impl Desk {
    /// Applies what the index lacks. Nothing is dispatched before this returns: receipts among it say what was done.
    pub(crate) fn open(store: Arc<Store>, metrics: CorrelatorMetrics) -> Result<Desk, OpenTrouble> {
        let snapshot = index(&store)?.snapshot()?;
        let ledger = Ledger::open(&snapshot)?;
        let shared = Arc::new(shared_of(&ledger, &snapshot)?);
        drop(snapshot);
        let clock = Clock::new(store.log().head().recorded);
        let due = Due::default();
        let judged_again_since = None;
        let mut desk =
            Desk { store, shared, metrics, ledger, clock, due, judged_again_since, is_behind: true };
        desk.catch_up()?;
        Ok(desk)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Records before anything else runs: the contracts that a start finds.
    pub(crate) fn begin(&mut self, records: Vec<Record>) -> anyhow::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let records: Vec<(Record, Vec<u8>)> =
            records.into_iter().map(super::encode).collect::<Result<_, _>>()?;
        let (answer, _answered) = tokio::sync::oneshot::channel();
        let request = Request { records, bytes: 0, answer };
        self.step(vec![request]).map_err(|trouble| anyhow::Error::from(trouble.cause))
    }

    /// How long until a tick is due.
    pub(super) fn until_due(&mut self) -> Option<Duration> {
        let now = self.clock.now();
        self.due.wait(now)
    }

    /// Records a batch, with a tick before it when one is due.
    pub(super) fn step(&mut self, requests: Vec<Request>) -> Result<(), Trouble> {
        if self.is_behind
            && let Err(cause) = self.reopen()
        {
            return Err(Trouble { cause, unrecorded: requests });
        }
        let remembered = match self.remembered(&requests) {
            Ok(remembered) => remembered,
            Err(cause) => {
                self.is_behind = true;
                return Err(Trouble { cause, unrecorded: requests });
            }
        };
        let now = self.clock.now();
        let tick = match self.due.take(now).then(|| NewEntry::input(now, &Input::Tick)).transpose() {
            Ok(tick) => tick,
            Err(error) => return Err(Trouble { cause: error.into(), unrecorded: requests }),
        };
        let has_tick = tick.is_some();
        let mut entries: Vec<NewEntry> = tick.into_iter().collect();
        let mut joiner = Joiner::default();
        for (request, remembered) in requests.iter().zip(&remembered) {
            entries.extend(new_entries(request, remembered, now, &mut joiner));
        }
        let positions = match entries.is_empty() {
            true => Vec::new(),
            false => match self.store.log().append(&entries) {
                Ok(positions) => positions,
                Err(error) => return Err(Trouble { cause: error.into(), unrecorded: requests }),
            },
        };
        let tick = has_tick.then(|| Record::input(Input::Tick));
        let mut records: Vec<Record> = tick.into_iter().collect();
        for (Request { records: recorded, answer, .. }, remembered) in requests.into_iter().zip(remembered) {
            let new = recorded.into_iter().zip(&remembered).filter(|(_, remembered)| is_new(remembered));
            records.extend(new.map(|((record, _), _)| record));
            // Whoever asked may be gone; the entries are in the log all the same.
            let _ = answer.send(remembered);
        }
        let recorded = positions
            .into_iter()
            .zip(entries)
            .zip(records)
            .map(|((position, entry), record)| Ok(as_recorded(position, now, record, entry.joined)));
        self.apply(recorded).map_err(|cause| {
            self.is_behind = true;
            Trouble { cause, unrecorded: Vec::new() }
        })
    }

    /// What becomes of each record of each request: an event that is in the log, or twice in what is recorded now, is a
    /// repeat. The index has applied the whole log here, so it knows every event that is in it.
    fn remembered(&self, requests: &[Request]) -> Result<Vec<Vec<Remembered>>, OpenTrouble> {
        let snapshot = index(&self.store)?.snapshot()?;
        let mut in_hand = BTreeSet::new();
        let mut of_record = |record: &Record| {
            let Record::Input(input) = record else { return Ok(Remembered::New) };
            let Input::Event(envelope) = &**input else { return Ok(Remembered::New) };
            let is_repeat = !in_hand.insert(envelope.id) || Ledger::has_applied(&snapshot, &envelope.id)?;
            Ok(if is_repeat { Remembered::Repeat } else { Remembered::New })
        };
        requests
            .iter()
            .map(|request| request.records.iter().map(|(record, _)| of_record(record)).collect())
            .collect()
    }

    fn reopen(&mut self) -> Result<(), OpenTrouble> {
        index(&self.store)?.reopen()?;
        self.catch_up()
    }

    /// Opens the ledger as the index has it and applies the rest of the log.
    fn catch_up(&mut self) -> Result<(), OpenTrouble> {
        let store = Arc::clone(&self.store);
        let index = index(&store)?;
        let snapshot = index.snapshot()?;
        self.ledger = Ledger::open(&snapshot)?;
        self.publish_in_force(&snapshot)?;
        self.due.set(Ledger::next_deadline(&snapshot)?, true);
        self.note_judged_again(&snapshot)?;
        drop(snapshot);
        let began = index.position();
        self.apply(store.pending_replay())?;
        self.publish_progress(index.position());
        self.is_behind = false;
        let replayed = index.position() - began;
        if replayed > 0 {
            tracing::info!(
                replayed,
                position = index.position(),
                "applied entries of the evidence log again"
            );
        }
        Ok(())
    }

    fn apply(
        &mut self,
        entries: impl Iterator<Item = Result<Recorded, LogError>>,
    ) -> Result<(), OpenTrouble> {
        let store = Arc::clone(&self.store);
        let index = index(&store)?;
        let mut together = Together::new(entries).peekable();
        while together.peek().is_some() {
            let mut batch = index.begin()?;
            let mut applied = Applied { deadline: self.due.deadline(), ..Applied::default() };
            let began = batch.position();
            while batch.position() - began < COMMIT_ENTRIES && batch.weight_bytes() < COMMIT_BYTES {
                let Some(recorded) = together.next().transpose()? else { break };
                self.apply_together(&mut batch, recorded, &mut applied)?;
            }
            let position = batch.position();
            batch.commit()?;
            self.due.set(applied.deadline, applied.has_passed_deadline);
            if applied.contracts_changed {
                self.publish_in_force(&index.snapshot()?)?;
            }
            if applied.contracts_changed || self.judged_again_since.is_some() {
                self.note_judged_again(&index.snapshot()?)?;
            }
            self.publish_progress(position);
        }
        Ok(())
    }

    /// Applies what is judged together: what it leads to stands at the last position.
    fn apply_together(
        &mut self,
        batch: &mut Batch<'_>,
        recorded: Vec<Recorded>,
        applied: &mut Applied,
    ) -> Result<(), OpenTrouble> {
        let Some(last) = recorded.last().map(Recorded::position) else { return Ok(()) };
        let mut inputs = Vec::new();
        for one in recorded {
            match one {
                Recorded::Receipt { position, receipt, .. } => batch.receipt(position, receipt)?,
                Recorded::Skipped { position, .. } if position < last => batch.skip(position)?,
                Recorded::Skipped { .. } => {}
                Recorded::Input { entry, .. } => {
                    if entry.position < last {
                        batch.skip(entry.position)?;
                    }
                    inputs.push(entry);
                }
            }
        }
        if batch.position() == last {
            return Ok(());
        }
        let outcome = self.ledger.apply_together(&*batch, &inputs)?;
        applied.note(&inputs, &outcome);
        self.metrics.applied(inputs.iter().map(|entry| &entry.input), &outcome.decisions);
        Ok(batch.apply_outcome(last, outcome)?)
    }

    /// Says when the last of everything is judged again, where it takes more than one commit.
    fn note_judged_again(&mut self, snapshot: &Snapshot) -> Result<(), OpenTrouble> {
        let since = Ledger::judged_again_since(snapshot)?;
        match (self.judged_again_since, since) {
            (None, Some(_)) => tracing::info!("judging everything again under changed contracts"),
            (Some(_), None) => tracing::info!("everything was judged again under changed contracts"),
            _ => {}
        }
        self.judged_again_since = since;
        Ok(())
    }

    fn publish_progress(&self, applied: u64) {
        let progress = Progress { applied, next_deadline: self.due.deadline() };
        self.shared.progress.send_replace(progress);
        self.metrics.set_position(applied);
    }

    fn publish_in_force(&self, snapshot: &Snapshot) -> Result<(), OpenTrouble> {
        let next = in_force(&self.ledger, snapshot)?;
        self.shared.in_force.send_replace(next);
        Ok(())
    }
}

/// The shared values as a snapshot has them.
pub(crate) fn shared_of(ledger: &Ledger, snapshot: &Snapshot) -> Result<Shared, OpenTrouble> {
    let progress = Progress { applied: snapshot.position(), next_deadline: Ledger::next_deadline(snapshot)? };
    Ok(Shared::new(progress, in_force(ledger, snapshot)?))
}

fn index(store: &Store) -> Result<&Index, OpenTrouble> {
    store.index().map_err(|error| OpenTrouble::NoIndex(error_chain(error)))
}

fn is_new(remembered: &Remembered) -> bool {
    *remembered == Remembered::New
}

fn new_entries(
    request: &Request,
    remembered: &[Remembered],
    recorded: Timestamp,
    joiner: &mut Joiner,
) -> impl Iterator<Item = NewEntry> {
    let new = request.records.iter().zip(remembered).filter(|(_, remembered)| is_new(remembered));
    new.map(move |((record, payload), _)| {
        let kind = match record {
            Record::Input(_) => EntryKind::Input,
            Record::Receipt(_) => EntryKind::Receipt,
        };
        NewEntry { recorded, kind, joined: joiner.joins(record), payload: payload.clone() }
    })
}

fn as_recorded(position: u64, recorded: Timestamp, record: Record, joined: bool) -> Recorded {
    match record {
        Record::Input(input) => {
            Recorded::Input { entry: Entry { position, recorded, input: *input }, joined }
        }
        Record::Receipt(receipt) => Recorded::Receipt { position, recorded, receipt },
    }
}

fn in_force(ledger: &Ledger, snapshot: &Snapshot) -> Result<InForce, OpenTrouble> {
    let contracts = Arc::clone(ledger.contracts());
    let loaded = Ledger::contracts_in_force(snapshot)?;
    let files = loaded.map(|loaded| loaded.files).unwrap_or_default();
    let trust = trust::set_of(&contracts, &files).map(Arc::new);
    let trust = trust.map_err(|problems| problems.join("; "));
    let trust_version = contracts.trust_version();
    Ok(InForce { contracts, trust, trust_version })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use correlator_core::records::{Records, Table};
    use correlator_store::StoreSettings;

    use super::*;

    fn contracts(name: &str) -> Record {
        let text = format!(
            "apiVersion: custody.dev/v1\nkind: Pipeline\nmetadata: {{ name: {name} }}\nspec:\n  \
             images: [\"registry.example/{name}\"]\n  require: [artifact]\n  artifact: {{ pushers: [bot] }}\n"
        );
        let documents = std::collections::BTreeMap::from([("one.yaml".to_owned(), text)]);
        let loaded = correlator_core::input::ContractLoaded { documents, files: Default::default() };
        Record::input(Input::ContractLoaded(Box::new(loaded)))
    }

    fn pipelines(desk: &Desk) -> Vec<String> {
        desk.shared().in_force.borrow().contracts.pipelines.keys().cloned().collect()
    }

    fn open(folder: &std::path::Path) -> Desk {
        let store = Store::open(folder, StoreSettings::default()).unwrap();
        Desk::open(Arc::new(store), CorrelatorMetrics::default()).unwrap()
    }

    #[test]
    fn what_is_in_the_log_and_not_in_the_index_is_applied_at_the_start_and_after_a_trouble() {
        let folder = tempfile::tempdir().unwrap();
        let mut desk = open(folder.path());
        desk.begin(vec![contracts("one")]).unwrap();
        // The end of a process between the log and the index: the entry is durable, nothing was applied.
        let Record::Input(input) = contracts("two") else { panic!() };
        let entry = NewEntry::input(desk.clock.now(), &input).unwrap();
        desk.store.log().append(&[entry]).unwrap();
        drop(desk);
        let mut desk = open(folder.path());
        assert_eq!(pipelines(&desk), ["two"]);
        assert_eq!(desk.shared().progress.borrow().applied, 2);
        // The index fails under the writer: it opens it again and goes on from the log.
        let Record::Input(input) = contracts("three") else { panic!() };
        let entry = NewEntry::input(desk.clock.now(), &input).unwrap();
        desk.store.log().append(&[entry]).unwrap();
        desk.is_behind = true;
        desk.begin(vec![contracts("four")]).unwrap();
        assert_eq!(pipelines(&desk), ["four"]);
        assert_eq!(desk.shared().progress.borrow().applied, 4);
        assert_eq!(desk.store.log().head().position, 4);
    }

    fn report(sequence: u64) -> Record {
        let agent: bus_schema::AgentId = "registry".parse().unwrap();
        let report = bus_schema::fleet::AgentReported {
            agent: agent.clone(),
            kind: "registry".to_owned(),
            version: "1".to_owned(),
            epoch: Timestamp::UNIX_EPOCH,
            sequence,
            interval_seconds: None,
            coverage: Vec::new(),
            lag_seconds: 0,
            events_published: 0,
            dead_lettered: 0,
            api_budget_left: None,
            reported_at: Timestamp::UNIX_EPOCH,
        };
        let event = bus_schema::Event::AgentReported(report);
        let envelope =
            bus_schema::Envelope::new(agent, Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH, None, event);
        Record::input(Input::Event(Box::new(envelope)))
    }

    /// Records several requests at once; returns what each is answered.
    fn step(desk: &mut Desk, requests: Vec<Vec<Record>>) -> Vec<Vec<Remembered>> {
        let mut answers = Vec::new();
        let requests = requests.into_iter().map(|records| {
            let records = records.into_iter().map(|record| super::super::encode(record).unwrap()).collect();
            let (answer, answered) = tokio::sync::oneshot::channel();
            answers.push(answered);
            Request { records, bytes: 0, answer }
        });
        let requests: Vec<Request> = requests.collect();
        desk.step(requests).unwrap();
        answers.into_iter().map(|mut answer| answer.try_recv().unwrap()).collect()
    }

    const FOLDER_VARIABLE: &str = "CUSTODY_DESK_FULL_DISK_FOLDER";

    /// How large files of this process may grow, in bytes.
    fn limit_files(bytes: &str) {
        let process = std::process::id().to_string();
        let limit = format!("--fsize={bytes}:unlimited");
        let status =
            std::process::Command::new("prlimit").args(["--pid", &process, &limit]).status().unwrap();
        assert!(status.success());
    }

    /// Does nothing unless it is told a folder: a process of its own, whose disk is full for the index.
    #[test]
    fn full_disk_child() {
        let Some(folder) = std::env::var_os(FOLDER_VARIABLE) else { return };
        let folder = std::path::PathBuf::from(folder);
        // No file of the log reaches the limit.
        let segment_bytes_max = 16 * 1024;
        let log = correlator_store::LogSettings { segment_bytes_max, ..Default::default() };
        let settings = StoreSettings { log, ..StoreSettings::default() };
        let store = Store::open(&folder, settings).unwrap();
        let mut desk = Desk::open(Arc::new(store), CorrelatorMetrics::default()).unwrap();
        desk.begin(vec![report(0)]).unwrap();
        limit_files(&(4 * segment_bytes_max).to_string());
        let mut number = 0;
        let error = loop {
            number += 1;
            assert!(number < 2000, "the index is not written");
            if let Err(error) = desk.begin(vec![report(number)]) {
                break error;
            }
        };
        assert!(format!("{error:#}").contains("the index fails"), "{error:#}");
        // It is in the log: who asked was answered, and nothing of it is asked for again.
        let head = desk.store.log().head().position;
        assert!(desk.is_behind && desk.shared().progress.borrow().applied < head);
        limit_files("unlimited");
        desk.begin(vec![report(number + 1)]).unwrap();
        assert_eq!(desk.store.log().head().position, head + 1);
        assert_eq!(desk.shared().progress.borrow().applied, head + 1);
        let known: Vec<Record> = (0..=number + 1).map(report).collect();
        let answered = step(&mut desk, vec![known]);
        assert!(answered.concat().iter().all(|answer| *answer == Remembered::Repeat));
    }

    #[test]
    fn an_index_that_finds_the_disk_full_is_opened_again_and_applies_what_the_log_has() {
        let folder = tempfile::tempdir().unwrap();
        // A write that is too long for the limit is an error then, not the end of the process.
        let child = "trap '' XFSZ; exec \"$0\" --exact recorder::desk::tests::full_disk_child --nocapture";
        let program = std::env::current_exe().unwrap();
        let mut command = std::process::Command::new("sh");
        command.args(["-c", child]).arg(program).env(FOLDER_VARIABLE, folder.path());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}{output:?}");
    }

    #[test]
    fn each_event_is_in_the_log_once() {
        use Remembered::{New, Repeat};
        let folder = tempfile::tempdir().unwrap();
        let mut desk = open(folder.path());
        // In one request, in another of the same batch, and in a later one.
        let answered =
            step(&mut desk, vec![vec![report(1), report(2), report(1)], vec![report(2), report(3)]]);
        assert_eq!(answered, [vec![New, New, Repeat], vec![Repeat, New]]);
        assert_eq!(step(&mut desk, vec![vec![report(3)]]), [[Repeat]]);
        assert_eq!(desk.store.log().head().position, 3);
        // In the log and not in the index, as the end of a process leaves it.
        let Record::Input(input) = report(4) else { panic!() };
        desk.store.log().append(&[NewEntry::input(desk.clock.now(), &input).unwrap()]).unwrap();
        drop(desk);
        let mut desk = open(folder.path());
        assert_eq!(step(&mut desk, vec![vec![report(4), report(5), report(1)]]), [[Repeat, New, Repeat]]);
        assert_eq!(desk.store.log().head().position, 5);
        assert_eq!(desk.shared().progress.borrow().applied, 5);
    }

    /// Everything that the index holds.
    fn held(desk: &Desk) -> String {
        let snapshot = index(&desk.store).unwrap().snapshot().unwrap();
        let mut text = format!("{}", snapshot.position());
        for table in Table::ALL {
            for (key, value) in snapshot.scan(table, "", "", usize::MAX).unwrap() {
                text.push_str(&format!("\n{} {key:?} {}", table.as_str(), String::from_utf8_lossy(&value)));
            }
        }
        for lane in correlator_store::Lane::ALL {
            for queued in snapshot.outbox(lane, None, usize::MAX).unwrap() {
                text.push_str(&format!("\n{} {queued:?}", lane.as_str()));
            }
        }
        text
    }

    /// What an index holds that is built anew from the log of a folder.
    fn built_anew(folder: &std::path::Path) -> String {
        std::fs::remove_file(folder.join("index.redb")).unwrap();
        held(&open(folder))
    }

    /// One digest, which runs in several places.
    fn burst(places: std::ops::Range<u32>) -> Vec<Record> {
        let place = |number: u32| {
            let digest = bus_schema::Digest::sha256_of(b"everywhere");
            let event = crate::tests::world::started(digest, &format!("app-{number}"));
            let now = Timestamp::now();
            let envelope = bus_schema::Envelope::new("cluster".parse().unwrap(), now, now, None, event);
            Record::input(Input::Event(Box::new(envelope)))
        };
        places.map(place).collect()
    }

    fn joined(desk: &Desk) -> Vec<bool> {
        desk.store.log().read(1).map(|entry| entry.unwrap().joined).collect()
    }

    #[test]
    fn what_arrives_together_is_judged_together_and_again_when_the_index_is_built_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut desk = open(folder.path());
        desk.begin(vec![contracts("one")]).unwrap();
        step(&mut desk, vec![burst(0..3), burst(2..5)]);
        step(&mut desk, vec![vec![contracts("two")], burst(5..6)]);
        // The repeat is in the log once, and contracts stand alone.
        assert_eq!(joined(&desk), [false, false, true, true, true, true, false, false]);
        let whole = held(&desk);
        drop(desk);
        assert_eq!(built_anew(folder.path()), whole);
    }

    #[test]
    fn more_than_the_bound_is_judged_in_parts() {
        let folder = tempfile::tempdir().unwrap();
        let mut desk = open(folder.path());
        let places = u32::try_from(super::super::together::JUDGED_TOGETHER_MAX).unwrap() + 2;
        step(&mut desk, vec![burst(0..places)]);
        let alone: Vec<usize> =
            joined(&desk).iter().enumerate().filter(|(_, joined)| !**joined).map(|(at, _)| at).collect();
        assert_eq!(alone, [0, super::super::together::JUDGED_TOGETHER_MAX]);
    }

    #[test]
    fn the_beginning_of_a_batch_that_a_crash_left_is_judged_without_the_rest_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let mut desk = open(folder.path());
        desk.begin(vec![contracts("one")]).unwrap();
        let entries = burst(0..2).into_iter().zip([false, true]).map(|(record, joined)| {
            let Record::Input(input) = record else { panic!() };
            NewEntry { joined, ..NewEntry::input(desk.clock.now(), &input).unwrap() }
        });
        let entries: Vec<NewEntry> = entries.collect();
        desk.store.log().append(&entries).unwrap();
        drop(desk);
        let mut desk = open(folder.path());
        step(&mut desk, vec![burst(2..4)]);
        assert_eq!(joined(&desk), [false, false, true, false, true]);
        let whole = held(&desk);
        drop(desk);
        assert_eq!(built_anew(folder.path()), whole);
    }

    #[test]
    fn times_never_go_back_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut desk = open(folder.path());
        let ahead = Timestamp::now().checked_add(jiff::SignedDuration::from_hours(2)).unwrap();
        let Record::Input(input) = contracts("one") else { panic!() };
        desk.store.log().append(&[NewEntry::input(ahead, &input).unwrap()]).unwrap();
        desk.is_behind = true;
        drop(desk);
        let mut desk = open(folder.path());
        desk.begin(vec![contracts("two")]).unwrap();
        let recorded: Vec<Timestamp> =
            desk.store.log().read(1).map(|entry| entry.unwrap().recorded).collect();
        assert!(recorded.is_sorted(), "{recorded:?}");
        desk.begin(vec![contracts("three")]).unwrap();
    }
}
