//! The correlator's place in this process, and the state of a data folder in which nothing runs.

use correlator_service::{Answers, Context, Correlator, OpenError, RawApi, RawCorrelator, RawSettings};
use fleet_runtime::bus::BusError;
use fleet_runtime::settings::{Checked, Problems};

use crate::data::DataFolder;
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

/// A data folder in which nothing runs, opened to answer.
#[derive(Debug)]
pub(crate) struct OpenFolder {
    // Holds the folder's locks as long as answers are read from it.
    _correlator: Correlator,
    answers: Answers,
}

impl OpenFolder {
    /// Opens bus and log. Nothing is taken, asked or delivered.
    pub(crate) async fn open(data: &DataFolder) -> anyhow::Result<OpenFolder> {
        let house = House::open(data.clone()).await?;
        let raw = RawSettings {
            correlator: RawCorrelator {
                // Not a folder: the contracts that were in force stay so.
                contracts: Some(data.path().join("no-contracts")),
                ..RawCorrelator::default()
            },
            api: RawApi { listen: Some("127.0.0.1:0".to_owned()), ..RawApi::default() },
            ..RawSettings::default()
        };
        let mut problems = Problems::default();
        let settings = correlator_service::Settings::check(raw, &mut problems);
        let settings = settings.ok_or_else(|| anyhow::anyhow!("the settings of a look are refused"))?;
        let correlator = Correlator::open(settings, place(&house)).await.map_err(open_failure)?;
        let answers = correlator.handle().answers().clone();
        Ok(OpenFolder { _correlator: correlator, answers })
    }

    pub(crate) fn answers(&self) -> &Answers {
        &self.answers
    }
}
