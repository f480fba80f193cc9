//! The head of the evidence log: signed at intervals and published, so that nothing before it can be changed unseen.

use std::sync::Arc;
use std::time::Duration;

use correlator_store::{SignedHead, Store};
use fleet_runtime::bus::Bus;
use fleet_runtime::error_chain;
use fleet_runtime::health::Check;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The bucket and key under which the last signed head is published.
pub(crate) const LOG_BUCKET: &str = "log";
pub(crate) const HEAD_KEY: &str = "head";

/// The signing part.
#[derive(Debug)]
pub(crate) struct Heads {
    pub(crate) store: Arc<Store>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) every: Duration,
    pub(crate) last: Arc<watch::Sender<Option<SignedHead>>>,
}

impl Heads {
    /// Signs until the stop, and once more then.
    pub(crate) async fn run(&self, check: Check, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            match self.sign().await {
                Ok(()) => check.ready(),
                Err(error) => {
                    let reason = format!("{error:#}");
                    check.failing(&reason);
                    tracing::warn!(error = reason, "failed to sign and publish the head of the evidence log");
                }
            }
            if stop.is_cancelled() {
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    async fn sign(&self) -> anyhow::Result<()> {
        let store = Arc::clone(&self.store);
        let head = tokio::task::spawn_blocking(move || {
            let head = store.log().head();
            (head.position > 0).then(|| store.log().sign_head(Timestamp::now())).transpose()
        })
        .await??;
        let Some(head) = head else { return Ok(()) };
        let known = self.last.borrow().as_ref().map(|known| known.position);
        if known == Some(head.position) {
            return Ok(());
        }
        let value = serde_json::to_vec(&head)?;
        let bucket = self.bus.key_value(LOG_BUCKET).await;
        let put = match bucket {
            Ok(bucket) => bucket.put(HEAD_KEY, value.into()).await.map(|_| ()),
            Err(error) => Err(error),
        };
        put.map_err(|error| anyhow::anyhow!("publish the head: {}", error_chain(&error)))?;
        self.last.send_replace(Some(head));
        Ok(())
    }
}
