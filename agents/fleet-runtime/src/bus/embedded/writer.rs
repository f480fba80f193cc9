//! The one who writes: it gathers what many ask into one fsynced transaction.
//!
//! In: the queue. Out: answers, only after the commit. When the disk fails it answers everybody of the batch with
//! the failure, opens the database again and reads its state anew; nothing of the batch was accepted.

mod run;

use std::sync::{Arc, mpsc};
use std::time::Duration;

use jiff::Timestamp;
use redb::{Database, WriteTransaction};
use tokio::time::Instant;

use self::run::Next;
use super::command::{Command, Queue, Queued, Way};
use super::folder::Folder;
use super::ledger::{self, Ledger, Outcome, Tables};
use super::limits::EmbeddedLimits;
use super::owed::Owed;
use super::shared::Shared;
use super::simulated::Simulated;
use super::tables::{self, Opener};
use super::watchers::Watchers;
use crate::bus::{BusError, Entry, Stream, Watched};

const BATCH_COMMANDS_MAX: usize = 2048;
const BATCH_BYTES_MAX: usize = 16 << 20;
/// How long a batch waits for as many commands as those before had: publishers that were just answered need a
/// moment to come back, and a commit costs far more than this.
const LINGER: Duration = Duration::from_micros(500);
/// How long acknowledgements wait for a commit to ride with.
const SETTLE_WAIT: Duration = Duration::from_millis(20);
const TRIM_INTERVAL: Duration = Duration::from_secs(1);
const REOPEN_INTERVAL: Duration = Duration::from_millis(250);
/// How long readers may hold the old database when it is opened again.
const RELEASE_WAIT: Duration = Duration::from_secs(2);

/// Opens the database, loads its state and starts the thread.
pub(super) fn start(
    folder: Folder,
    opener: Opener,
    limits: EmbeddedLimits,
) -> Result<(Arc<Queue>, Arc<Shared>), BusError> {
    let shared = Arc::new(Shared::default());
    let mut writer = Writer::new(opener, limits, shared.clone(), Arc::new(Timestamp::now))?;
    folder.sync()?;
    writer.folder = Some(folder);
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("bus-writer".to_owned())
        .spawn(move || writer.run_on_thread(&receiver))
        .map_err(|error| BusError::storage("start the writer", error))?;
    Ok((Arc::new(Queue::new(Way::ToThread(sender, thread), limits.queue_bytes_max)), shared))
}

/// The same as a task of this runtime, which reads on the spot.
pub(super) fn start_simulated(
    simulated: &Simulated,
    limits: EmbeddedLimits,
) -> Result<(Arc<Queue>, Arc<Shared>), BusError> {
    let shared = Arc::new(Shared::reading_on_the_spot());
    let opener = simulated.opener(limits.cache_bytes_max);
    let writer = Writer::new(opener, limits, shared.clone(), simulated.now.clone())?;
    let (sender, receiver) = tokio::sync::mpsc::channel(Queue::units_max(limits.queue_bytes_max));
    tokio::spawn(writer.run_as_task(receiver));
    Ok((Arc::new(Queue::new(Way::ToTask(sender), limits.queue_bytes_max)), shared))
}

fn open(opener: &Opener, limits: EmbeddedLimits) -> Result<(Arc<Database>, Ledger), redb::Error> {
    let database = opener()?;
    let transaction = begin(&database)?;
    tables::create_all(&transaction)?;
    transaction.commit()?;
    let ledger = Ledger::load(&database, limits)?;
    Ok((Arc::new(database), ledger))
}

