//! The correlator put together: opened once, run until the stop, ended in order.
//!
//! In: checked settings, and its place in the process. Out: running parts that this owns and awaits. At the stop: nothing
//! more is taken; what is in hand is recorded, judged and carried out; then the log is closed.

mod folder;
mod former;
mod handle;
mod opening;
mod parts;
mod running;
mod supervised;

use std::path::PathBuf;
use std::sync::Arc;

use correlator_store::{Store, StoreError};
use fleet_runtime::bus::{Bus, BusError};
use fleet_runtime::error_chain;
use fleet_runtime::health::Health;
use fleet_runtime::http::{self, HttpError, HttpLimits};
use fleet_runtime::metrics::{AgentMetrics, Metrics};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::consume::{Consume, Taking};
use crate::deliver::Resend;
use crate::heads::{HeadConflict, HeadError};
use crate::metrics::CorrelatorMetrics;
use crate::query::Answers;
use crate::recorder::{self, Desk, OpenTrouble, Recorder, Requests};
use crate::settings::Settings;
use crate::shared::Shared;
use crate::verification::OutcomeCache;
use running::{Running, Stages};

pub use handle::{Handle, Unfinished};

/// Raised whenever the same inputs lead to other records of the ledger: the index is then built anew from the log.
pub(crate) const RECORDS_FORMAT: u32 = 12;

/// The correlator's place in its process.
#[derive(Clone, Debug)]
pub struct Context {
    pub bus: Arc<dyn Bus>,
    /// The folder of the log, the index and the blobs; nobody else writes to it.
    pub data: PathBuf,
    /// The process's metrics.
    pub metrics: Metrics,
    /// The counters of what the correlator publishes.
    pub published: AgentMetrics,
    pub health: Health,
    /// Cancelled when the process is to end.
    pub stop: CancellationToken,
}

/// Why the correlator did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the data folder cannot be opened")]
    Store(#[from] StoreError),
    #[error("the evidence log cannot be applied: {0}")]
    Replay(String),
    #[error("the contracts are not right:{}", problems.iter().map(|problem| format!("\n  {problem}")).collect::<String>())]
    Contracts { problems: Vec<String> },
    #[error(transparent)]
    Head(#[from] Box<HeadConflict>),
    #[error("the published head of the evidence log cannot be compared")]
    HeadUnknown(#[source] HeadError),
    #[error("the bus cannot be read")]
    Bus(#[from] BusError),
    #[error("the API cannot be served")]
    Api(#[from] HttpError),
    #[error("opening was broken off")]
    BrokenOff(#[from] tokio::task::JoinError),
    #[error("{0}")]
    Other(String),
}

impl From<OpenTrouble> for OpenError {
    fn from(trouble: OpenTrouble) -> OpenError {
        OpenError::Replay(error_chain(&trouble))
    }
}

impl From<HeadError> for OpenError {
    fn from(error: HeadError) -> OpenError {
        match error {
            HeadError::Conflict(conflict) => OpenError::Head(conflict),
            HeadError::Bus(error) => OpenError::Bus(error),
            error => OpenError::HeadUnknown(error),
        }
    }
}

/// An open correlator that does not run yet.
#[derive(Debug)]
pub struct Correlator {
    settings: Settings,
    context: Context,
    desk: Desk,
    requests: Requests,
    recorder: Recorder,
    consume: Consume,
    listener: TcpListener,
    parts: Parts,
}

/// What the parts share.
#[derive(Debug, Clone)]
struct Parts {
    store: Arc<Store>,
    shared: Arc<Shared>,
    cache: OutcomeCache,
    metrics: CorrelatorMetrics,
    answers: Answers,
    handle: Handle,
    /// Where people reach the API.
    public_url: url::Url,
}

/// Opens and runs until the stop.
pub async fn run(settings: Settings, context: Context) -> anyhow::Result<()> {
    Correlator::open(settings, context).await?.run().await
}

impl Correlator {
    /// Opens the data folder, applies what the index lacks, loads the contracts and takes its places on the bus and on
    /// loopback. What is wrong is an error here, before anything is taken.
    pub async fn open(settings: Settings, context: Context) -> Result<Correlator, OpenError> {
        let metrics = CorrelatorMetrics::new(&context.metrics);
        settings.alerts.iter().for_each(|alert| metrics.begin_sink(alert.name()));
        let desk = opening::open_desk(&settings, &context, metrics.clone()).await?;
        let (store, shared) = (Arc::clone(desk.store()), Arc::clone(desk.shared()));
        if let Err(error) = former::forget(&context.bus, &settings.agents).await {
            tracing::warn!(
                error = error_chain(&error),
                "failed to look for agents that are no longer listed"
            );
        }
        let (recorder, requests) = Recorder::new();
        let cache = OutcomeCache::new(settings.correlator.verification_cache_bytes_max);
        let taking = Taking {
            data: &context.data,
            bus: &context.bus,
            store: &store,
            shared: &shared,
            recorder: recorder.clone(),
            cache: cache.clone(),
            metrics: metrics.clone(),
        };
        let consume = Consume::open(&settings, taking).await?;
        let listener = http::bind(settings.api.listen).await?;
        let address = listener.local_addr().map_err(|error| OpenError::Other(error.to_string()))?;
        let answers = Answers {
            store: Arc::clone(&store),
            shared: Arc::clone(&shared),
            health: context.health.clone(),
            agents: Arc::new(settings.agents.clone()),
            head: Arc::new(watch::Sender::new(None)),
        };
        let handle = Handle { answers: answers.clone(), address };
        let public_url = match &settings.api.public_url {
            Some(url) => url.clone(),
            None => format!("http://{address}")
                .parse()
                .map_err(|_| OpenError::Other("the API has no URL".to_owned()))?,
        };
        let parts = Parts { store, shared, cache, metrics, answers, handle, public_url };
        Ok(Correlator { settings, context, desk, requests, recorder, consume, listener, parts })
    }

    /// Asks the correlator from within its process. It keeps the data folder open as long as it lives.
    pub fn handle(&self) -> Handle {
        self.parts.handle.clone()
    }

    /// Runs until the stop, or until a part fails that nothing works without.
    pub async fn run(self) -> anyhow::Result<()> {
        let Correlator { settings, context, desk, requests, recorder, consume, listener, parts: shared } =
            self;
        let stages = Stages::default();
        let mut running = Running::default();
        let log_check = context.health.check("log");
        running.writer.spawn(recorder::run(desk, requests, log_check, context.stop.clone()));
        parts::spawn_takers(
            &mut running.takers,
            &settings,
            &context,
            &shared,
            &recorder,
            consume,
            &stages.taking,
        );
        parts::spawn_verification(
            &mut running.verifiers,
            &settings,
            &context,
            &shared,
            &recorder,
            &stages.verifying,
        );
        parts::spawn_doers(&mut running.doers, &settings, &context, &shared, recorder, &stages.doing);
        let resend = Resend::new(&settings.alerts)?;
        let instance = context.health.instance().clone();
        let api = Api::new(&settings.api, instance, shared.answers.clone(), Arc::clone(&context.bus), resend);
        let serving = http::serve(listener, api.router(), HttpLimits::default(), stages.taking.clone());
        running.takers.spawn(async move { serving.await.map_err(anyhow::Error::from) });

        let failed = tokio::select! {
            () = context.stop.cancelled() => None,
            failed = running.first_failure() => Some(failed),
        };
        let ended = running.end(&stages, &shared).await;
        match failed {
            Some(error) => Err(error),
            None => ended,
        }
    }
}
