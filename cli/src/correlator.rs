//! The correlator's place in this process, and what its failures to open mean to people.

use correlator_service::{Context, OpenError};
use fleet_runtime::bus::BusError;

use crate::exit::Failure;
use crate::house::{House, bus_failure, store_failure};

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

/// A failure to open with its exit code.
pub(crate) fn open_failure(error: OpenError) -> anyhow::Error {
    match &error {
        OpenError::Store(store) => store_failure(store),
        OpenError::Bus(bus @ (BusError::InUse { .. } | BusError::Format { .. })) => bus_failure(bus),
        OpenError::Contracts { .. } => Failure::usage(fleet_runtime::error_chain(&error)),
        OpenError::Api(_) => Failure::unreachable(format!(
            "{}: another process has the port; choose one with [api] listen",
            fleet_runtime::error_chain(&error)
        )),
        _ => anyhow::anyhow!(fleet_runtime::error_chain(&error)),
    }
}