/// Quick repair makes the start after `kill -9` instant whatever the size, and its two-phase commit does not rest on
/// a checksum that hostile payloads could meet.
fn begin(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

struct Writer {
    /// Locked until the database is closed.
    folder: Option<Folder>,
    opener: Opener,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    limits: EmbeddedLimits,
    shared: Arc<Shared>,
    ledger: Ledger,
    watchers: Watchers,
    /// Acknowledgements that are true in memory and not yet on disk.
    unsaved: Vec<(Arc<Owed>, u64)>,
    unsaved_since: Option<Instant>,
    expected_commands: usize,
    trimmed_at: Instant,
    reopened_at: Instant,
    /// The database failed and takes nothing more until it is opened again.
    has_failed: bool,
}

/// What one transaction takes.
struct Batch {
    commands: Vec<Queued>,
    bytes: usize,
    /// How long more commands are waited for.
    until: Instant,
    /// Somebody waits for this commit.
    lingers: bool,
    /// The queue has ended, or somebody asked to close.
    is_last: bool,
}

impl Batch {
    fn is_whole(&self) -> bool {
        self.is_last || self.commands.len() >= BATCH_COMMANDS_MAX || self.bytes >= BATCH_BYTES_MAX
    }
}

impl Writer {
    /// Opens the database and loads its state.
    fn new(
        opener: Opener,
        limits: EmbeddedLimits,
        shared: Arc<Shared>,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Result<Writer, BusError> {
        let opened = open(&opener, limits);
        let (database, ledger) = opened.map_err(|error| BusError::storage("open the bus database", error))?;
        ledger::consumers::load(&database, &shared)
            .map_err(|error| BusError::storage("read the consumers", error))?;
        shared.open(database);
        Ok(Writer {
            folder: None,
            opener,
            now,
            limits,
            shared,
            ledger,
            watchers: Watchers::default(),
            unsaved: Vec::new(),
            unsaved_since: None,
            expected_commands: 0,
            trimmed_at: Instant::now(),
            reopened_at: Instant::now(),
            has_failed: false,
        })
    }

    /// A batch that waits for commands until one needs a commit or a time is over.
    fn begin(&self) -> Batch {
        let settle_at = self.unsaved_since.map(|since| since + SETTLE_WAIT);
        let trim_at = self.trimmed_at + TRIM_INTERVAL;
        let until = settle_at.unwrap_or(trim_at).min(trim_at);
        Batch { commands: Vec::new(), bytes: 0, until, lingers: false, is_last: false }
    }

    /// Puts a command into the batch.
    fn take(&mut self, queued: Queued, batch: &mut Batch) {
        if let Command::Settle { owed, sequence } = &queued.command {
            self.unsaved.push((owed.clone(), *sequence));
            self.unsaved_since.get_or_insert_with(Instant::now);
        } else {
            batch.bytes += queued.bytes;
            batch.is_last = matches!(queued.command, Command::Close { .. });
            batch.commands.push(queued);
        }
        if !batch.lingers && !batch.commands.is_empty() {
            batch.lingers = true;
            let wait = if self.expected_commands > 1 { LINGER } else { Duration::ZERO };
            batch.until = Instant::now() + wait;
        }
        if batch.lingers && batch.commands.len() >= self.expected_commands {
            batch.until = Instant::now();
        }
    }

    /// Commits what a batch and the time ask for.
    fn finish(&mut self, batch: Batch) -> Next {
        let is_last = batch.is_last;
        if !batch.commands.is_empty() {
            // Slowly forgotten, so that two groups of publishers do not take turns for ever.
            self.expected_commands = batch.commands.len().max(self.expected_commands * 7 / 8);
        }
        let settles_are_due = self.unsaved_since.is_some_and(|since| since.elapsed() >= SETTLE_WAIT);
        if !batch.commands.is_empty() || settles_are_due || (is_last && !self.unsaved.is_empty()) {
            self.commit(batch);
        }
        if !is_last && !self.has_failed && self.trimmed_at.elapsed() >= TRIM_INTERVAL {
            self.trim();
        }
        match is_last {
            true => Next::End,
            false if self.has_failed => {
                Next::Reopen(REOPEN_INTERVAL.saturating_sub(self.reopened_at.elapsed()))
            }
            false => Next::Batch,
        }
    }

    fn commit(&mut self, batch: Batch) {
        match self.write(&batch.commands) {
            Ok(outcomes) => {
                self.unsaved.clear();
                self.unsaved_since = None;
                self.answer(batch.commands, outcomes);
            }
            Err(error) => {
                tracing::error!(error = %error, "failed to commit to the bus database");
                let failure = BusError::storage("commit to the bus database", error);
                batch.commands.into_iter().for_each(|queued| fail(queued.command, &failure));
                self.has_failed = true;
            }
        }
    }

    fn write(&mut self, commands: &[Queued]) -> Result<Vec<Outcome>, redb::Error> {
        let database =
            self.shared.database().map_err(|error| redb::Error::Io(std::io::Error::other(error)))?;
        let now_micros = (self.now)().as_microsecond();
        let transaction = begin(&database)?;
        let mut outcomes = Vec::with_capacity(commands.len());
        {
            let mut tables = Tables::open(&transaction)?;
            for (owed, sequence) in &self.unsaved {
                let settle = Command::Settle { owed: owed.clone(), sequence: *sequence };
                self.ledger.apply(&mut tables, &self.shared, &settle, now_micros)?;
            }
            for queued in commands {
                let outcome = self.ledger.apply(&mut tables, &self.shared, &queued.command, now_micros)?;
                outcomes.push(outcome);
            }
            self.ledger.finish(&mut tables)?;
        }
        transaction.commit()?;
        Ok(outcomes)
    }

    /// Answers everybody, in the order of the commands. A receiver that is gone does not matter.
    fn answer(&mut self, commands: Vec<Queued>, outcomes: Vec<Outcome>) {
        let mut published: Vec<Stream> = Vec::new();
        let mut closing = None;
        for (queued, outcome) in commands.into_iter().zip(outcomes) {
            match (queued.command, outcome) {
                (Command::Publish { stream, reply, .. }, Outcome::Published(result)) => {
                    if !published.contains(&stream) {
                        published.push(stream);
                    }
                    let _ = reply.send(result);
                }
                (Command::Remove { reply, .. }, Outcome::Removed(was_there)) => {
                    let _ = reply.send(Ok(was_there));
                }
                (Command::Consumer { reply, .. }, Outcome::Consumer(owed)) => {
                    let _ = reply.send(Ok(owed));
                }
                (Command::Put { bucket, key, value, reply, .. }, Outcome::Revision(result)) => {
                    if let Ok(revision @ 1..) = result {
                        let change = match value {
                            Some(value) => {
                                Watched::Changed { key: key.clone(), entry: Entry { value, revision } }
                            }
                            None => Watched::Deleted { key: key.clone(), revision },
                        };
                        self.watchers.tell(&bucket, &key, &change);
                    }
                    let _ = reply.send(result);
                }
                (Command::Watch { bucket, prefix, reply }, Outcome::Entries(entries)) => {
                    let _ = reply.0.send(Ok(self.watchers.add(&bucket, &prefix, entries)));
                }
                (Command::Close { reply }, _) => closing = Some(reply),
                (
                    Command::RemoveConsumer { reply, .. } | Command::Deliver { reply, .. },
                    Outcome::Done(result),
                ) => {
                    let _ = reply.send(result);
                }
                // `apply` gives each command its own kind of outcome.
                (command, _) => fail(command, &BusError::Closed),
            }
        }
        for stream in published {
            self.shared.consumers_of(stream).iter().for_each(|owed| owed.wake());
        }
        if let Some(reply) = closing {
            self.release();
            let _ = reply.send(Ok(()));
        }
    }

    fn trim(&mut self) {
        self.trimmed_at = Instant::now();
        let Ok(database) = self.shared.database() else {
            self.has_failed = true;
            return;
        };
        let now_micros = (self.now)().as_microsecond();
        let trimmed = self.ledger.has_expired(&database, &self.shared, now_micros).and_then(|has_expired| {
            if !has_expired {
                return Ok(());
            }
            let transaction = begin(&database)?;
            {
                let mut tables = Tables::open(&transaction)?;
                self.ledger.trim(&mut tables, &self.shared, now_micros)?;
                self.ledger.finish(&mut tables)?;
            }
            Ok(transaction.commit()?)
        });
        drop(database);
        if let Err(error) = trimmed {
            tracing::error!(error = %error, "failed to trim the bus database");
            self.has_failed = true;
        }
    }

    fn reopen(&mut self) {
        self.reopened_at = Instant::now();
        self.has_failed = false;
        let before = self.shared.database().ok();
        self.shared.break_off();
        release(before);
        match open(&self.opener, self.limits) {
            Ok((database, ledger)) => {
                self.ledger = ledger;
                self.shared.open(database);
                self.shared.wake_all();
                tracing::info!("opened the bus database again");
            }
            Err(error) => tracing::error!(error = %error, "failed to open the bus database again"),
        }
    }

    fn release(&mut self) {
        let before = self.shared.database().ok();
        self.shared.close();
        self.shared.wake_all();
        self.watchers = Watchers::default();
        release(before);
        self.folder = None;
    }
}

/// Drops the database once its readers are done, so that its file is free.
fn release(database: Option<Arc<Database>>) {
    let Some(mut database) = database else { return };
    let until = Instant::now() + RELEASE_WAIT;
    while Instant::now() < until {
        match Arc::try_unwrap(database) {
            Ok(alone) => return drop(alone),
            Err(shared) => database = shared,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Answers a command whose transaction failed.
fn fail(command: Command, failure: &BusError) {
    fn again(failure: &BusError) -> BusError {
        match failure {
            BusError::Storage { action, source } => BusError::Storage { action, source: source.clone() },
            _ => BusError::Closed,
        }
    }
    match command {
        Command::Publish { reply, .. } => drop(reply.send(Err(again(failure)))),
        Command::Remove { reply, .. } => drop(reply.send(Err(again(failure)))),
        Command::Consumer { reply, .. } => drop(reply.send(Err(again(failure)))),
        Command::Put { reply, .. } => drop(reply.send(Err(again(failure)))),
        Command::Watch { reply, .. } => drop(reply.0.send(Err(again(failure)))),
        Command::RemoveConsumer { reply, .. } | Command::Deliver { reply, .. } | Command::Close { reply } => {
            drop(reply.send(Err(again(failure))));
        }
        Command::Settle { .. } => {}
    }
}
