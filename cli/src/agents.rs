//! The agents of the settings, begun in a house: all of them in `custody up`, one in a process of a fleet.

use anyhow::Context;
use axum::Router;
use ci_agent::CiAgent;
use fleet_runtime::dead_letters::DeadLetters;
use fleet_runtime::run::BackOff;
use github_client::intake::{self, WebhookIntake};
use registry_agent::RegistryAgent;
use source_agent::SourceAgent;

use crate::house::House;
use crate::settings::{Cluster, Forges, Registries};

/// Begins the agent of the registries; tells its webhooks.
pub(crate) fn registries(house: &mut House, registries: Registries) -> anyhow::Result<Router> {
    let place = house.agent(&registries.agent);
    let agent = RegistryAgent::open(registries.settings, &place).context("open the registry agent")?;
    let routes = agent.routes();
    house.tasks.supervise("registry-agent", BackOff::default(), move |given| {
        let agent = agent.clone();
        async move { agent.run(given).await }
    });
    Ok(routes)
}

/// Begins both agents of a forge. They share one intake: a webhook has one address.
pub(crate) fn forges(house: &mut House, forges: Forges) -> anyhow::Result<Router> {
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

/// Begins the source agent with an intake of its own.
pub(crate) fn source(
    house: &mut House,
    settings: source_agent::settings::Settings,
) -> anyhow::Result<Router> {
    let place = house.agent(&settings.agent);
    let agent = SourceAgent::new(settings, &place).context("open the source agent")?;
    agent.spawn(&mut house.tasks);
    Ok(agent.routes())
}

/// Begins the CI agent with an intake of its own.
pub(crate) fn ci(house: &mut House, settings: ci_agent::settings::Settings) -> anyhow::Result<Router> {
    let place = house.agent(&settings.agent);
    let agent = CiAgent::new(settings, &place).context("open the CI agent")?;
    agent.spawn(&mut house.tasks);
    Ok(agent.routes())
}

/// Begins the agent of a cluster.
pub(crate) fn cluster(house: &mut House, cluster: Cluster) -> anyhow::Result<()> {
    let place = house.agent(&cluster.agent);
    let agent = cluster_agent::ClusterAgent::open(cluster.settings, &place)
        .with_context(|| format!("open the agent of the cluster {}", cluster.name))?;
    house.tasks.supervise(cluster.agent.to_string(), BackOff::default(), move |given| {
        let agent = agent.clone();
        async move { agent.run(given).await }
    });
    Ok(())
}
