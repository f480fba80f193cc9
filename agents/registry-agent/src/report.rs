//! What the agent says about itself: that it lives, what it covers since when, and when it was not watching.
//!
//! In: the state and the clock. Out: `agent.reported` at intervals, `agent.gap` when the agent was down for
//! long, leaves a repository out or does not read a list to its end, and again when a whole poll has found
//! what was missed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bus_schema::fleet::{AgentGap, AgentReported, Coverage};
use bus_schema::{Event, ImageRepository};
use fleet_runtime::heartbeat::interval_seconds;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::agent::{Agent, SayError, Watched};
use crate::state::{Batch, OpenGap, RegistryRecord, StateError, WholePoll};

/// The agent's kind, as its heartbeat says it.
const KIND: &str = "registry";

/// Notes, before anything else, in which registries something may have been missed since the last process. A loop that begins
/// again has missed nothing: what came meanwhile was taken in, whatever the clock says of the time.
pub(crate) async fn begin(agent: &Arc<Agent>) -> Result<(), SayError> {
    if !agent.has_begun.load(Ordering::Relaxed) {
        let own = agent.clone();
        agent.state.write(move |batch| own.note_gaps(batch, Timestamp::now())).await?;
        agent.has_begun.store(true, Ordering::Relaxed);
    }
    agent.say_waiting().await
}

/// A poll has read everything: coverage begins or goes on, and a gap is closed.
pub(crate) async fn covered(agent: &Arc<Agent>, watched: &Watched, poll: WholePoll) -> Result<(), SayError> {
    let (own, host) = (agent.clone(), watched.settings.host.clone());
    agent.state.write(move |batch| own.note_covered(batch, &host, poll)).await?;
    agent.say_waiting().await
}

/// The poll that began at `began` does not read all repositories of a registry.
pub(crate) async fn cut_off(agent: &Arc<Agent>, watched: &Watched, began: Timestamp) -> Result<(), SayError> {
    let (own, host) = (agent.clone(), watched.settings.host.clone());
    agent.state.write(move |batch| own.note_cut_off(batch, &host, began)).await?;
    agent.say_waiting().await
}

/// A poll does not read all tags of a repository: something of it may be missed, at the earliest since then.
pub(crate) async fn cut_off_in(
    agent: &Arc<Agent>,
    repository: &ImageRepository,
    since: Timestamp,
) -> Result<(), SayError> {
    let (own, of) = (agent.clone(), repository.clone());
    let reason = "the repository's list of tags is longer than is read";
    agent.state.write(move |batch| own.note_missed(batch, &of, since, reason)).await?;
    agent.say_waiting().await
}

/// Reports until `stop`.
pub(crate) async fn run(agent: &Arc<Agent>, stop: &CancellationToken) -> Result<(), SayError> {
    loop {
        let sequence = agent.reports.load(Ordering::Relaxed) + 1;
        let event = agent.heartbeat(sequence).await?;
        let now = Timestamp::now();
        match agent.publisher.publish(&agent.publisher.envelope(now, None, event)).await {
            Ok(_) => agent.reports.store(sequence, Ordering::Relaxed),
            // The next report has the same number, so that none is missing.
            Err(error) => {
                tracing::warn!(error = fleet_runtime::error_chain(&error), "failed to publish the heartbeat");
            }
        }
        // What a failing bus left behind is said as soon as it works again.
        if let Err(error) = agent.say_waiting().await {
            tracing::warn!(error = fleet_runtime::error_chain(&error), "events wait for the bus");
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(agent.tuning.report_interval) => {}
        }
    }
}

impl Agent {
    fn note_gaps(&self, batch: &mut Batch<'_>, now: Timestamp) -> Result<(), StateError> {
        for (host, watched) in &self.registries {
            let mut record = batch.registry(host)?;
            let was_down = record.alive_at.is_some_and(|alive_at| {
                now.duration_since(alive_at).unsigned_abs() > self.tuning.gap_after && alive_at < now
            });
            if let (true, Some(from)) = (was_down, record.alive_at) {
                let reason = "the agent was not running";
                self.open_gap(batch, &mut record.open_gap, host, from, now, reason)?;
            }
            record.alive_at = Some(now);
            if watched.settings.poll.is_none() {
                // Nothing will ever find what was missed: coverage begins anew.
                if record.open_gap.take().is_some() {
                    record.covered_since = Some(now);
                }
                record.covered_since.get_or_insert(now);
            }
            batch.put_registry(host, &record)?;
        }
        Ok(())
    }

    fn note_covered(&self, batch: &mut Batch<'_>, host: &str, poll: WholePoll) -> Result<(), StateError> {
        let mut record = batch.registry(host)?;
        record.covered_since.get_or_insert(poll.began);
        record.whole_poll = Some(poll);
        self.close_gap(batch, &mut record.open_gap, host)?;
        batch.put_registry(host, &record)
    }

