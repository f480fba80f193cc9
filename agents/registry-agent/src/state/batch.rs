//! Changes of the state inside one commit.

use std::path::Path;
use std::time::Duration;

use bus_schema::{Digest, Envelope, ImageRepository, Tag, TraceParent};
use jiff::Timestamp;
use redb::{ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use super::StateError;
use super::record::{LookUpRecord, RegistryRecord, RepositoryRecord};
use super::tables::{
    COUNTERS, FORMAT, LOOK_UPS, OUTBOX, POLL_SEQUENCE, REGISTRIES, REPOSITORIES, SEEN, SEEN_ORDER, TAGS,
    pointing_at, read_json, read_tag, read_tags,
};
use crate::tags::{LookUp, TagState, Tags, What};

/// How many notification ids are remembered. A registry repeats what was not answered, within minutes.
const SEEN_MAX: u64 = 50_000;
/// The most events that may wait for the bus before changes are refused.
const OUTBOX_MAX: u64 = 100_000;
/// The most looks that may wait.
pub(crate) const LOOK_UPS_MAX: u64 = 20_000;
/// The most pushes of one digest that wait for a look.
const UNSAID_MAX: usize = 32;

type BytesTable<'t, K> = Table<'t, K, &'static [u8]>;

/// One commit in the making.
pub(crate) struct Batch<'t> {
    counters: Table<'t, &'static str, u64>,
    tags: BytesTable<'t, (&'static str, &'static str)>,
    repositories: BytesTable<'t, &'static str>,
    registries: BytesTable<'t, &'static str>,
    seen: Table<'t, (&'static str, &'static str), u64>,
    seen_order: Table<'t, u64, (&'static str, &'static str)>,
    outbox: BytesTable<'t, u64>,
    look_ups: BytesTable<'t, &'static str>,
}

/// A look that waits, and its key.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) key: String,
    pub(crate) record: LookUpRecord,
}

