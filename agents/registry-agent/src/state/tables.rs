//! The tables of the state and a consistent view of them.

use bus_schema::{Digest, ImageRepository, Tag};
use jiff::Timestamp;
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, TableHandle};

use super::StateError;
use super::batch::Waiting;
use super::record::{LookUpRecord, RepositoryRecord};
use crate::tags::TagState;

pub(super) const FORMAT: u64 = 1;
/// Name → number: the format and the counters.
pub(super) const COUNTERS: TableDefinition<'static, &str, u64> = TableDefinition::new("counters");
/// (repository, tag) → [`TagState`].
pub(super) const TAGS: TableDefinition<'static, (&str, &str), &[u8]> = TableDefinition::new("tags");
/// Repository → [`RepositoryRecord`].
pub(super) const REPOSITORIES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("repositories");
/// Registry → [`RegistryRecord`].
pub(super) const REGISTRIES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("registries");
/// (registry, notification id) → its number in the order of arrival.
pub(super) const SEEN: TableDefinition<'static, (&str, &str), u64> = TableDefinition::new("seen");
/// Number → (registry, notification id), for forgetting the oldest.
pub(super) const SEEN_ORDER: TableDefinition<'static, u64, (&str, &str)> = TableDefinition::new("seen-order");
/// Number → envelope: decided and not yet known to be on the bus.
pub(super) const OUTBOX: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("outbox");
/// What is looked at → [`LookUpRecord`].
pub(super) const LOOK_UPS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("look-ups");

pub(super) const POLL_SEQUENCE: &str = "poll";

