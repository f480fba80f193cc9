//! The agent's loop: what was seen in the cluster becomes events, and at intervals an inventory and a report.
//!
//! In: one closed set of inputs: pods seen, an inventory made, the time to report, the stop. Out: durable events. The
//! state changes here only, one input after the other.

mod batch;
mod lists;
mod scopes;

use std::sync::Arc;
use std::time::Duration;

use bus_schema::cluster::InventoryObserved;
use bus_schema::{ClusterId, Event};
use fleet_runtime::health::Check;
use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::coverage::CoverageError;
use crate::epoch::Epoch;
use crate::gaps::Gaps;
use crate::kubernetes::api::Api;
use crate::kubernetes::owners::Owners;
use crate::kubernetes::survey::{Survey, SurveyError, Surveyor};
use crate::kubernetes::tracker::{TooManyPods, Tracker};
use crate::kubernetes::translate::Dated;
use crate::kubernetes::watch::{ScopeSeen, Tools, follow};
use crate::report::{Heartbeat, Report, ReportError};
use crate::settings::Settings;
use lists::TakenList;
use scopes::Scopes;

/// What was seen and waits to be said; the connection to the server waits with it.
const SEEN_QUEUED_MAX: usize = 1024;
/// How much of it is taken at once.
const SEEN_AT_ONCE: usize = 128;
/// How many pages of the followers' lists are in memory at once, however many scopes there are.
const LISTED_PAGES_MAX: usize = 1;
/// A failed inventory is made again after this, or after the interval where that is shorter.
const INVENTORY_RETRY: Duration = Duration::from_secs(30);
/// An inventory that was not due is made this long after the one before at the earliest.
const INVENTORY_PAUSE: Duration = Duration::from_secs(10);

