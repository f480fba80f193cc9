//! The reconciling poll: compares what every tag points at with what is known, and finds what no notification told.
//!
//! In: the registry's lists and tags, at a bounded rate. Out: the same changes as from notifications, seen by a poll,
//! with the times between which they happened. The first poll of a registry begins its coverage; a poll that read
//! everything closes a gap. A list that a bound cut off opens one and never closes anything; of what it
//! leaves out the tags that are known are asked for by name, so that nobody hides a move or a deletion behind
//! many new tags. One repository that does not answer holds up none of the others; a registry is given up for
//! now when several in a row do not, and the next poll goes on there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bus_schema::registry::Observation;
use bus_schema::{Digest, ImageRepository, Tag, TraceParent};
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::agent::{Agent, Applied, SayError, Unless, Watched};
use crate::api::error::{ApiError, found};
use crate::api::lists;
use crate::api::manifest::Manifest;
use crate::change::{Change, Deleted, Pushed, Seen};
use crate::media_type::Content;
use crate::settings::Poll;
use crate::state::{Batch, RepositoryRecord, WholePoll};
use crate::tags::TagState;

mod denied;
mod pace;
mod repositories;

use denied::Denied;
use pace::Pace;
use repositories::{ToPoll, begin_where_the_last_ended, go_on_at};

/// A deleted tag is remembered this long, so that one that comes back is known to have moved.
const DELETED_KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);

/// After so many repositories in a row without an answer it is the registry that does not answer.
const UNANSWERED_MAX: usize = 3;

/// A poll could not be finished.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PollError {
    #[error("the registry could not be read")]
    Registry(#[from] ApiError),
    #[error(transparent)]
    Say(#[from] SayError),
    #[error("stopped")]
    Stopped,
}

/// What a poll found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Polled {
    pub(crate) repositories: usize,
    pub(crate) changes: usize,
    /// Nothing was cut off or left out.
    pub(crate) is_complete: bool,
}

