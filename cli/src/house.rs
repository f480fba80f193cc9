//! What a process of the fleet needs before anything runs in it: the data folder, its bus, health, metrics, tasks.
//!
//! In: a data folder. Out: an open house, or a failure that says who has the folder, or which version wrote it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bus_schema::AgentId;
use correlator_service::AgentGrant;
use correlator_store::StoreError;
use fleet_runtime::agent::AgentContext;
use fleet_runtime::asked;
use fleet_runtime::bus::embedded::{EmbeddedBus, EmbeddedLimits};
use fleet_runtime::bus::nats::{NatsBus, NatsSettings};
use fleet_runtime::bus::{Bus, BusError};
use fleet_runtime::health::Health;
use fleet_runtime::metrics::{FleetMetrics, Metrics};
use fleet_runtime::outbox::Outbox;
use fleet_runtime::publisher::Publisher;
use fleet_runtime::run::{BackOff, Tasks};

use crate::data::{DataFolder, LastBus, Noted, Purpose, Running, RunningAgent};
use crate::exit::{Exit, Failure};
use crate::formats;

const DRAIN_TIME_MAX: Duration = Duration::from_secs(20);
/// The folder of an agent's outbox, below the agent's own.
const OUTBOX: &str = "outbox";

/// An open data folder and what runs on it.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) data: DataFolder,
    pub(crate) bus: Arc<dyn Bus>,
    on: LastBus,
    /// Who runs, as the folder says it.
    pub(crate) noted: Option<Noted>,
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
    pub(crate) fleet: FleetMetrics,
    pub(crate) tasks: Tasks,
}

impl House {
    /// Opens the folder, or begins it, with the bus inside it.
    pub(crate) async fn open(data: DataFolder, purpose: Purpose) -> anyhow::Result<House> {
        enter(&data, purpose)?;
        let bus: Arc<dyn Bus> = open_bus(&data).await?;
        Ok(House::on(data, bus, LastBus::Folder))
    }

    /// Opens the folder for a process that manages a bus on NATS servers: it makes what these agents need there.
    pub(crate) async fn of_manager(
        data: DataFolder,
        bus: NatsSettings,
        agents: &BTreeMap<AgentId, AgentGrant>,
    ) -> anyhow::Result<House> {
        enter(&data, Purpose::Watch)?;
        let bus = bus.for_manager(agents.keys()).named("custody correlator");
        let bus: Arc<dyn Bus> = NatsBus::connect(bus).await.map_err(|error| bus_failure(&error))?;
        Ok(House::on(data, bus, LastBus::Servers))
    }

    /// Makes the consumers of the agents' questions, which no agent may make itself: once it is known that this is the
    /// correlator of the bus, for a consumer that nobody reads holds the questions of all.
    pub(crate) async fn consumers_of(&self, agents: &BTreeMap<AgentId, AgentGrant>) -> anyhow::Result<()> {
        for (agent, grant) in agents {
            let Some(answerer) = grant.kind.answers() else { continue };
            let consumer = asked::consumer(agent, answerer).map_err(|error| bus_failure(&error))?;
            self.bus.consumer(consumer).await.map_err(|error| bus_failure(&error))?;
        }
        Ok(())
    }

    /// Opens the folder for one agent of a fleet: what it says goes through its outbox to NATS servers.
    pub(crate) async fn of_agent(
        data: DataFolder,
        bus: NatsSettings,
        agent: &AgentId,
        outbox_bytes_max: u64,
    ) -> anyhow::Result<House> {
        enter(&data, Purpose::Watch)?;
        let bus = bus.for_agent(agent).named(format!("custody agent {agent}"));
        let servers = NatsBus::connect(bus).await.map_err(|error| bus_failure(&error))?;
        let mut house = House::on(data, servers.clone(), LastBus::Servers);
        let (folder, counters) = (house.data.agent(agent.as_str()).join(OUTBOX), house.fleet.of(agent));
        let outbox = Outbox::open(&folder, outbox_bytes_max, servers, counters);
        let outbox = outbox.await.map_err(|error| bus_failure(&error))?;
        house.bus = outbox.clone();
        house.tasks.supervise("outbox", BackOff::default(), move |given| {
            let outbox = outbox.clone();
            async move {
                outbox.send(given.check, given.stop).await;
                Ok(())
            }
        });
        Ok(house)
    }