impl<'t> Batch<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Batch<'t>, StateError> {
        Ok(Batch {
            counters: transaction.open_table(COUNTERS)?,
            tags: transaction.open_table(TAGS)?,
            repositories: transaction.open_table(REPOSITORIES)?,
            registries: transaction.open_table(REGISTRIES)?,
            seen: transaction.open_table(SEEN)?,
            seen_order: transaction.open_table(SEEN_ORDER)?,
            outbox: transaction.open_table(OUTBOX)?,
            look_ups: transaction.open_table(LOOK_UPS)?,
        })
    }

    /// Refuses the state of another version; marks a new one. `path` is for the message.
    pub(super) fn check_format(&mut self, path: &Path) -> Result<(), StateError> {
        let found = self.counters.get("format")?.map(|value| value.value());
        match found {
            Some(FORMAT) => Ok(()),
            Some(found) => Err(StateError::other_format(path, found)),
            None => self.counters.insert("format", FORMAT).map(|_| ()).map_err(Into::into),
        }
    }

    #[cfg(test)]
    pub(super) fn set_format(&mut self, format: u64) -> Result<(), StateError> {
        self.counters.insert("format", format)?;
        Ok(())
    }

    /// Remembers a notification. False: it came before.
    pub(crate) fn see(&mut self, host: &str, id: &str) -> Result<bool, StateError> {
        if self.seen.get((host, id))?.is_some() {
            return Ok(false);
        }
        let number = self.seen_order.last()?.map_or(0, |(key, _)| key.value() + 1);
        self.seen.insert((host, id), number)?;
        self.seen_order.insert(number, (host, id))?;
        if self.seen_order.len()? > SEEN_MAX
            && let Some((_, oldest)) = self.seen_order.pop_first()?
        {
            self.seen.remove(oldest.value())?;
        }
        Ok(true)
    }

    pub(crate) fn put_tag(
        &mut self,
        repository: &ImageRepository,
        tag: &Tag,
        state: &TagState,
    ) -> Result<(), StateError> {
        let name = repository.to_string();
        self.tags.insert((name.as_str(), tag.as_str()), serde_json::to_vec(state)?.as_slice())?;
        Ok(())
    }

    pub(crate) fn forget_tag(&mut self, repository: &ImageRepository, tag: &Tag) -> Result<(), StateError> {
        self.tags.remove((repository.to_string().as_str(), tag.as_str()))?;
        Ok(())
    }

    /// Makes a repository known, so that it is polled, also when it was left out.
    pub(crate) fn know(&mut self, repository: &ImageRepository) -> Result<(), StateError> {
        let known: Option<RepositoryRecord> = read_json(&self.repositories, &repository.to_string())?;
        match known {
            None => self.put_repository(repository, &RepositoryRecord::default()),
            Some(known) if known.is_left_out() => {
                self.put_repository(repository, &RepositoryRecord { denied: None, ..known })
            }
            Some(_) => Ok(()),
        }
    }

    pub(crate) fn repository(&self, repository: &ImageRepository) -> Result<RepositoryRecord, StateError> {
        read_json(&self.repositories, &repository.to_string()).map(Option::unwrap_or_default)
    }

    pub(crate) fn put_repository(
        &mut self,
        repository: &ImageRepository,
        record: &RepositoryRecord,
    ) -> Result<(), StateError> {
        self.repositories.insert(repository.to_string().as_str(), serde_json::to_vec(record)?.as_slice())?;
        Ok(())
    }

    pub(crate) fn registry(&self, host: &str) -> Result<RegistryRecord, StateError> {
        read_json(&self.registries, host).map(Option::unwrap_or_default)
    }

    pub(crate) fn put_registry(&mut self, host: &str, record: &RegistryRecord) -> Result<(), StateError> {
        self.registries.insert(host, serde_json::to_vec(record)?.as_slice())?;
        Ok(())
    }

    /// The number of the next poll; never the same again.
    pub(crate) fn next_poll(&mut self) -> Result<u64, StateError> {
        let number = self.counters.get(POLL_SEQUENCE)?.map_or(0, |value| value.value()) + 1;
        self.counters.insert(POLL_SEQUENCE, number)?;
        Ok(number)
    }

    /// Decides that an event will be said.
    pub(crate) fn say(&mut self, envelope: &Envelope) -> Result<(), StateError> {
        if self.outbox.len()? >= OUTBOX_MAX {
            return Err(StateError::Full { what: "the events that wait for the bus", count_max: OUTBOX_MAX });
        }
        let number = self.outbox.last()?.map_or(0, |(key, _)| key.value() + 1);
        self.outbox.insert(number, serde_json::to_vec(envelope)?.as_slice())?;
        Ok(())
    }

    /// Forgets events that are on the bus.
    pub(crate) fn said(&mut self, numbers: &[u64]) -> Result<(), StateError> {
        for number in numbers {
            self.outbox.remove(number)?;
        }
        Ok(())
    }

    /// Queues a look. One that waits already is looked at once, as soon as the new one. False: there is no room, for the
    /// look or for what is said after it.
    pub(crate) fn queue(
        &mut self,
        look_up: &LookUp,
        now: Timestamp,
        trace: Option<&TraceParent>,
        unsaid: Option<&Envelope>,
    ) -> Result<bool, StateError> {
        let key = key_of(look_up);
        let waiting: Option<LookUpRecord> = read_json(&self.look_ups, &key)?;
        if waiting.is_none() && self.look_ups.len()? >= LOOK_UPS_MAX {
            return Ok(false);
        }
        let (queued_at, mut all_unsaid) =
            waiting.map_or((now, Vec::new()), |waiting| (waiting.queued_at, waiting.unsaid));
        if all_unsaid.len() >= UNSAID_MAX && unsaid.is_some() {
            return Ok(false);
        }
        all_unsaid.extend(unsaid.cloned());
        let record = LookUpRecord {
            look_up: look_up.clone(),
            attempts: 0,
            queued_at,
            not_before: now,
            waits_since: Some(now),
            trace: trace.cloned(),
            unsaid: all_unsaid,
        };
        self.look_ups.insert(key.as_str(), serde_json::to_vec(&record)?.as_slice())?;
        Ok(true)
    }

    /// Ends a look, unless it was queued again while it ran.
    pub(crate) fn looked(&mut self, waiting: &Waiting) -> Result<(), StateError> {
        if self.is_unchanged(waiting)? {
            self.look_ups.remove(waiting.key.as_str())?;
        }
        Ok(())
    }

    /// Looks again after a wait, unless it was queued again while it ran.
    pub(crate) fn look_again(
        &mut self,
        waiting: &Waiting,
        now: Timestamp,
        wait: Duration,
        forget_unsaid: bool,
    ) -> Result<(), StateError> {
        let attempts = waiting.record.attempts + 1;
        self.wait(waiting, attempts, now, wait, forget_unsaid)
    }

    /// Puts a look off that could not be said: that is no attempt, and nothing of it is forgotten.
    pub(crate) fn put_off(
        &mut self,
        waiting: &Waiting,
        now: Timestamp,
        wait: Duration,
    ) -> Result<(), StateError> {
        self.wait(waiting, waiting.record.attempts, now, wait, false)
    }

    fn wait(
        &mut self,
        waiting: &Waiting,
        attempts: u32,
        now: Timestamp,
        wait: Duration,
        forget_unsaid: bool,
    ) -> Result<(), StateError> {
        if self.is_unchanged(waiting)? {
            let not_before = now.checked_add(wait).unwrap_or(Timestamp::MAX);
            let waits_since = Some(now);
            let mut record = LookUpRecord { attempts, not_before, waits_since, ..waiting.record.clone() };
            if forget_unsaid {
                record.unsaid.clear();
            }
            self.look_ups.insert(waiting.key.as_str(), serde_json::to_vec(&record)?.as_slice())?;
        }
        Ok(())
    }

    fn is_unchanged(&self, waiting: &Waiting) -> Result<bool, StateError> {
        let now: Option<LookUpRecord> = read_json(&self.look_ups, &waiting.key)?;
        Ok(now.as_ref() == Some(&waiting.record))
    }
}

impl Tags for Batch<'_> {
    type Error = StateError;

    fn tag(&self, repository: &ImageRepository, tag: &Tag) -> Result<Option<TagState>, StateError> {
        read_tag(&self.tags, repository, tag)
    }

    fn pointing_at(
        &self,
        repository: &ImageRepository,
        digest: &Digest,
    ) -> Result<Vec<(Tag, TagState)>, StateError> {
        Ok(pointing_at(read_tags(&self.tags, repository)?, digest))
    }
}

impl std::fmt::Debug for Batch<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Batch").finish_non_exhaustive()
    }
}

fn key_of(look_up: &LookUp) -> String {
    let what = match look_up.what {
        What::Image => "image",
        What::Evidence => "evidence",
        What::Named => "named",
    };
    format!("{}@{} {what}", look_up.repository, look_up.digest)
}