/// Polls one registry until `stop`.
pub(crate) async fn run(
    agent: &Arc<Agent>,
    watched: &Watched,
    poll: &Poll,
    stop: &CancellationToken,
) -> Result<(), SayError> {
    let registry = watched.settings.host.as_str();
    let mut failures = 0_u32;
    loop {
        let (wait, asked_for) = match once(agent, watched, poll, stop).await {
            Ok(polled) => {
                failures = 0;
                agent.metrics.polled();
                tracing::debug!(
                    registry,
                    repositories = polled.repositories,
                    changes = polled.changes,
                    "polled"
                );
                (poll.interval, Duration::ZERO)
            }
            Err(PollError::Stopped) => return Ok(()),
            Err(PollError::Say(error)) => return Err(error),
            Err(PollError::Registry(error)) => {
                failures += 1;
                agent.metrics.poll_failed();
                tracing::warn!(registry, error = %error, failures, "failed to poll a registry");
                let asked_for = error.retry_after().unwrap_or_default();
                (agent.backoff(failures, None).max(asked_for), asked_for)
            }
        };
        // Whatever comes meanwhile, a registry is left alone for as long as it asks.
        let soon = async {
            tokio::time::sleep(asked_for).await;
            watched.poll_soon.notified().await;
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = soon => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// One poll of everything.
pub(crate) async fn once(
    agent: &Arc<Agent>,
    watched: &Watched,
    poll: &Poll,
    stop: &CancellationToken,
) -> Result<Polled, PollError> {
    let began = Timestamp::now();
    let host = watched.settings.host.clone();
    let begin = move |batch: &mut Batch<'_>| Ok((batch.next_poll()?, batch.registry(&host)?.whole_poll));
    let (sequence, last_whole) = agent.state.write(begin).await.map_err(SayError::State)?;
    let pace = Pace::new(poll.requests_per_second, stop.clone());
    let polling = Polling { agent, watched, poll, sequence, pace: &pace };
    let ToPoll { mut repositories, listed, mut is_complete } = polling.repositories().await?;
    let patterns: Vec<String> = poll.patterns.iter().map(ToString::to_string).collect();
    // What the list holds now, and a list that was gone through to its end did not, is new since then.
    let last_whole = last_whole.filter(|whole| whole.patterns == patterns).map(|whole| whole.began);
    let absent_at = |repository| last_whole.filter(|_| listed.contains(repository));
    if !is_complete {
        crate::report::cut_off(agent, watched, began).await?;
    }
    if repositories.is_empty() {
        watched.client.ping().await?;
    }
    begin_where_the_last_ended(watched, &mut repositories);
    let (mut changes, mut failed, mut unanswered) = (0, None, 0);
    let (mut has_read_others, mut denied) = (false, Vec::new());
    for (place, repository) in repositories.iter().enumerate() {
        let error = match polling.repository(repository, absent_at(repository)).await {
            Ok(OfOne::Read(of_one)) => {
                changes += of_one.changes;
                is_complete &= of_one.is_complete;
                has_read_others = true;
                unanswered = 0;
                continue;
            }
            Ok(OfOne::Denied(error)) => {
                denied.push(Denied { repository: repository.clone(), error });
                unanswered = 0;
                continue;
            }
            // What is wrong with one repository hides nothing in the others.
            Err(PollError::Registry(error)) if !error.is_of_the_whole_registry() => error,
            Err(error) => {
                go_on_at(watched, Some(repository));
                return Err(error);
            }
        };
        let (registry, name) = (repository.registry(), repository.name());
        tracing::warn!(registry, repository = name, error = %error, "failed to poll a repository");
        unanswered = if error.is_no_answer() { unanswered + 1 } else { 0 };
        if unanswered >= UNANSWERED_MAX {
            go_on_at(watched, repositories.get(place + 1));
            return Err(error.into());
        }
        failed.get_or_insert(error);
    }
    let of_denied = polling.first_failure(denied, began, has_read_others).await?;
    if let Some(error) = failed.or(of_denied) {
        return Err(error.into());
    }
    if is_complete {
        crate::report::covered(agent, watched, WholePoll { began, patterns }).await?;
    }
    Ok(Polled { repositories: repositories.len(), changes, is_complete })
}

/// Keeps the first failure that is about one tag; one tag that cannot be read hides nothing in the others.
fn keep_of_one(error: PollError, failed: &mut Option<ApiError>) -> Result<(), PollError> {
    match error {
        PollError::Registry(error) if error.is_of_one_tag() => {
            failed.get_or_insert(error);
            Ok(())
        }
        error => Err(error),
    }
}

struct Polling<'a> {
    agent: &'a Arc<Agent>,
    watched: &'a Watched,
    poll: &'a Poll,
    sequence: u64,
    pace: &'a Pace,
}

/// What came of one repository.
enum OfOne {
    Read(Polled),
    /// Its list is denied.
    Denied(ApiError),
}

/// A tag that is not as it is known.
struct Difference {
    tag: Tag,
    known: Option<TagState>,
    /// What it points at; absent when it is not listed, or not there.
    digest: Option<Digest>,
}

impl Polling<'_> {
    /// `absent_at`: a time at which the registry's list did not hold it, if nothing else is known of it.
    async fn repository(
        &self,
        repository: &ImageRepository,
        absent_at: Option<Timestamp>,
    ) -> Result<OfOne, PollError> {
        let began = Timestamp::now();
        let of = repository.clone();
        let read = move |view: &crate::state::View| Ok((view.repository(&of)?, view.tags_of(&of)?));
        let (record, known) = self.agent.state.read(read).await.map_err(SayError::State)?;
        let not_before = record.changed_after(absent_at);
        self.pace.wait().await?;
        let listed = match found(lists::tags(&self.watched.client, repository, self.poll.tags_max).await) {
            Err(error @ ApiError::Denied { .. }) => return Ok(OfOne::Denied(error)),
            listed => listed?,
        };
        // A repository that does not exist has no tags; each known one is asked for before it counts as deleted.
        if listed.is_none() {
            self.pace.wait().await?;
            self.watched.client.check_is_there().await?;
        }
        let is_longer = listed.as_ref().is_some_and(|listed| listed.cut);
        let is_cut = is_longer || listed.as_ref().is_some_and(|listed| listed.unreadable > 0);
        if is_cut {
            let (registry, name) = (repository.registry(), repository.name());
            tracing::warn!(registry, repository = name, "a list of tags is cut off or holds what is no tag");
        }
        if is_longer && record.open_gap.is_none() {
            crate::report::cut_off_in(self.agent, repository, not_before.unwrap_or(began)).await?;
        }
        let tags = listed.map(|listed| listed.entries).unwrap_or_default();
        let mut failed = None;
        let known = known.into_iter().collect();
        let differences = self.differences(repository, tags, known, is_cut, &mut failed).await?;
        if !differences.is_empty() && self.watched.settings.notification_authorization.is_some() {
            self.pace.sleep(self.agent.tuning.poll_grace).await?;
        }
        let mut changes = 0;
        for difference in differences {
            match self.settle(repository, difference, not_before).await {
                Ok(is_change) => changes += usize::from(is_change),
                Err(error) => keep_of_one(error, &mut failed)?,
            }
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        self.finish(repository, began, is_cut).await?;
        Ok(OfOne::Read(Polled { repositories: 1, changes, is_complete: !is_cut }))
    }

    /// Asks what every listed tag points at, and every known one where the list does not tell which are gone.
    async fn differences(
        &self,
        repository: &ImageRepository,
        tags: Vec<Tag>,
        mut known: BTreeMap<Tag, TagState>,
        is_cut: bool,
        failed: &mut Option<ApiError>,
    ) -> Result<Vec<Difference>, PollError> {
        let mut differences = Vec::new();
        for tag in tags {
            let before = known.remove(&tag);
            let asked = self.asked(repository, tag, before, failed).await?;
            // Not there any more is what the next poll's list says.
            differences.extend(asked.filter(|asked| asked.digest.is_some()));
        }
        for (tag, state) in known {
            if is_cut {
                differences.extend(self.asked(repository, tag, Some(state), failed).await?);
            } else if state.points_at.is_some() {
                differences.push(Difference { tag, known: Some(state), digest: None });
            }
        }
        Ok(differences)
    }

    /// How a tag differs from what is known of it, if it does and can be asked for.
    async fn asked(
        &self,
        repository: &ImageRepository,
        tag: Tag,
        known: Option<TagState>,
        failed: &mut Option<ApiError>,
    ) -> Result<Option<Difference>, PollError> {
        self.pace.wait().await?;
        let digest = match found(self.watched.client.tag_digest(repository, &tag).await) {
            Ok(digest) => digest,
            Err(error) => {
                keep_of_one(error.into(), failed)?;
                return Ok(None);
            }
        };
        let is_as_known = digest == known.as_ref().and_then(|state| state.points_at);
        Ok((!is_as_known).then_some(Difference { tag, known, digest }))
    }

    /// Asks once more, and makes it a change if nobody has told it in the meantime.
    async fn settle(
        &self,
        repository: &ImageRepository,
        difference: Difference,
        not_before: Option<Timestamp>,
    ) -> Result<bool, PollError> {
        let Difference { tag, known, .. } = difference;
        let (of, asked) = (repository.clone(), tag.clone());
        let current =
            self.agent.state.read(move |view| view.tag(&of, &asked)).await.map_err(SayError::State)?;
        if current != known {
            return Ok(false);
        }
        self.pace.wait().await?;
        let digest = found(self.watched.client.tag_digest(repository, &tag).await)?;
        if digest == known.as_ref().and_then(|state| state.points_at) {
            return Ok(false);
        }
        let change = match (digest, difference.digest) {
            (Some(digest), _) => self.push(repository, &tag, digest).await?,
            (None, None) => {
                let was = known.as_ref().and_then(|state| state.points_at);
                let what = was.map_or(Deleted::Tag(tag.clone()), |was| Deleted::TagOf(tag.clone(), was));
                Change::Deleted { repository: repository.clone(), what, actor: None }
            }
            // Listed a moment ago and gone now: the next poll's list decides.
            (None, Some(_)) => return Ok(false),
        };
        let now = Timestamp::now();
        let observation = Observation::Poll {
            sequence: self.sequence,
            previous: known.as_ref().and_then(|state| state.image),
            not_before,
            not_after: now,
        };
        let trace = TraceParent::derive([
            "registry poll",
            &repository.to_string(),
            tag.as_str(),
            &self.sequence.to_string(),
        ]);
        self.agent.publisher.metrics().seen("poll");
        let unless = Unless { tag, is_no_longer: known };
        let seen = Seen { change, observation, at: now };
        Ok(self.agent.change(seen, Some(unless), trace).await? == Applied::Now)
    }

    async fn push(
        &self,
        repository: &ImageRepository,
        tag: &Tag,
        digest: Digest,
    ) -> Result<Change, PollError> {
        self.pace.wait().await?;
        let manifest: Option<Manifest> = match self.watched.client.manifest(repository, &digest).await {
            Ok(manifest) => Some(manifest),
            // What cannot be read is still something that the tag points at.
            Err(error) if error.is_of_one_tag() => None,
            Err(error) => return Err(error.into()),
        };
        let media_type = manifest.as_ref().map(|manifest| manifest.media_type.clone());
        Ok(Change::Pushed(Pushed {
            repository: repository.clone(),
            digest,
            media_type: media_type.filter(|text| !text.is_empty()),
            tag: Some(tag.clone()),
            content: manifest.as_ref().map_or(Content::Image, Manifest::content),
            actor: None,
            client: None,
        }))
    }

    /// Forgets tags that were deleted long ago, and notes that the repository was read.
    async fn finish(
        &self,
        repository: &ImageRepository,
        began: Timestamp,
        is_cut: bool,
    ) -> Result<(), PollError> {
        let of = repository.clone();
        let tags = self.agent.state.read(move |view| view.tags_of(&of)).await.map_err(SayError::State)?;
        let long_ago = began.checked_sub(DELETED_KEPT).unwrap_or(Timestamp::MIN);
        let old: Vec<Tag> = tags
            .into_iter()
            .filter(|(_, state)| state.points_at.is_none() && state.at < long_ago)
            .map(|(tag, _)| tag)
            .collect();
        let (agent, of) = (self.agent.clone(), repository.clone());
        let write = self.agent.state.write(move |batch| {
            for tag in &old {
                batch.forget_tag(&of, tag)?;
            }
            let mut record = RepositoryRecord { denied: None, ..batch.repository(&of)? };
            if !is_cut {
                record.polled_at = Some(began);
                agent.close_gap(batch, &mut record.open_gap, &of.to_string())?;
            }
            batch.put_repository(&of, &record)
        });
        Ok(write.await.map_err(SayError::State)?)
    }
}