/// The format that the file says it has; nothing in a file that was never marked.
pub(super) fn format(transaction: &ReadTransaction) -> Result<Option<u64>, StateError> {
    match transaction.open_table(COUNTERS) {
        Ok(counters) => Ok(counters.get("format")?.map(|value| value.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

type BytesTable<K> = redb::ReadOnlyTable<K, &'static [u8]>;

/// A consistent view of the state.
pub(crate) struct View {
    tags: BytesTable<(&'static str, &'static str)>,
    repositories: BytesTable<&'static str>,
    outbox: BytesTable<u64>,
    look_ups: BytesTable<&'static str>,
}

impl View {
    pub(super) fn open(transaction: &ReadTransaction) -> Result<View, StateError> {
        Ok(View {
            tags: transaction.open_table(TAGS)?,
            repositories: transaction.open_table(REPOSITORIES)?,
            outbox: transaction.open_table(OUTBOX)?,
            look_ups: transaction.open_table(LOOK_UPS)?,
        })
    }

    pub(crate) fn tag(
        &self,
        repository: &ImageRepository,
        tag: &Tag,
    ) -> Result<Option<TagState>, StateError> {
        read_tag(&self.tags, repository, tag)
    }

    /// Every tag of a repository, deleted ones included.
    pub(crate) fn tags_of(&self, repository: &ImageRepository) -> Result<Vec<(Tag, TagState)>, StateError> {
        read_tags(&self.tags, repository)
    }

    /// The repositories of a registry that this agent has heard of, at most `count_max`; of those that are left out the one
    /// that was denied least often, so that each has its turn.
    pub(crate) fn repositories_to_poll(
        &self,
        host: &str,
        count_max: usize,
    ) -> Result<Vec<ImageRepository>, StateError> {
        let prefix = format!("{host}/");
        let mut found = Vec::new();
        let mut left_out: Option<(u32, ImageRepository)> = None;
        for entry in self.repositories.range(prefix.as_str()..)? {
            let (key, value) = entry?;
            if !key.value().starts_with(&prefix) || found.len() >= count_max {
                break;
            }
            let record: RepositoryRecord = serde_json::from_slice(value.value())?;
            let repository: ImageRepository = key.value().parse()?;
            match record.denied.filter(|denied| denied.is_left_out) {
                None => found.push(repository),
                Some(denied) if left_out.as_ref().is_none_or(|(polls, _)| denied.polls < *polls) => {
                    left_out = Some((denied.polls, repository));
                }
                Some(_) => {}
            }
        }
        found.extend(left_out.map(|(_, repository)| repository));
        Ok(found)
    }

    pub(crate) fn repository(&self, repository: &ImageRepository) -> Result<RepositoryRecord, StateError> {
        read_json(&self.repositories, repository.to_string().as_str()).map(Option::unwrap_or_default)
    }

    /// The oldest envelopes that are not known to be on the bus.
    pub(crate) fn outbox(&self, count_max: usize) -> Result<Vec<(u64, Vec<u8>)>, StateError> {
        let entries = self.outbox.iter()?.take(count_max);
        entries
            .map(|entry| entry.map(|(key, value)| (key.value(), value.value().to_vec())).map_err(Into::into))
            .collect()
    }

    /// The looks that are due, oldest first, without those in `taken`; and when the next one is due.
    pub(crate) fn due_look_ups(
        &self,
        now: Timestamp,
        count_max: usize,
        taken: &std::collections::BTreeSet<String>,
    ) -> Result<(Vec<Waiting>, Option<Timestamp>), StateError> {
        let (mut due, mut next) = (Vec::new(), None);
        for entry in self.look_ups.iter()? {
            let (key, value) = entry?;
            if taken.contains(key.value()) {
                continue;
            }
            let record: LookUpRecord = serde_json::from_slice(value.value())?;
            match record.is_due(now) {
                true => due.push(Waiting { key: key.value().to_owned(), record }),
                false => {
                    next = Some(next.map_or(record.not_before, |at: Timestamp| at.min(record.not_before)))
                }
            }
        }
        due.sort_by(|a, b| (a.record.queued_at, &a.key).cmp(&(b.record.queued_at, &b.key)));
        due.truncate(count_max);
        Ok((due, next))
    }

    /// How many looks wait, and since when the oldest does.
    pub(crate) fn look_ups_waiting(&self) -> Result<(u64, Option<Timestamp>), StateError> {
        let mut oldest: Option<Timestamp> = None;
        for entry in self.look_ups.iter()? {
            let record: LookUpRecord = serde_json::from_slice(entry?.1.value())?;
            oldest = Some(oldest.map_or(record.queued_at, |at| at.min(record.queued_at)));
        }
        Ok((self.look_ups.len()?, oldest))
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("View").field("tables", &TAGS.name()).finish_non_exhaustive()
    }
}

pub(super) fn read_tag(
    tags: &impl ReadableTable<(&'static str, &'static str), &'static [u8]>,
    repository: &ImageRepository,
    tag: &Tag,
) -> Result<Option<TagState>, StateError> {
    let name = repository.to_string();
    let found = tags.get((name.as_str(), tag.as_str()))?;
    found.map(|bytes| serde_json::from_slice(bytes.value()).map_err(Into::into)).transpose()
}

pub(super) fn read_tags(
    tags: &impl ReadableTable<(&'static str, &'static str), &'static [u8]>,
    repository: &ImageRepository,
) -> Result<Vec<(Tag, TagState)>, StateError> {
    let name = repository.to_string();
    let mut found = Vec::new();
    for entry in tags.range((name.as_str(), "")..)? {
        let (key, value) = entry?;
        let (of, tag) = key.value();
        if of != name {
            break;
        }
        found.push((tag.parse()?, serde_json::from_slice(value.value())?));
    }
    Ok(found)
}

pub(super) fn read_json<T: serde::de::DeserializeOwned>(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &str,
) -> Result<Option<T>, StateError> {
    let found = table.get(key)?;
    found.map(|bytes| serde_json::from_slice(bytes.value()).map_err(Into::into)).transpose()
}

/// The tags of a repository that point at a digest.
pub(super) fn pointing_at(all: Vec<(Tag, TagState)>, digest: &Digest) -> Vec<(Tag, TagState)> {
    all.into_iter().filter(|(_, state)| state.points_at == Some(*digest)).collect()
}
