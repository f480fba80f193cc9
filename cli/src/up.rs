//! `custody up`: bus, correlator and the agents of the settings file in one process.
//!
//! In: checked settings and a data folder. Out: a running fleet until a signal: one listener for all webhooks, one for health
//! and metrics, the correlator's API. Every part is supervised; the end waits for what is in hand, within a bound.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use ci_agent::CiAgent;
use correlator_service::Correlator;
use fleet_runtime::dead_letters::DeadLetters;
use fleet_runtime::http::{self, HttpLimits};
use fleet_runtime::run::BackOff;
use github_client::intake::{self, WebhookIntake};
use registry_agent::RegistryAgent;
use serde::Serialize;
use source_agent::SourceAgent;

use crate::correlator::{open_failure, place};
use crate::data::{DataFolder, Running};
use crate::exit::{Exit, Failure};
use crate::first_look;
use crate::house::House;
use crate::output::Output;
use crate::screen::Screen;
use crate::settings::{Cluster, Forges, Registries, Settings};

const DRAIN_TIME_MAX: Duration = Duration::from_secs(20);

pub(crate) async fn run(settings: Settings, data: DataFolder, output: Output) -> anyhow::Result<Exit> {
    let screen = Screen::new(output);
    let mut house = House::open(data).await?;
    let correlator = Correlator::open(settings.correlator, place(&house)).await.map_err(open_failure)?;
    let handle = correlator.handle();
    let mut intakes = Router::new();
    if let Some(registries) = settings.registries {
        intakes = intakes.merge(registries_begin(&mut house, registries)?);
    }
    if let Some(forges) = settings.forges {
        intakes = intakes.merge(forges_begin(&mut house, forges)?);
    }
    for cluster in settings.clusters {
        cluster_begin(&mut house, cluster)?;
    }
    let operations = fleet_runtime::operations::router(house.health.clone(), house.metrics.clone());
    let mut bound = Vec::new();
    for (name, address, router) in
        [("intake", settings.intake, intakes), ("operations", settings.operations, operations)]
    {
        let listener = http::bind(address).await.map_err(|error| {
            let said = fleet_runtime::error_chain(&error);
            Failure::unreachable(format!("{said}: choose another address with [{name}] listen"))
        })?;
        bound.push(format!("http://{}", listener.local_addr().context("tell the port of a listener")?));
        let serving = http::serve(listener, router, HttpLimits::default(), house.tasks.stop());
        house.tasks.spawn(name, async move { Ok(serving.await?) });
    }
    let api = format!("http://{}", handle.api_address());
    house.data.note_running(&Running { process: std::process::id(), api: api.clone() })?;
    let [webhooks, operations] = bound.as_slice() else { anyhow::bail!("a listener is missing") };
    let started = Started {
        event: "started",
        process: std::process::id(),
        webhooks,
        api: &api,
        operations,
        data: house.data.path(),
    };
    screen.tell(&started, &started.text());
    house.tasks.spawn("correlator", correlator.run());
    house.tasks.spawn("first look", first_look::tell(handle, screen, house.tasks.stop()));
    let House { data, bus, tasks, .. } = house;
    let ended = tasks.run(DRAIN_TIME_MAX).await;
    data.forget_running();
    bus.close().await.context("close the bus")?;
    for task in &ended.unfinished {
        tracing::warn!(task, "did not finish in time");
    }
    match ended.failed {
        Some((task, error)) => Err(error.context(format!("{task} failed"))),
        None => Ok(Exit::Fine),
    }
}

/// Where the process answers, when it runs.
#[derive(Debug, Serialize)]
struct Started<'a> {
    event: &'static str,
    process: u32,
    webhooks: &'a str,
    api: &'a str,
    /// Health and metrics.
    operations: &'a str,
    data: &'a Path,
}

impl Started<'_> {
    fn text(&self) -> String {
        let Started { webhooks, api, data, .. } = self;
        format!("custody runs: webhooks at {webhooks}, API at {api}\ndata in {}", data.display())
    }
}

fn registries_begin(house: &mut House, registries: Registries) -> anyhow::Result<Router> {
    let place = house.agent(&registries.agent);
    let agent = RegistryAgent::open(registries.settings, &place).context("open the registry agent")?;
    let routes = agent.routes();
    house.tasks.supervise("registry-agent", BackOff::default(), move |given| {
        let agent = agent.clone();
        async move { agent.run(given).await }
    });
    Ok(routes)
}

/// Both agents of a forge share one intake: a webhook has one address.
fn forges_begin(house: &mut House, forges: Forges) -> anyhow::Result<Router> {
    let source_place = house.agent(&forges.source.agent);
    let source = SourceAgent::new(forges.source, &source_place).context("open the source agent")?;
    let ci_place = house.agent(&forges.ci.agent);
    let ci = CiAgent::new(forges.ci, &ci_place).context("open the CI agent")?;
    source.spawn(&mut house.tasks);
    ci.spawn(&mut house.tasks);
    let letters = DeadLetters::new(house.bus.clone());
    let secrets = source.webhook_secrets();
    let webhooks =
        WebhookIntake::new(secrets, source.receiver(), vec![ci.receiver()], intake::limits(), letters);
    Ok(webhooks.routes())
}

fn cluster_begin(house: &mut House, cluster: Cluster) -> anyhow::Result<()> {
    let place = house.agent(&cluster.agent);
    let agent = cluster_agent::ClusterAgent::open(cluster.settings, &place)
        .with_context(|| format!("open the agent of the cluster {}", cluster.name))?;
    house.tasks.supervise(cluster.agent.to_string(), BackOff::default(), move |given| {
        let agent = agent.clone();
        async move { agent.run(given).await }
    });
    Ok(())
}
