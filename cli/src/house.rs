//! What a process of the fleet needs before anything runs in it: the data folder, the embedded bus, health, metrics, tasks.
//!
//! In: a data folder. Out: an open house, or a failure that says who has the folder, or which version wrote it.

use std::sync::Arc;

use bus_schema::AgentId;
use correlator_store::StoreError;
use fleet_runtime::agent::AgentContext;
use fleet_runtime::bus::embedded::{EmbeddedBus, EmbeddedLimits};
use fleet_runtime::bus::{Bus, BusError};
use fleet_runtime::health::Health;
use fleet_runtime::metrics::{FleetMetrics, Metrics};
use fleet_runtime::publisher::Publisher;
use fleet_runtime::run::Tasks;

use crate::data::DataFolder;
use crate::exit::Failure;
use crate::formats;

/// An open data folder and what runs on it.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) data: DataFolder,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
    pub(crate) fleet: FleetMetrics,
    pub(crate) tasks: Tasks,
}

impl House {
    /// Opens the folder, or begins it.
    pub(crate) async fn open(data: DataFolder) -> anyhow::Result<House> {
        formats::check(&data)?;
        data.create()?;
        let bus: Arc<dyn Bus> = open_bus(&data).await?;
        let (health, metrics) = (Health::default(), Metrics::new());
        let fleet = FleetMetrics::new(&metrics);
        let tasks = Tasks::new(health.clone());
        Ok(House { data, bus, health, metrics, fleet, tasks })
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

/// Opens the bus of a data folder.
async fn open_bus(data: &DataFolder) -> anyhow::Result<Arc<EmbeddedBus>> {
    let opened = EmbeddedBus::open(&data.bus(), EmbeddedLimits::default()).await;
    opened.map_err(|error| match (&error, data.running()) {
        (BusError::InUse { .. }, Some(running)) => Failure::unreachable(format!(
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
