//! `custody agent`: one agent of a fleet, as a process of its own on NATS servers.
//!
//! What it says is on its own disk first (its outbox) and goes on as the servers take it; it runs whether they are there
//! or not.

use axum::Router;
use bus_schema::AgentId;
use fleet_runtime::telemetry;
use fleet_runtime::trace::Exporting;

use crate::args::{AgentArguments, AgentWord, Global};
use crate::data::DataFolder;
use crate::exit::{Exit, Failure};
use crate::house::House;
use crate::output::Output;
use crate::screen::Screen;
use crate::settings::{self, Cluster, Settings};
use crate::up::Started;
use crate::{agents, listeners};

pub(crate) async fn run(arguments: &AgentArguments, global: &Global, output: Output) -> anyhow::Result<Exit> {
    // Before the settings are read: they go to the folder of their file.
    let data = DataFolder::find(global.data.as_deref())?;
    let settings = settings::read_or_fail(global.config.as_deref(), &arguments.bus)?;
    telemetry::begin(&settings.log)?;
    let traces = settings.traces.clone();
    let (intake, operations) = (settings.intake, settings.operations);
    let (bus, watched) = choose(settings, arguments)?;
    let traces = Exporting::begin(&traces, &format!("custody-agent-{}", watched.agent()))
        .map_err(|error| Failure::usage(error.to_string()))?;
    let agent = watched.agent().clone();
    let mut house = House::of_agent(data, bus, &agent, arguments.outbox_mib_max << 20).await?;
    let routes = match watched {
        Watched::Registries(registries) => Some(agents::registries(&mut house, *registries)?),
        Watched::Source(settings) => Some(agents::source(&mut house, *settings)?),
        Watched::Ci(settings) => Some(agents::ci(&mut house, *settings)?),
        Watched::Cluster(cluster) => {
            agents::cluster(&mut house, *cluster)?;
            None::<Router>
        }
    };
    let webhooks = match routes {
        Some(routes) => Some(listeners::serve(&mut house, "intake", intake, routes).await?),
        None => None,
    };
    let operations = listeners::serve_operations(&mut house, operations).await?;
    house.note_agent(&agent, operations.clone());
    let started = Started {
        event: "started",
        process: std::process::id(),
        webhooks: webhooks.as_deref(),
        api: None,
        operations: &operations,
        data: house.data.path(),
    };
    house.tasks.listen()?;
    Screen::new(output).tell(&started, &started.text());
    let ended = house.end().await;
    traces.end().await;
    ended
}

/// What one agent watches.
enum Watched {
    Registries(Box<settings::Registries>),
    Source(Box<source_agent::settings::Settings>),
    Ci(Box<ci_agent::settings::Settings>),
    Cluster(Box<Cluster>),
}

impl Watched {
    fn agent(&self) -> &AgentId {
        match self {
            Watched::Registries(registries) => &registries.agent,
            Watched::Source(settings) => &settings.agent,
            Watched::Ci(settings) => &settings.agent,
            Watched::Cluster(cluster) => &cluster.agent,
        }
    }

    fn named(mut self, id: Option<&AgentId>) -> Watched {
        let Some(id) = id.cloned() else { return self };
        match &mut self {
            Watched::Registries(registries) => registries.agent = id,
            Watched::Source(settings) => settings.agent = id,
            Watched::Ci(settings) => settings.agent = id,
            Watched::Cluster(cluster) => cluster.agent = id,
        }
        self
    }
}

/// The part of the settings that is this agent's.
fn choose(
    settings: Settings,
    arguments: &AgentArguments,
) -> anyhow::Result<(fleet_runtime::bus::nats::NatsSettings, Watched)> {
    let missing =
        |section: &str| Failure::usage(format!("the settings have no [[{section}]] for this agent to watch"));
    let bus = settings.bus.ok_or_else(|| {
        Failure::usage(
            "an agent on its own needs NATS servers: name them with --bus, or [bus] servers in the settings",
        )
    })?;
    let watched = match arguments.kind {
        AgentWord::Registry => {
            Watched::Registries(Box::new(settings.registries.ok_or_else(|| missing("registry"))?))
        }
        AgentWord::Source => {
            Watched::Source(Box::new(settings.forges.ok_or_else(|| missing("github"))?.source))
        }
        AgentWord::Ci => Watched::Ci(Box::new(settings.forges.ok_or_else(|| missing("github"))?.ci)),
        AgentWord::Cluster => Watched::Cluster(Box::new(cluster(settings.clusters, arguments)?)),
    };
    Ok((bus, watched.named(arguments.id.as_ref())))
}

fn cluster(clusters: Vec<Cluster>, arguments: &AgentArguments) -> anyhow::Result<Cluster> {
    let names: Vec<String> = clusters.iter().map(|cluster| cluster.name.clone()).collect();
    let is_wanted = |cluster: &Cluster| arguments.cluster.as_ref().is_none_or(|name| *name == cluster.name);
    let mut wanted = clusters.into_iter().filter(is_wanted);
    match (wanted.next(), wanted.next(), &arguments.cluster) {
        (Some(cluster), None, _) => Ok(cluster),
        (Some(_), Some(_), _) => Err(Failure::usage(format!(
            "the settings have several clusters, and an agent watches one: choose with --cluster {}",
            names.join(", ")
        ))),
        (None, _, Some(name)) => Err(Failure::usage(format!(
            "the settings have no cluster {name}: they have {}",
            names.join(", ")
        ))),
        (None, _, None) => Err(Failure::usage("the settings have no [[cluster]] for this agent to watch")),
    }
}