    fn note_cut_off(&self, batch: &mut Batch<'_>, host: &str, began: Timestamp) -> Result<(), StateError> {
        let mut record = batch.registry(host)?;
        if record.open_gap.is_some() {
            return Ok(());
        }
        let from = record.whole_poll.as_ref().map_or(began, |poll| poll.began);
        let reason = "the registry's list of repositories is longer than is read";
        self.open_gap(batch, &mut record.open_gap, host, from, Timestamp::now(), reason)?;
        batch.put_registry(host, &record)
    }

    /// Something of a repository is not read since its last whole poll, or `otherwise`. What it was before is kept: a tag
    /// of it that comes back with other content has moved.
    pub(crate) fn note_missed(
        &self,
        batch: &mut Batch<'_>,
        repository: &ImageRepository,
        otherwise: Timestamp,
        reason: &str,
    ) -> Result<(), StateError> {
        let mut record = batch.repository(repository)?;
        if record.open_gap.is_some() {
            return Ok(());
        }
        let (scope, from) = (repository.to_string(), record.polled_at.unwrap_or(otherwise));
        self.open_gap(batch, &mut record.open_gap, &scope, from, Timestamp::now(), reason)?;
        batch.put_repository(repository, &record)
    }

    /// Opens the gap of a registry or repository, unless it is open. The caller writes its record.
    fn open_gap(
        &self,
        batch: &mut Batch<'_>,
        open: &mut Option<OpenGap>,
        scope: &str,
        from: Timestamp,
        until: Timestamp,
        reason: &str,
    ) -> Result<(), StateError> {
        if open.is_none() {
            let gap = self.gap(from);
            batch.say(&self.envelope_of_gap(scope, &gap, until, Some(reason)))?;
            *open = Some(gap);
        }
        Ok(())
    }

    /// A poll has read all of a registry or repository. The caller writes its record.
    pub(crate) fn close_gap(
        &self,
        batch: &mut Batch<'_>,
        open: &mut Option<OpenGap>,
        scope: &str,
    ) -> Result<(), StateError> {
        if let Some(gap) = open.take() {
            batch.say(&self.envelope_of_gap(scope, &gap, Timestamp::now(), None))?;
        }
        Ok(())
    }

    fn gap(&self, from: Timestamp) -> OpenGap {
        let sequence = self.gaps.fetch_add(1, Ordering::Relaxed) + 1;
        OpenGap { epoch: self.epoch, sequence, from }
    }

    /// A gap in a registry or repository, for the reason `open_for`, or found again.
    fn envelope_of_gap(
        &self,
        scope: &str,
        gap: &OpenGap,
        until: Timestamp,
        open_for: Option<&str>,
    ) -> bus_schema::Envelope {
        let event = Event::AgentGap(AgentGap {
            agent: self.publisher.agent().clone(),
            epoch: gap.epoch,
            sequence: gap.sequence,
            scope: scope.to_owned(),
            reason: open_for.unwrap_or("a poll has read everything since").to_owned(),
            from: gap.from,
            until,
            recovered: open_for.is_none(),
        });
        self.publisher.envelope(until, None, event)
    }

    /// The heartbeat, and with it the note that the agent was watching now.
    async fn heartbeat(self: &Arc<Self>, sequence: u64) -> Result<Event, SayError> {
        let now = Timestamp::now();
        let own = self.clone();
        let records: Vec<(String, RegistryRecord)> = self
            .state
            .write(move |batch| {
                let mut records = Vec::new();
                for host in own.registries.keys() {
                    let mut record = batch.registry(host)?;
                    record.alive_at = Some(now);
                    batch.put_registry(host, &record)?;
                    records.push((host.clone(), record));
                }
                Ok(records)
            })
            .await?;
        let (waiting, oldest) = self.state.read(|view| view.look_ups_waiting()).await?;
        self.metrics.set_look_ups_waiting(waiting);
        let lag = oldest.map_or(0, |oldest| u64::try_from(now.duration_since(oldest).as_secs()).unwrap_or(0));
        self.publisher.metrics().set_lag_seconds(lag);
        let coverage = records
            .into_iter()
            .filter_map(|(scope, record)| Some(Coverage { scope, since: record.covered_since? }))
            .collect();
        Ok(Event::AgentReported(AgentReported {
            agent: self.publisher.agent().clone(),
            kind: KIND.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: self.epoch,
            sequence,
            interval_seconds: Some(interval_seconds(self.tuning.report_interval)),
            coverage,
            lag_seconds: lag,
            events_published: self.publisher.metrics().published_total(),
            dead_lettered: self.publisher.metrics().dead_lettered_total(),
            api_budget_left: None,
            reported_at: now,
        }))
    }
}
