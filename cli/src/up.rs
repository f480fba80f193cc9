//! `custody up`: bus, correlator and the agents of the settings file in one process.
//!
//! In: checked settings and a data folder. Out: a running fleet until a signal: one listener for all webhooks, one for health
//! and metrics, the correlator's API. Every part is supervised; the end waits for what is in hand, within a bound. The bus is
//! in the data folder, or on NATS servers where the settings name some.

use std::collections::BTreeMap;
use std::path::Path;

use axum::Router;
use correlator_service::Correlator;
use serde::Serialize;

use crate::correlator::{open_failure, place, run_in};
use crate::data::{DataFolder, Purpose};
use crate::exit::Exit;
use crate::house::House;
use crate::output::Output;
use crate::screen::Screen;
use crate::settings::Settings;
use crate::{agents, listeners};

pub(crate) async fn run(settings: Settings, data: DataFolder, output: Output) -> anyhow::Result<Exit> {
    let screen = Screen::new(output);
    let is_shared = settings.bus.is_some();
    let mut house = match settings.bus {
        Some(bus) => House::of_manager(data, bus, &settings.correlator.agents).await?,
        None => House::open(data, Purpose::Watch).await?,
    };
    let others = if is_shared { settings.correlator.agents.clone() } else { BTreeMap::new() };
    let correlator = Correlator::open(settings.correlator, place(&house)).await.map_err(open_failure)?;
    house.consumers_of(&others).await?;
    let mut intakes = Router::new();
    if let Some(registries) = settings.registries {
        intakes = intakes.merge(agents::registries(&mut house, registries)?);
    }
    if let Some(forges) = settings.forges {
        intakes = intakes.merge(agents::forges(&mut house, forges)?);
    }
    for cluster in settings.clusters {
        agents::cluster(&mut house, cluster)?;
    }
    let webhooks = listeners::serve(&mut house, "intake", settings.intake, intakes).await?;
    let operations = listeners::serve_operations(&mut house, settings.operations).await?;
    run_in(house, correlator, Some(&webhooks), &operations, screen).await
}

/// Where a process answers, when it runs.
#[derive(Debug, Serialize)]
pub(crate) struct Started<'a> {
    pub(crate) event: &'static str,
    pub(crate) process: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) webhooks: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api: Option<&'a str>,
    /// Health and metrics.
    pub(crate) operations: &'a str,
    pub(crate) data: &'a Path,
}

impl Started<'_> {
    pub(crate) fn text(&self) -> String {
        let Started { webhooks, api, operations, data, .. } = self;
        let mut places: Vec<String> =
            webhooks.iter().map(|address| format!("webhooks at {address}")).collect();
        places.extend(api.iter().map(|address| format!("API at {address}")));
        if places.is_empty() {
            places.push(format!("health at {operations}"));
        }
        format!("custody runs: {}\ndata in {}", places.join(", "), data.display())
    }
}
