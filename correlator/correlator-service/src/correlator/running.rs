//! The parts at work, and their end: one stage after the other, so that what is in hand goes its whole way.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Parts;

/// How long the end waits for what is in the log to be judged.
const SETTLING_MAX: Duration = Duration::from_secs(10);

/// The stops of the parts, in the order in which they end.
#[derive(Debug, Default)]
pub(super) struct Stages {
    /// Taking from the bus, the contracts folder, the API.
    pub(super) taking: CancellationToken,
    pub(super) verifying: CancellationToken,
    /// Publishing, delivering, signing heads.
    pub(super) doing: CancellationToken,
}

/// The parts that run. Dropping it ends them where they are.
#[derive(Debug, Default)]
pub(super) struct Running {
    pub(super) writer: JoinSet<anyhow::Result<()>>,
    pub(super) takers: JoinSet<anyhow::Result<()>>,
    pub(super) verifiers: JoinSet<anyhow::Result<()>>,
    pub(super) doers: JoinSet<anyhow::Result<()>>,
}

impl Running {
    /// Waits for a part that should not end yet.
    pub(super) async fn first_failure(&mut self) -> anyhow::Error {
        let ended = tokio::select! {
            Some(ended) = self.writer.join_next() => ended,
            Some(ended) = self.takers.join_next() => ended,
            Some(ended) = self.verifiers.join_next() => ended,
            Some(ended) = self.doers.join_next() => ended,
        };
        match ended {
            Ok(Ok(())) => anyhow::anyhow!("a part of the correlator ended before the stop"),
            Ok(Err(error)) => error,
            Err(error) => error.into(),
        }
    }

    /// Ends the parts one stage after the other, so that what is in hand goes its whole way.
    pub(super) async fn end(mut self, stages: &Stages, parts: &Parts) -> anyhow::Result<()> {
        stages.taking.cancel();
        let mut first = all(&mut self.takers).await;
        stages.verifying.cancel();
        first = first.and(all(&mut self.verifiers).await);
        if !self.writer.is_empty() {
            wait_until_applied(parts).await;
        }
        stages.doing.cancel();
        first = first.and(all(&mut self.doers).await);
        // Nobody has anything to record any more, so the writer closes the log and ends.
        first.and(all(&mut self.writer).await)
    }
}

async fn all(set: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut first = Ok(());
    while let Some(ended) = set.join_next().await {
        let ended = ended.unwrap_or_else(|error| Err(error.into()));
        if let Err(error) = &ended {
            tracing::warn!(error = format!("{error:#}"), "a part of the correlator failed while it ended");
        }
        first = first.and(ended);
    }
    first
}

async fn wait_until_applied(parts: &Parts) {
    let mut progress = parts.shared.progress.subscribe();
    let head = parts.store.log().head().position;
    let applied = progress.wait_for(|progress| progress.applied >= head);
    if tokio::time::timeout(SETTLING_MAX, applied).await.is_err() {
        tracing::warn!("not everything in the log is judged, the next start does it");
    }
}