    fn on(data: DataFolder, bus: Arc<dyn Bus>, on: LastBus) -> House {
        let (health, metrics) = (Health::default(), Metrics::new());
        let fleet = FleetMetrics::new(&metrics);
        let tasks = Tasks::new(health.clone());
        House { data, bus, on, noted: None, health, metrics, fleet, tasks }
    }

    /// Says in the folder that this process has it, where its API answers, and which bus it uses.
    pub(crate) fn note_running(&mut self, api: String) -> anyhow::Result<()> {
        self.on.note(&self.data)?;
        let running =
            Running { process: std::process::id(), api, instance: self.health.instance().to_string() };
        self.noted = Some(self.data.note_running(&running)?);
        Ok(())
    }

    /// Says in an agent's folder that this process is the agent, and where its health is. On a full disk it goes on without.
    pub(crate) fn note_agent(&mut self, agent: &AgentId, operations: String) {
        let instance = self.health.instance().to_string();
        let running = RunningAgent { process: std::process::id(), operations, instance };
        match self.data.note_agent(agent.as_str(), &running) {
            Ok(noted) => self.noted = Some(noted),
            Err(error) => tracing::warn!(error = format!("{error:#}"), "the doctor will not see this agent"),
        }
    }

    /// Runs what was begun until a signal, then ends what is in hand.
    pub(crate) async fn end(self) -> anyhow::Result<Exit> {
        let House { noted, bus, tasks, .. } = self;
        let ended = tasks.run(DRAIN_TIME_MAX).await;
        // Before another process can have the folder, and say so.
        drop(noted);
        bus.close().await.context("close the bus")?;
        for task in &ended.unfinished {
            tracing::warn!(task, "did not finish in time");
        }
        match ended.failed {
            Some((task, error)) => Err(error.context(format!("{task} failed"))),
            None => Ok(Exit::Fine),
        }
    }

    /// An agent's place in this process.
    pub(crate) fn agent(&self, agent: &AgentId) -> AgentContext {
        AgentContext {
            publisher: Publisher::new(self.bus.clone(), agent.clone(), self.fleet.of(agent)),
            data: self.data.agent(agent.as_str()),
            metrics: self.metrics.clone(),
            health: self.health.clone(),
            stop: self.tasks.stop(),
        }
    }
}

/// Makes the folder where it is new, or refuses what it holds. Before anything else is written into it.
fn enter(data: &DataFolder, purpose: Purpose) -> anyhow::Result<()> {
    formats::check(data)?;
    purpose.check(data)?;
    data.create()?;
    purpose.begin(data)
}

/// Opens the bus of a data folder.
async fn open_bus(data: &DataFolder) -> anyhow::Result<Arc<EmbeddedBus>> {
    let opened = EmbeddedBus::open(&data.bus(), EmbeddedLimits::default()).await;
    opened.map_err(|error| match (&error, data.running()) {
        (BusError::InUse { .. }, Ok(Some(running))) => Failure::unreachable(format!(
            "the data folder {} is in use by the custody process {}: stop it, ask it (`custody trace`, `custody cases`), or \
             choose another folder with --data",
            data.path().display(),
            running.process
        )),
        _ => bus_failure(&error),
    })
}

/// A bus failure with its exit code and what to do.
pub(crate) fn bus_failure(error: &BusError) -> anyhow::Error {
    let said = fleet_runtime::error_chain(error);
    match error {
        BusError::InUse { .. } => Failure::unreachable(format!(
            "{said}: stop it, ask it through its API, or choose another folder with --data"
        )),
        BusError::Unavailable { .. } => Failure::unreachable(said),
        BusError::NoRoom { .. } => Failure::usage(said),
        BusError::Format { .. } => Failure::usage(format!(
            "{said}: use the version that wrote it, or choose another folder with --data"
        )),
        _ => anyhow::anyhow!(said),
    }
}

/// A store failure with its exit code; its own text says what to do.
pub(crate) fn store_failure(error: &StoreError) -> anyhow::Error {
    let said = fleet_runtime::error_chain(error);
    match error {
        StoreError::InUse { .. } => Failure::unreachable(said),
        StoreError::OtherFormat { .. } | StoreError::NotAStore { .. } => Failure::usage(said),
        _ => anyhow::anyhow!(said),
    }
}
