//! The correlator's place in this process, its run until the end, and what its failures to open mean to people.

use correlator_service::{Context, Correlator, HeadConflict, OpenError};
use fleet_runtime::bus::BusError;

use crate::exit::{Exit, Failure};
use crate::first_look;
use crate::house::{House, bus_failure, store_failure};
use crate::screen::Screen;
use crate::up::Started;

/// Where the correlator lives in a house.
pub(crate) fn place(house: &House) -> Context {
    Context {
        bus: house.bus.clone(),
        data: house.data.correlator(),
        metrics: house.metrics.clone(),
        published: house.fleet.agent("correlator"),
        health: house.health.clone(),
        stop: house.tasks.stop(),
    }
}

/// Says where everything answers, and runs an opened correlator until the house ends.
pub(crate) async fn run_in(
    mut house: House,
    correlator: Correlator,
    webhooks: Option<&str>,
    operations: &str,
    screen: Screen,
) -> anyhow::Result<Exit> {
    let handle = correlator.handle();
    let api = format!("http://{}", handle.api_address());
    house.note_running(api.clone())?;
    let started = Started {
        event: "started",
        process: std::process::id(),
        webhooks,
        api: Some(&api),
        operations,
        data: house.data.path(),
    };
    house.tasks.listen()?;
    screen.tell(&started, &started.text());
    house.tasks.spawn("correlator", correlator.run());
    house.tasks.spawn("first look", first_look::tell(handle, screen, house.tasks.stop()));
    house.end().await
}

/// A failure to open with its exit code.
pub(crate) fn open_failure(error: OpenError) -> anyhow::Error {
    match &error {
        OpenError::Store(store) => store_failure(store),
        OpenError::Bus(bus @ (BusError::InUse { .. } | BusError::Format { .. })) => bus_failure(bus),
        OpenError::Head(conflict) if matches!(**conflict, HeadConflict::OtherLog { .. }) => {
            Failure::unreachable(error.to_string())
        }
        OpenError::Contracts { .. } => Failure::usage(fleet_runtime::error_chain(&error)),
        OpenError::Api(_) => Failure::unreachable(format!(
            "{}: another process has the port; choose one with [api] listen",
            fleet_runtime::error_chain(&error)
        )),
        _ => anyhow::anyhow!(fleet_runtime::error_chain(&error)),
    }
}
