//! The agent as a process runs it: opened once, then run, again where it fails.
//!
//! In: settings and a place in a process. Out: a loop that follows one cluster until the stop. Until the API server
//! has said which cluster it is, the agent reports that it lives and nothing else.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bus_schema::ClusterId;
use fleet_runtime::agent::AgentContext;
use fleet_runtime::health::Check;
use fleet_runtime::publisher::Publisher;
use fleet_runtime::run::Supervised;
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::coverage::{CoverageError, CoverageFile};
use crate::epoch::{Epoch, seconds_since};
use crate::following::{Following, FollowingError, Parts};
use crate::gaps::Gaps;
use crate::kubernetes::api::Api;
use crate::kubernetes::connect::connect;
use crate::metrics::Metrics;
use crate::report::{Heartbeat, Report, ReportError};
use crate::settings::Settings;

const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The agent, opened: nothing runs yet.
#[derive(Clone, Debug)]
pub struct ClusterAgent {
    settings: Arc<Settings>,
    publisher: Publisher,
    metrics: Metrics,
    folder: PathBuf,
    epoch: Epoch,
}

/// Why the agent cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("failed to make the folder {path}")]
    Folder { path: String, source: std::io::Error },
    #[error("the agent's folder cannot be used")]
    Coverage(#[from] CoverageError),
}

impl ClusterAgent {
    /// Makes the agent's folder where it is not there.
    pub fn open(settings: Settings, context: &AgentContext) -> Result<ClusterAgent, OpenError> {
        let folder = context.data.clone();
        std::fs::create_dir_all(&folder)
            .map_err(|source| OpenError::Folder { path: folder.display().to_string(), source })?;
        CoverageFile::in_folder(&folder).check_format()?;
        let publisher = context.publisher.clone();
        let metrics = Metrics::new(publisher.metrics().clone());
        let epoch = Epoch::begin(Timestamp::now());
        Ok(ClusterAgent { settings: Arc::new(settings), publisher, metrics, folder, epoch })
    }

    /// Follows the cluster until the stop. Made to be supervised: it fails where our own bus or disk does, and can be
    /// run again. An API server that does not answer is waited for.
    pub async fn run(&self, given: Supervised) -> anyhow::Result<()> {
        let api = connect(&self.settings).await?;
        match self.follow(api, &given).await {
            // What was not said is found again at the next start.
            Err(FollowingError::Report(ReportError::Stopped)) => Ok(()),
            result => Ok(result?),
        }
    }

    pub(crate) async fn follow(&self, api: Api, given: &Supervised) -> Result<(), FollowingError> {
        let Supervised { stop, check } = given;
        let report = Report::new(self.publisher.clone(), self.metrics.clone(), stop.clone());
        let Some(cluster) = self.identify(&api, &report, check, stop).await? else { return Ok(()) };
        tracing::info!(%cluster, cluster_name = self.settings.cluster_name, "following a cluster");
        let file = CoverageFile::in_folder(&self.folder);
        let gaps = Gaps::read(file, report.agent().clone(), cluster.clone(), self.epoch.clone())?;
        let parts = Parts {
            settings: Arc::clone(&self.settings),
            api,
            cluster,
            report,
            gaps,
            check: check.clone(),
            epoch: self.epoch.clone(),
        };
        Box::pin(Following::new(parts).run(stop)).await
    }

    /// Asks which cluster it is until the server says so; nothing at the stop.
    async fn identify(
        &self,
        api: &Api,
        report: &Report,
        check: &Check,
        stop: &CancellationToken,
    ) -> Result<Option<ClusterId>, ReportError> {
        let mut pause = PAUSE_MIN;
        let mut reported: Option<Instant> = None;
        loop {
            let asked = tokio::select! {
                asked = api.cluster_id() => asked,
                () = stop.cancelled() => return Ok(None),
            };
            let error = match asked {
                Ok(cluster) => return Ok(Some(cluster)),
                Err(error) => fleet_runtime::error_chain(&error),
            };
            tracing::warn!(
                error,
                pause_ms = pause.as_millis(),
                "the cluster cannot be identified, asking again"
            );
            check.failing(format!("the cluster cannot be identified: {error}"));
            if reported.is_none_or(|at| at.elapsed() >= self.settings.report_interval) {
                let lag_seconds = seconds_since(self.epoch.began_at(), Timestamp::now());
                let interval = self.settings.report_interval;
                report
                    .heartbeat(&self.epoch, Heartbeat { coverage: Vec::new(), interval, lag_seconds })
                    .await?;
                reported = Some(Instant::now());
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
                () = stop.cancelled() => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests;
