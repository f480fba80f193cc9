//! Heartbeats: what the agent watches and since when, and what it may have missed while it was not there.
//!
//! In: the scopes of the settings. Out: `agent.reported` at intervals, `agent.gap` after a time away. Since when a scope is
//! watched outlives the process: it lies in a file of the agent's own, and is never claimed for a time before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bus_schema::Event;
use bus_schema::fleet::{AgentGap, AgentReported, Coverage};
use fleet_runtime::health::Check;
use fleet_runtime::heartbeat::interval_seconds;
use fleet_runtime::kept_file::{KeptFile, KeptFileError};
use fleet_runtime::publisher::{PublishError, Publisher};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

const FILE_NAME: &str = "forge-coverage.json";
const FORMAT: u32 = 1;
/// The default time between two heartbeats.
pub const REPORT_INTERVAL_SECONDS: u64 = 30;
/// The default time away after which events count as missed: a shorter restart is GitHub's delivery time.
pub const GAP_SECONDS_MIN: u64 = 60;

/// What an agent reports about itself.
#[derive(Debug, Clone)]
pub struct HeartbeatConfig {
    /// `source` or `ci`.
    pub kind: &'static str,
    /// As coverage states them: `github.com/acme`.
    pub scopes: Vec<String>,
    pub interval: Duration,
    pub gap_after: Duration,
    /// The agent's own folder.
    pub folder: PathBuf,
}

/// Why a beat failed.
#[derive(Debug, thiserror::Error)]
enum BeatError {
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    File(#[from] KeptFileError),
    #[error("the writing of the coverage was interrupted")]
    Interrupted,
}

/// Refuses the folder when another version wrote the coverage in it. Touches nothing.
pub fn check_format(folder: &Path) -> Result<(), KeptFileError> {
    file_in(folder).check_format()
}

fn file_in(folder: &Path) -> KeptFile {
    KeptFile::new(folder, FILE_NAME, FORMAT)
}

/// What outlives the process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// Since when each scope is watched.
    since: BTreeMap<String, Timestamp>,
    /// Until when the agent surely was there.
    seen_until: Option<Timestamp>,
}

/// Reports until `stop`. A failing bus is tried again at the next beat; `check` says how it stands.
pub async fn run(
    publisher: Publisher,
    config: HeartbeatConfig,
    budget_left: impl Fn() -> Option<u64> + Send,
    check: Check,
    stop: CancellationToken,
) {
    let mut heart = Heart { epoch: Timestamp::now(), reports: 0, kept: None, publisher, config };
    loop {
        match heart.beat(budget_left()).await {
            Ok(()) => check.ready(),
            Err(error) => {
                let reason = fleet_runtime::error_chain(&error);
                tracing::warn!(reason, "could not report");
                check.failing(reason);
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(heart.config.interval) => {}
        }
    }
    if let Err(error) = heart.stop().await {
        tracing::warn!(reason = %fleet_runtime::error_chain(&error), "could not note the end");
    }
}

struct Heart {
    publisher: Publisher,
    config: HeartbeatConfig,
    epoch: Timestamp,
    /// How many reports are on the bus: a number whose report failed is used again, so that none is missing.
    reports: u64,
    /// Read at the first beat that succeeds.
    kept: Option<Kept>,
}

impl Heart {
    async fn beat(&mut self, api_budget_left: Option<u64>) -> Result<(), BeatError> {
        let mut kept = match &self.kept {
            Some(kept) => kept.clone(),
            None => self.begin().await?,
        };
        if let Some(left) = api_budget_left {
            self.publisher.metrics().set_api_budget_left("core", left);
        }
        let lag_seconds = self.publisher.metrics().take_late_seconds();
        self.publisher.metrics().set_lag_seconds(lag_seconds);
        let now = Timestamp::now();
        kept.seen_until = Some(now);
        self.write(&kept).await?;
        let coverage =
            kept.since.iter().map(|(scope, since)| Coverage { scope: scope.clone(), since: *since });
        let report = AgentReported {
            agent: self.publisher.agent().clone(),
            kind: self.config.kind.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: self.epoch,
            sequence: self.reports + 1,
            interval_seconds: Some(interval_seconds(self.config.interval)),
            coverage: coverage.collect(),
            lag_seconds,
            events_published: self.publisher.metrics().published_total(),
            dead_lettered: self.publisher.metrics().dead_lettered_total(),
            api_budget_left,
            reported_at: now,
        };
        self.kept = Some(kept);
        self.say(Event::AgentReported(report)).await?;
        self.reports += 1;
        Ok(())
    }

    /// What was kept, for the scopes of today; says the gap of the time away before anything else.
    async fn begin(&mut self) -> Result<Kept, BeatError> {
        let file = file_in(&self.config.folder);
        let read = tokio::task::spawn_blocking(move || file.read::<Kept>()).await;
        let old = read.map_err(|_| BeatError::Interrupted)??.unwrap_or_default();
        let scopes = self.config.scopes.clone();
        if let Some(from) = old.seen_until.filter(|seen| self.epoch.duration_since(*seen) > self.gap_after())
        {
            // Counted anew when the beat before failed in the middle: the same gap has the same number.
            for (number, scope) in (1..).zip(scopes.iter().filter(|scope| old.since.contains_key(*scope))) {
                self.say_gap(number, scope.clone(), from).await?;
            }
        }
        let since = |scope: String| (scope.clone(), old.since.get(&scope).copied().unwrap_or(self.epoch));
        Ok(Kept { since: scopes.into_iter().map(since).collect(), seen_until: old.seen_until })
    }

    async fn say_gap(&self, sequence: u64, scope: String, from: Timestamp) -> Result<(), PublishError> {
        let gap = AgentGap {
            agent: self.publisher.agent().clone(),
            epoch: self.epoch,
            sequence,
            scope,
            reason: "the agent was not running: webhooks of that time are lost".to_owned(),
            from,
            until: self.epoch,
            recovered: false,
        };
        self.say(Event::AgentGap(gap)).await
    }

    async fn say(&self, event: Event) -> Result<(), PublishError> {
        let envelope = self.publisher.envelope(Timestamp::now(), None, event);
        self.publisher.publish(&envelope).await.map(|_| ())
    }

    async fn stop(&mut self) -> Result<(), BeatError> {
        let Some(mut kept) = self.kept.clone() else { return Ok(()) };
        kept.seen_until = Some(Timestamp::now());
        self.write(&kept).await
    }

    async fn write(&self, kept: &Kept) -> Result<(), BeatError> {
        let (file, kept) = (file_in(&self.config.folder), kept.clone());
        let written = tokio::task::spawn_blocking(move || file.write(&kept)).await;
        Ok(written.map_err(|_| BeatError::Interrupted)??)
    }

    fn gap_after(&self) -> SignedDuration {
        SignedDuration::try_from(self.config.gap_after).unwrap_or(SignedDuration::MAX)
    }
}
