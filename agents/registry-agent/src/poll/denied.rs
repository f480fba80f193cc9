//! Repositories whose lists the registry denies, poll after poll. A registry that hides what one may not see
//! answers so for one that was deleted, and nothing else would ever take it off the list.
//!
//! In: what one poll was denied. Out: the denials that fail the poll. That of a repository which the settings
//! name always does. One that was only heard of is left out after a while, with a gap of its own, until it is
//! heard of again or may be read: each poll asks for one of those that are left out, and for each that the registry's
//! own list still names. While the registry does not let the agent in at all, nothing is left out.

use bus_schema::ImageRepository;
use jiff::{SignedDuration, Timestamp};

use super::{PollError, Polling};
use crate::agent::SayError;
use crate::api::error::ApiError;
use crate::state::{Batch, Denials, StateError};

/// After how many polls in a row that were denied a repository it is left out,
const POLLS_MIN: u32 = 6;
/// and how long after the first of them at the earliest.
const TIME_MIN: SignedDuration = SignedDuration::from_hours(1);

/// A repository whose list was denied.
pub(super) struct Denied {
    pub(super) repository: ImageRepository,
    pub(super) error: ApiError,
}

impl Polling<'_> {
    /// The first denial that fails the poll which began at `began`.
    pub(super) async fn first_failure(
        &self,
        denied: Vec<Denied>,
        began: Timestamp,
        has_read_others: bool,
    ) -> Result<Option<ApiError>, PollError> {
        if denied.is_empty() {
            return Ok(None);
        }
        let lets_us_in = has_read_others || self.lets_us_in().await?;
        let mut failed = None;
        for Denied { repository, error } in denied {
            if lets_us_in && !self.is_named(&repository) && self.is_left_out(&repository, began).await? {
                continue;
            }
            let (registry, name) = (repository.registry(), repository.name());
            tracing::warn!(registry, repository = name, error = %error, "failed to poll a repository");
            failed.get_or_insert(error);
        }
        Ok(failed)
    }

    async fn lets_us_in(&self) -> Result<bool, PollError> {
        self.pace.wait().await?;
        Ok(self.watched.client.ping().await.is_ok())
    }

    fn is_named(&self, repository: &ImageRepository) -> bool {
        let mut named = self.poll.patterns.iter().filter(|pattern| !pattern.needs_catalog());
        named.any(|pattern| pattern.matches(repository))
    }

    /// Counts one more denial.
    async fn is_left_out(&self, repository: &ImageRepository, began: Timestamp) -> Result<bool, PollError> {
        let (agent, of) = (self.agent.clone(), repository.clone());
        let write = self.agent.state.write(move |batch| {
            let (denials, was_left_out) = count(batch, &of, began)?;
            if denials.is_left_out && !was_left_out {
                let reason = "the registry denies the repository, which is left out";
                agent.note_missed(batch, &of, denials.since, reason)?;
            }
            Ok((denials, was_left_out))
        });
        let (denials, was_left_out) = write.await.map_err(SayError::State)?;
        if denials.is_left_out && !was_left_out {
            let (registry, name) = (repository.registry(), repository.name());
            let Denials { polls, since, .. } = denials;
            tracing::warn!(registry, repository = name, polls, %since, "a repository is denied and left out");
        }
        Ok(denials.is_left_out)
    }
}

/// The denials with this one, and whether the repository was left out before.
fn count(
    batch: &mut Batch<'_>,
    repository: &ImageRepository,
    began: Timestamp,
) -> Result<(Denials, bool), StateError> {
    let mut record = batch.repository(repository)?;
    let was_left_out = record.is_left_out();
    let denials = one_more(record.denied.take(), began);
    record.denied = Some(denials.clone());
    batch.put_repository(repository, &record)?;
    Ok((denials, was_left_out))
}

fn one_more(before: Option<Denials>, began: Timestamp) -> Denials {
    let Denials { since, polls, is_left_out } =
        before.unwrap_or(Denials { since: began, polls: 0, is_left_out: false });
    let polls = polls.saturating_add(1);
    let is_for_long = polls >= POLLS_MIN && began.duration_since(since) >= TIME_MIN;
    Denials { since, polls, is_left_out: is_left_out || is_for_long }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn neither_many_polls_nor_a_long_time_alone_leave_a_repository_out() {
        let left_out_after = |apart: SignedDuration| {
            let mut denials = one_more(None, Timestamp::UNIX_EPOCH);
            while !denials.is_left_out {
                let began = Timestamp::UNIX_EPOCH + apart * i32::try_from(denials.polls).unwrap();
                denials = one_more(Some(denials), began);
            }
            denials.polls
        };
        assert_eq!(left_out_after(SignedDuration::from_hours(24)), 6);
        assert_eq!(left_out_after(SignedDuration::from_mins(5)), 13);
    }
}
