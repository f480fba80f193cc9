//! Which repositories a poll reads, and in which order.
//!
//! In: the settings, the state, and the registry's own list. Out: the repositories that the settings name,
//! then those that the agent knows, then what the list adds, up to a bound: nobody takes the place of what
//! was watched by making many new ones.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use bus_schema::ImageRepository;

use super::{PollError, Polling};
use crate::agent::{SayError, Watched};
use crate::api::lists;
use crate::settings::RepositoryPattern;

/// What is polled.
pub(super) struct ToPoll {
    pub(super) repositories: Vec<ImageRepository>,
    /// What the registry's own list holds of what is looked for.
    pub(super) listed: BTreeSet<ImageRepository>,
    /// That is all that should be.
    pub(super) is_complete: bool,
}

impl Polling<'_> {
    pub(super) async fn repositories(&self) -> Result<ToPoll, PollError> {
        let host = self.watched.settings.host.clone();
        let (patterns, count_max) = (&self.poll.patterns, self.poll.repositories_max);
        let mut is_complete = true;
        let named = patterns.iter().filter(|pattern| !pattern.needs_catalog());
        let named: BTreeSet<_> =
            named.filter_map(|pattern| ImageRepository::new(&host, &pattern.to_string()).ok()).collect();
        let mut listed = BTreeSet::new();
        if patterns.iter().any(RepositoryPattern::needs_catalog) {
            self.pace.wait().await?;
            let found = lists::repositories(&self.watched.client, count_max).await?;
            is_complete &= !found.cut;
            let matching = found.entries.into_iter();
            listed.extend(matching.filter(|found| patterns.iter().any(|pattern| pattern.matches(found))));
        }
        let known = self.agent.state.read(move |view| view.repositories_to_poll(&host, count_max + 1)).await;
        let known: BTreeSet<_> = known.map_err(SayError::State)?.into_iter().collect();
        let mut wanted = Vec::new();
        let mut taken = BTreeSet::new();
        for repository in named.into_iter().chain(known).chain(listed.iter().cloned()) {
            if taken.insert(repository.clone()) {
                wanted.push(repository);
            }
        }
        if wanted.len() > count_max {
            let registry = self.watched.settings.host.as_str();
            tracing::warn!(registry, repositories_max = count_max, "more repositories than are polled");
            is_complete = false;
            wanted.truncate(count_max);
        }
        Ok(ToPoll { repositories: wanted, listed, is_complete })
    }
}

pub(super) fn begin_where_the_last_ended(watched: &Watched, repositories: &mut [ImageRepository]) {
    let from = watched.poll_from.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(from) = from {
        let place = repositories.iter().position(|repository| *repository == from);
        repositories.rotate_left(place.unwrap_or(0));
    }
}

pub(super) fn go_on_at(watched: &Watched, repository: Option<&ImageRepository>) {
    *watched.poll_from.lock().unwrap_or_else(PoisonError::into_inner) = repository.cloned();
}
