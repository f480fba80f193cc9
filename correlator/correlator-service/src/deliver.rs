//! Tells people: each change of a case to every webhook, at least once, with one id per change.
//!
//! In: the outbox's lane for deliveries. Out: signed requests, a receipt for each end result, a dead letter for what was
//! given up. A decision leaves the outbox when every webhook has an end result for it.

pub(crate) mod address;
mod message;
mod plan;
mod probe;
mod resend;
mod settle;
mod sign;
mod sink;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use correlator_store::{DeliveryOutcome, Lane, OutboxId, Queued, Receipt, Store, Told};
use fleet_runtime::bus::Bus;
use fleet_runtime::health::Check;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::metrics::CorrelatorMetrics;
use crate::recorder::{Record, RecordError, Recorder};
use crate::settings::AlertSettings;
use crate::shared::Shared;
use settle::Settle;

pub use message::{AlertBody, AlertLink, AlertText};
pub use probe::probe_alert;
pub(crate) use resend::{Resend, ResendError};

/// Decisions that one webhook looks at, at once.
const ROWS_MAX: usize = 512;

/// What all webhooks share.
#[derive(Debug, Clone)]
pub(crate) struct Deliver {
    pub(crate) store: Arc<Store>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) recorder: Recorder,
    pub(crate) metrics: CorrelatorMetrics,
    /// Where people reach the API.
    pub(crate) public_url: Url,
    pub(crate) settle: Arc<Settle>,
}

impl Deliver {
    /// The shared part for these webhooks.
    pub(crate) fn settle_for(alerts: &[AlertSettings]) -> Arc<Settle> {
        Arc::new(Settle::new(alerts.iter().map(|alert| alert.name().to_owned()).collect()))
    }

    /// Delivers to one webhook until the stop.
    pub(crate) async fn run(
        self,
        alert: AlertSettings,
        check: Check,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        sink::Sink::new(self, alert)?.run(check, stop).await
    }

    /// Without a webhook nobody is told, and nothing waits for anybody.
    pub(crate) async fn run_without(self, check: Check, stop: CancellationToken) -> anyhow::Result<()> {
        let mut progress = self.shared.progress.subscribe();
        let mut after = None;
        check.ready();
        loop {
            let rows = self.rows(after).await?;
            if let Some(last) = rows.last() {
                after = Some(last.id);
                let receipt = Receipt::Dispatched { lane: Lane::Delivery, through: last.id };
                match self.recorder.record(vec![Record::Receipt(receipt)]).await {
                    Ok(()) => continue,
                    Err(RecordError::Ending) => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
            if stop.is_cancelled() {
                return Ok(());
            }
            tokio::select! {
                changed = progress.changed() => if changed.is_err() { return Ok(()) },
                () = stop.cancelled() => {}
            }
        }
    }

    async fn rows(&self, after: Option<OutboxId>) -> anyhow::Result<Vec<Queued>> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || {
            let index = store.index().map_err(|error| anyhow::anyhow!("{error}"))?;
            Ok(index.snapshot()?.outbox(Lane::Delivery, after, ROWS_MAX)?)
        })
        .await?
    }

    /// The webhooks that have an end result for a decision already.
    async fn known_outcomes(&self, id: OutboxId) -> anyhow::Result<Vec<String>> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || {
            let index = store.index().map_err(|error| anyhow::anyhow!("{error}"))?;
            let deliveries = index.snapshot()?.deliveries(id)?;
            Ok(deliveries.into_iter().map(|delivery| delivery.sink).collect())
        })
        .await?
    }

    /// Records an end result.
    async fn record(
        &self,
        id: OutboxId,
        told: Told,
        sink: &str,
        outcome: DeliveryOutcome,
    ) -> Result<(), RecordError> {
        let settling = self.settle.settling().await;
        let settled = settling.would_settle(id, sink);
        let receipt = Receipt::Delivered { id, told: Some(told), sink: sink.to_owned(), outcome, settled };
        self.recorder.record(vec![Record::Receipt(receipt)]).await?;
        settling.done(id, sink);
        Ok(())
    }
}

/// How long a webhook waits at most before it looks again.
const LOOK_EVERY: Duration = Duration::from_secs(5);
