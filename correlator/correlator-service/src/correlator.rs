//! The correlator put together: opened once, run until the stop, ended in order.
//!
//! In: checked settings, and its place in the process. Out: running parts that this owns and awaits. At the stop: nothing
//! more is taken; what is in hand is recorded, judged and carried out; then the log is closed.

mod handle;
mod supervised;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use correlator_store::{LogSettings, Started, Store, StoreError, StoreSettings};
use fleet_runtime::bus::{Bus, BusError};
use fleet_runtime::error_chain;
use fleet_runtime::health::Health;
use fleet_runtime::http::{self, HttpError, HttpLimits};
use fleet_runtime::metrics::{AgentMetrics, Metrics};
use fleet_runtime::publisher::Publisher;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::consume::Consume;
use crate::contracts::{self, Watch};
use crate::deliver::Deliver;
use crate::dispatch::Dispatch;
use crate::heads::Heads;
use crate::metrics::CorrelatorMetrics;
use crate::query::Answers;
use crate::recorder::{self, Desk, OpenTrouble, Recorder, Requests};
use crate::settings::Settings;
use crate::shared::{ContractProblems, Shared};
use crate::verification::Verification;

pub use handle::{Handle, Unfinished};

/// Raised whenever the same inputs lead to other records of the ledger: the index is then built anew from the log.
const RECORDS_FORMAT: u32 = 1;
/// How long the end waits for what is in the log to be judged.
const SETTLING_MAX: Duration = Duration::from_secs(10);

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
        let desk = open_desk(&settings, &context, metrics.clone()).await?;
        let (store, shared) = (Arc::clone(desk.store()), Arc::clone(desk.shared()));
        let (recorder, requests) = Recorder::new();
        let consume =
            Consume::open(&settings, &context.bus, &store, &shared, recorder.clone(), metrics.clone())
                .await?;
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
        let parts = Parts { store, shared, metrics, answers, handle, public_url };
        Ok(Correlator { settings, context, desk, requests, recorder, consume, listener, parts })
    }

    /// Asks the correlator from within its process. It keeps the data folder open as long as it lives.
    pub fn handle(&self) -> Handle {
        self.parts.handle.clone()
    }

    /// Runs until the stop, or until a part fails that nothing works without.
    pub async fn run(self) -> anyhow::Result<()> {
        let Correlator { settings, context, desk, requests, recorder, consume, listener, parts } = self;
        let stages = Stages::default();
        let mut running = Running::default();
        let log_check = context.health.check("log");
        running.writer.spawn(recorder::run(desk, requests, log_check, context.stop.clone()));
        spawn_takers(&mut running.takers, &settings, &context, &parts, &recorder, consume, &stages.taking);
        spawn_verification(&mut running.verifiers, &settings, &context, &parts, &recorder, &stages.verifying);
        spawn_doers(&mut running.doers, &settings, &context, &parts, recorder, &stages.doing);
        let api = Api::new(&settings.api, parts.answers.clone(), Arc::clone(&context.bus));
        let serving = http::serve(listener, api.router(), HttpLimits::default(), stages.taking.clone());
        running.takers.spawn(async move { serving.await.map_err(anyhow::Error::from) });

        let failed = tokio::select! {
            () = context.stop.cancelled() => None,
            failed = running.first_failure() => Some(failed),
        };
        let ended = running.end(&stages, &parts).await;
        match failed {
            Some(error) => Err(error),
            None => ended,
        }
    }
}

/// The stops of the parts, in the order in which they end.
#[derive(Debug, Default)]
struct Stages {
    /// Taking from the bus, the contracts folder, the API.
    taking: CancellationToken,
    verifying: CancellationToken,
    /// Publishing, delivering, signing heads.
    doing: CancellationToken,
}

/// The parts that run. Dropping it ends them where they are.
#[derive(Debug, Default)]
struct Running {
    writer: JoinSet<anyhow::Result<()>>,
    takers: JoinSet<anyhow::Result<()>>,
    verifiers: JoinSet<anyhow::Result<()>>,
    doers: JoinSet<anyhow::Result<()>>,
}

