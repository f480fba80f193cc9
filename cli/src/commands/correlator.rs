//! `custody correlator`: the judging half of a fleet, as a process of its own on NATS servers.
//!
//! It makes and tends what the fleet keeps on the servers, and holds no credential of a forge, registry or cluster.

use correlator_service::Correlator;
use fleet_runtime::telemetry;
use fleet_runtime::trace::Exporting;

use crate::args::{CorrelatorArguments, Global};
use crate::correlator::{open_failure, place, run_in};
use crate::data::DataFolder;
use crate::exit::{Exit, Failure};
use crate::house::House;
use crate::listeners;
use crate::output::Output;
use crate::screen::Screen;
use crate::settings::{self, Settings};

pub(crate) async fn run(
    arguments: &CorrelatorArguments,
    global: &Global,
    output: Output,
) -> anyhow::Result<Exit> {
    // Before the settings are read: they go to the folder of their file.
    let data = DataFolder::find(global.data.as_deref())?;
    let settings = settings::read_or_fail(global.config.as_deref(), &arguments.bus)?;
    telemetry::begin(&settings.log)?;
    let traces = Exporting::begin(&settings.traces, "custody-correlator")
        .map_err(|error| Failure::usage(error.to_string()))?;
    let ended = serve(settings, data, output).await;
    traces.end().await;
    ended
}

async fn serve(settings: Settings, data: DataFolder, output: Output) -> anyhow::Result<Exit> {
    let screen = Screen::new(output);
    let bus = settings.bus.ok_or_else(|| {
        Failure::usage(
            "a correlator on its own needs NATS servers: name them with --bus, or [bus] servers in the settings; all in one \
             process is `custody up`",
        )
    })?;
    let mut house = House::of_manager(data, bus, &settings.correlator.agents).await?;
    let agents = settings.correlator.agents.clone();
    let correlator = Correlator::open(settings.correlator, place(&house)).await.map_err(open_failure)?;
    house.consumers_of(&agents).await?;
    let operations = listeners::serve_operations(&mut house, settings.operations).await?;
    run_in(house, correlator, None, &operations, screen).await
}