/// Why the loop ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowingError {
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error(transparent)]
    Coverage(#[from] CoverageError),
    #[error(transparent)]
    TooManyPods(#[from] TooManyPods),
    #[error("a task ended by itself")]
    Task(#[from] JoinError),
    #[error("nobody follows the pods any more")]
    NoFollower,
}

/// What the loop is made from.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) settings: Arc<Settings>,
    pub(crate) api: Api,
    pub(crate) cluster: ClusterId,
    pub(crate) report: Report,
    pub(crate) gaps: Gaps,
    pub(crate) check: Check,
    pub(crate) epoch: Epoch,
}

/// The loop's state.
#[derive(Debug)]
pub(crate) struct Following {
    settings: Arc<Settings>,
    cluster: ClusterId,
    owners: Arc<Owners<Api>>,
    surveyor: Surveyor,
    report: Arc<Report>,
    gaps: Gaps,
    check: Check,
    epoch: Epoch,
    tracker: Tracker,
    scopes: Scopes,
    /// By scope.
    lists: Vec<TakenList>,
    /// When the next inventory is due; absent until everything is listed.
    inventory_due: Option<Instant>,
    inventory_made: Option<Instant>,
}

impl Following {
    pub(crate) fn new(parts: Parts) -> Following {
        let Parts { settings, api, cluster, report, gaps, check, epoch } = parts;
        let owners = Arc::new(Owners::new(api.clone(), &settings.owner_kinds));
        let surveyor = Surveyor {
            api,
            owners: Arc::clone(&owners),
            scopes: settings.scopes.clone(),
            limits: settings.list_limits,
            cluster: cluster.clone(),
            cluster_name: settings.cluster_name.clone(),
        };
        Following {
            tracker: Tracker::new(
                settings.cluster_name.clone(),
                settings.scopes.len(),
                settings.list_limits.pods_max,
            ),
            scopes: Scopes::new(settings.scopes.len(), epoch.began_at()),
            lists: vec![TakenList::default(); settings.scopes.len()],
            cluster,
            owners,
            surveyor,
            report: Arc::new(report),
            gaps,
            check,
            epoch,
            settings,
            inventory_due: None,
            inventory_made: None,
        }
    }

    /// Runs until `stop`.
    pub(crate) async fn run(mut self, stop: &CancellationToken) -> Result<(), FollowingError> {
        let (sender, mut seen) = mpsc::channel(SEEN_QUEUED_MAX);
        let tools = Tools {
            api: self.surveyor.api.clone(),
            limits: self.settings.list_limits,
            pages: Arc::new(Semaphore::new(LISTED_PAGES_MAX)),
            seen: sender,
        };
        let mut followers = JoinSet::new();
        for (index, scope) in self.settings.scopes.iter().enumerate() {
            followers.spawn(follow(tools.clone(), index, scope.clone()));
        }
        drop(tools);
        let mut surveys: JoinSet<SurveyDone> = JoinSet::new();
        let mut report_due = tokio::time::interval(self.settings.report_interval);
        report_due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut batch: Vec<ScopeSeen> = Vec::new();
        loop {
            let inventory_due = self.inventory_due.filter(|_| surveys.is_empty());
            tokio::select! {
                () = stop.cancelled() => break,
                taken = seen.recv_many(&mut batch, SEEN_AT_ONCE) => match taken {
                    0 => return Err(FollowingError::NoFollower),
                    _ => self.take(std::mem::take(&mut batch)).await?,
                },
                Some(done) = surveys.join_next(), if !surveys.is_empty() => self.surveyed(done?).await?,
                () = sleep_until(inventory_due), if inventory_due.is_some() => self.begin_survey(&mut surveys),
                _ = report_due.tick() => self.say_report().await?,
                Some(ended) = followers.join_next() => {
                    ended?;
                    return Err(FollowingError::NoFollower);
                }
            }
        }
        if let Some(seen_until) = self.scopes.seen_until() {
            self.gaps.seen_until(seen_until).await?;
        }
        Ok(())
    }

    /// Says what this inventory found, in a task of its own: the watch goes on meanwhile.
    fn begin_survey(&mut self, surveys: &mut JoinSet<SurveyDone>) {
        self.inventory_due = None;
        let (epoch, sequence) = (self.epoch.began_at(), self.epoch.next_inventory());
        let (surveyor, report) = (self.surveyor.clone(), Arc::clone(&self.report));
        surveys.spawn(async move {
            let Survey { observed_at, parts, containers } = surveyor.survey().await?;
            let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
            // One part after the other: the next is made when this one is said.
            for (part, number) in parts.zip(1..=count) {
                let event = InventoryObserved {
                    agent: report.agent().clone(),
                    cluster: surveyor.cluster.clone(),
                    cluster_name: surveyor.cluster_name.clone(),
                    epoch,
                    sequence,
                    part: number,
                    parts: count,
                    after: part.after,
                    until: part.until,
                    containers: part.containers,
                    observed_at,
                };
                let event = Event::InventoryObserved(event);
                report.say(Dated { occurred: observed_at, event }).await?;
            }
            Ok(Surveyed { observed_at, containers, sequence })
        });
    }

    async fn surveyed(&mut self, done: SurveyDone) -> Result<(), FollowingError> {
        let now = Instant::now();
        match done {
            Ok(Surveyed { observed_at, containers, sequence }) => {
                self.report.metrics().inventory_taken();
                tracing::info!(containers, sequence, "published an inventory");
                self.inventory_made = Some(now);
                self.is_due(now + self.settings.inventory_interval);
                for gap in self.gaps.recovered(observed_at) {
                    self.report.say(Dated { occurred: gap.until, event: Event::AgentGap(gap) }).await?;
                }
                self.gaps.close(observed_at).await?;
            }
            Err(SurveyFailure::Survey(error)) => {
                self.report.metrics().inventory_failed();
                let error = fleet_runtime::error_chain(&error);
                tracing::warn!(error, "an inventory failed, nothing of it is said");
                self.is_due(now + INVENTORY_RETRY.min(self.settings.inventory_interval));
            }
            Err(SurveyFailure::Report(error)) => return Err(error.into()),
        }
        Ok(())
    }

    /// Asks for an inventory at `at`, or sooner where one is due sooner.
    fn is_due(&mut self, at: Instant) {
        self.inventory_due = Some(self.inventory_due.map_or(at, |due| due.min(at)));
    }

    /// Asks for an inventory soon, but not for one after the other.
    fn is_due_soon(&mut self) {
        let now = Instant::now();
        let pause = INVENTORY_PAUSE.min(self.settings.inventory_interval);
        self.is_due(self.inventory_made.map_or(now, |made| (made + pause).max(now)));
    }

    async fn say_report(&mut self) -> Result<(), FollowingError> {
        let lag_seconds = self.scopes.lag_seconds(Timestamp::now());
        self.report.metrics().set_lag_seconds(lag_seconds);
        if let Some(seen_until) = self.scopes.seen_until() {
            self.gaps.seen_until(seen_until).await?;
        }
        let interval = self.settings.report_interval;
        let heartbeat = Heartbeat { coverage: self.gaps.covered(), interval, lag_seconds };
        Ok(self.report.heartbeat(&self.epoch, heartbeat).await?)
    }
}

type SurveyDone = Result<Surveyed, SurveyFailure>;

#[derive(Debug)]
struct Surveyed {
    observed_at: Timestamp,
    containers: usize,
    sequence: u64,
}

#[derive(Debug, thiserror::Error)]
enum SurveyFailure {
    #[error(transparent)]
    Survey(#[from] SurveyError),
    #[error(transparent)]
    Report(#[from] ReportError),
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