impl Running {
    /// Waits for a part that should not end yet.
    async fn first_failure(&mut self) -> anyhow::Error {
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
    async fn end(mut self, stages: &Stages, parts: &Parts) -> anyhow::Result<()> {
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

fn spawn_takers(
    takers: &mut JoinSet<anyhow::Result<()>>,
    settings: &Settings,
    context: &Context,
    parts: &Parts,
    recorder: &Recorder,
    consume: Consume,
    stop: &CancellationToken,
) {
    let consume = Arc::new(consume);
    takers.spawn(supervised::run(context.health.check("events"), stop.clone(), move |check, stop| {
        let consume = Arc::clone(&consume);
        async move { consume.run(check, stop).await }
    }));
    let watch = Arc::new(Watch {
        folder: settings.correlator.contracts.clone(),
        every: settings.correlator.contracts_poll,
        recorder: recorder.clone(),
        shared: Arc::clone(&parts.shared),
        metrics: parts.metrics.clone(),
    });
    takers.spawn(supervised::run(context.health.check("contracts"), stop.clone(), move |check, stop| {
        let watch = Arc::clone(&watch);
        async move { watch.run(check, stop).await }
    }));
}

fn spawn_verification(
    verifiers: &mut JoinSet<anyhow::Result<()>>,
    settings: &Settings,
    context: &Context,
    parts: &Parts,
    recorder: &Recorder,
    stop: &CancellationToken,
) {
    let verification = Arc::new(Verification {
        store: Arc::clone(&parts.store),
        bus: Arc::clone(&context.bus),
        shared: Arc::clone(&parts.shared),
        recorder: recorder.clone(),
        metrics: parts.metrics.clone(),
        jobs_max: settings.correlator.verifications_max,
        cache_bytes_max: settings.correlator.verification_cache_bytes_max,
    });
    verifiers.spawn(supervised::run(
        context.health.check("verification"),
        stop.clone(),
        move |check, stop| {
            let verification = Arc::clone(&verification);
            async move { verification.run(check, stop).await }
        },
    ));
}

fn spawn_doers(
    doers: &mut JoinSet<anyhow::Result<()>>,
    settings: &Settings,
    context: &Context,
    parts: &Parts,
    recorder: Recorder,
    stop: &CancellationToken,
) {
    let dispatch = Arc::new(Dispatch {
        store: Arc::clone(&parts.store),
        bus: Arc::clone(&context.bus),
        publisher: Publisher::new(
            Arc::clone(&context.bus),
            settings.correlator.id.clone(),
            context.published.clone(),
        ),
        shared: Arc::clone(&parts.shared),
        recorder: recorder.clone(),
        metrics: parts.metrics.clone(),
    });
    doers.spawn(supervised::run(context.health.check("publishing"), stop.clone(), move |check, stop| {
        let dispatch = Arc::clone(&dispatch);
        async move { dispatch.run(check, stop).await }
    }));
    let heads = Arc::new(Heads {
        store: Arc::clone(&parts.store),
        bus: Arc::clone(&context.bus),
        every: settings.correlator.head_interval,
        last: Arc::clone(&parts.answers.head),
    });
    doers.spawn(supervised::run(context.health.check("log-head"), stop.clone(), move |check, stop| {
        let heads = Arc::clone(&heads);
        async move { heads.run(check, stop).await }
    }));
    let deliver = Deliver {
        store: Arc::clone(&parts.store),
        bus: Arc::clone(&context.bus),
        shared: Arc::clone(&parts.shared),
        recorder,
        metrics: parts.metrics.clone(),
        public_url: parts.public_url.clone(),
        settle: Deliver::settle_for(&settings.alerts),
    };
    if settings.alerts.is_empty() {
        doers.spawn(supervised::run(context.health.check("alerts"), stop.clone(), move |check, stop| {
            deliver.clone().run_without(check, stop)
        }));
        return;
    }
    for alert in &settings.alerts {
        let (deliver, alert) = (deliver.clone(), alert.clone());
        let check = context.health.check(format!("alerts-{}", alert.name()));
        doers.spawn(supervised::run(check, stop.clone(), move |check, stop| {
            deliver.clone().run(alert.clone(), check, stop)
        }));
    }
}

/// Opens the store, applies what the index lacks, and loads the contracts of the folder.
async fn open_desk(
    settings: &Settings,
    context: &Context,
    metrics: CorrelatorMetrics,
) -> Result<Desk, OpenError> {
    let store_settings = StoreSettings {
        log: LogSettings { key_file: settings.correlator.log_key_file.clone(), ..LogSettings::default() },
        index_cache_bytes: settings.correlator.index_cache_bytes,
        records_format: RECORDS_FORMAT,
    };
    let (data, contracts) = (context.data.clone(), settings.correlator.contracts.clone());
    tokio::task::spawn_blocking(move || {
        let store = Store::open(&data, store_settings)?;
        for note in store.log().notes() {
            tracing::warn!(note, "the evidence log was put right");
        }
        match store.index().map(|index| index.started().clone()) {
            Ok(Started::Deleted { reason }) => {
                tracing::warn!(reason, "the index is built anew from the evidence log")
            }
            Ok(Started::Absent | Started::Continued) | Err(_) => {}
        }
        let mut desk = Desk::open(Arc::new(store), metrics)?;
        load_contracts(&mut desk, &contracts)?;
        Ok(desk)
    })
    .await?
}

/// The contracts are in force before the first event is taken. A folder that is refused is no reason not to go on with the
/// set that was in force; without any it is.
fn load_contracts(desk: &mut Desk, folder: &std::path::Path) -> Result<(), OpenError> {
    let in_force = desk.shared().in_force.borrow().clone();
    let is_first = in_force.contracts.pipelines.is_empty() && in_force.contracts.roots.is_empty();
    match contracts::load(folder, Timestamp::now()) {
        Ok((loaded, set)) => {
            let records = contracts::records(loaded, &set, &in_force);
            desk.begin(records).map_err(|error| OpenError::Replay(format!("{error:#}")))
        }
        Err(_) if is_first && !folder.exists() => {
            tracing::warn!(folder = %folder.display(), "there are no contracts, so no image is claimed");
            Ok(())
        }
        Err(problems) if is_first => Err(OpenError::Contracts { problems }),
        Err(problems) => {
            for problem in &problems {
                tracing::error!(problem, "the contracts are refused, those before stay in force");
            }
            let since = Some(Timestamp::now());
            desk.shared().contract_problems.send_replace(ContractProblems { problems, since });
            Ok(())
        }
    }
}
