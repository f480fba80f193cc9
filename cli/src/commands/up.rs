//! `custody up`: the fleet of the settings file, or the recording.

use std::path::Path;

use fleet_runtime::telemetry::{self, LogSettings};
use fleet_runtime::trace::Exporting;

use crate::args::{Global, Up};
use crate::data::DataFolder;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::sample::{self, Play};
use crate::settings::{self, EXAMPLE, Found};
use crate::up;

/// The sample shows its verdicts and alerts; its log would hide them. The recording's times are of another day.
const SAMPLE_FILTER: &str = "warn,correlator_service::consume::clocks=error";

pub(crate) async fn run(up: &Up, global: &Global, output: Output) -> anyhow::Result<Exit> {
    if up.sample {
        let log = LogSettings { filter: Some(SAMPLE_FILTER.to_owned()), ..LogSettings::default() };
        telemetry::begin(&log)?;
        let play = Play { once: up.once, recording: up.recording.as_deref(), data: global.data.as_deref() };
        return sample::run(play, output).await;
    }
    // Before the settings are read: they go to the folder of their file.
    let data = DataFolder::find(global.data.as_deref())?;
    match settings::read_with_bus(global.config.as_deref(), &up.bus)? {
        Found::Nothing => Err(Failure::usage(nothing_is_configured(global.config.as_deref()))),
        Found::Settings(settings) if !settings.watches_something() => {
            Err(Failure::usage(nothing_is_configured(global.config.as_deref())))
        }
        Found::Settings(settings) => {
            telemetry::begin(&settings.log)?;
            let traces = Exporting::begin(&settings.traces, "custody")
                .map_err(|error| Failure::usage(error.to_string()))?;
            let ended = up::run(*settings, data, output).await;
            traces.end().await;
            ended
        }
    }
}

fn nothing_is_configured(config: Option<&Path>) -> String {
    let found = match config {
        Some(config) => format!("{} names nothing to watch", config.display()),
        None => "there is nothing to watch: no custody.toml here, and no --config".to_owned(),
    };
    format!(
        "{found}\n\ncustody needs at least one registry, forge or cluster. A short, complete custody.toml:\n\n{EXAMPLE}\n\
         Each section can be left out: what nobody watches is unknown, never trusted.\n\
         To see it work first, offline and without any configuration: custody up --sample"
    )
}
