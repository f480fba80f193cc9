//! A correlator inside this process, on the embedded bus.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use correlator_service::{Context, Correlator, Settings};
use fleet_runtime::bus::Bus;
use fleet_runtime::health::Health;
use fleet_runtime::metrics::{FleetMetrics, Metrics};
use fleet_runtime::settings::{Sources, load};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::load::AGENTS;
use crate::place::Done;

const DONE_WITHIN: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(5);

pub(crate) struct Within {
    bus: Arc<dyn Bus>,
    metrics: Metrics,
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Within {
    /// Starts one on a data folder of its own, by the contracts in the folder.
    pub(crate) async fn start(folder: &Path, round: u64) -> anyhow::Result<Within> {
        let mut text = format!(
            "[api]\nlisten = \"127.0.0.1:0\"\n[correlator]\ncontracts = \"{}\"\n",
            folder.join("contracts").display()
        );
        for agent in AGENTS {
            let kind = agent.trim_end_matches("-agent");
            text += &format!("[[agent]]\nid = \"{agent}\"\nkind = \"{kind}\"\nscopes = [\"**\"]\n");
        }
        let file = folder.join("embedded.toml");
        std::fs::write(&file, text)?;
        let settings: Settings = load(&Sources { file: Some(file), variables: Vec::new() })?;
        let data = folder.join(format!("judged-{round}"));
        let bus = crate::rates::open(&data.join("bus")).await?;
        let metrics = Metrics::new();
        let stop = CancellationToken::new();
        let context = Context {
            bus: Arc::clone(&bus),
            data: data.join("correlator"),
            metrics: metrics.clone(),
            published: FleetMetrics::new(&metrics).agent("correlator"),
            health: Health::default(),
            stop: stop.clone(),
        };
        let correlator = Correlator::open(settings, context).await?;
        let running = tokio::spawn(correlator.run());
        Ok(Within { bus, metrics, stop, running })
    }

    pub(crate) fn bus(&self) -> &Arc<dyn Bus> {
        &self.bus
    }

    pub(crate) async fn judged(&self, events: usize) -> anyhow::Result<()> {
        self.wait_until(|done| done.has_judged(&Done::default(), events)).await
    }

    pub(crate) async fn published(&self) -> anyhow::Result<()> {
        self.wait_until(Done::has_published).await
    }

    async fn wait_until(&self, is_done: impl Fn(&Done) -> bool) -> anyhow::Result<()> {
        let began = Instant::now();
        while !is_done(&Done::read(&self.metrics.text())) {
            ensure!(began.elapsed() < DONE_WITHIN, "the correlator is not done in time");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.running.await??;
        Ok(self.bus.close().await?)
    }
}
