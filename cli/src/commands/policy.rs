//! `custody policy check` and `custody policy baseline`.

mod baseline;

use std::path::{Path, PathBuf};

use correlator_core::contracts::ContractSet;
use jiff::Timestamp;
use serde::Serialize;

use crate::args;
use crate::data::DataFolder;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::settings::{self, Found};
use fleet_runtime::outside_text::shown;

/// What a check found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    folder: PathBuf,
    pipelines: Vec<String>,
    exceptions: Vec<String>,
    trust_roots: Vec<String>,
    /// Each begins with the file, and has line and column where they are known.
    problems: Vec<String>,
    warnings: Vec<String>,
}

pub(crate) async fn run(
    command: &args::Policy,
    config: Option<&Path>,
    data: &DataFolder,
    output: Output,
) -> anyhow::Result<Exit> {
    match command {
        args::Policy::Check { folder } => {
            let folder = contracts_folder(folder.as_deref(), config)?;
            check(folder, output)
        }
        args::Policy::Baseline { owner, reason, control, days } => {
            let said = baseline::Said { owner, reason, control, days: *days };
            baseline::run(said, data, output).await
        }
    }
}

/// The named folder, that of the settings, or `contracts`.
fn contracts_folder(named: Option<&Path>, config: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    Ok(match settings::read(config)? {
        Found::Settings(settings) => settings.correlator.correlator.contracts.clone(),
        Found::Nothing => PathBuf::from("contracts"),
    })
}

fn check(folder: PathBuf, output: Output) -> anyhow::Result<Exit> {
    if !folder.is_dir() {
        return Err(Failure::usage(format!("the contracts folder {} is not there", folder.display())));
    }
    let (set, problems) = match correlator_service::load_contracts(&folder, Timestamp::now()) {
        Ok((_, set)) => (set, Vec::new()),
        Err(problems) => (ContractSet::empty(), problems),
    };
    let checked = Checked {
        folder,
        pipelines: set.pipelines.keys().cloned().collect(),
        exceptions: set.exceptions.keys().cloned().collect(),
        trust_roots: set.roots.keys().cloned().collect(),
        problems,
        warnings: set.warnings,
    };
    output.either(&checked, |paint| {
        let mut text = String::new();
        for problem in &checked.problems {
            // The parser's excerpt has lines of its own.
            let lines: Vec<String> = problem.lines().map(shown).collect();
            text.push_str(&format!("{} {}\n", paint.bad("wrong:"), lines.join("\n  ")));
        }
        for warning in &checked.warnings {
            text.push_str(&format!("{} {}\n", paint.waiting("look at:"), shown(warning)));
        }
        if checked.problems.is_empty() {
            let (pipelines, exceptions) = (checked.pipelines.len(), checked.exceptions.len());
            let roots = checked.trust_roots.len();
            text.push_str(&format!(
                "{pipelines} pipelines, {exceptions} exceptions, {roots} trust roots: all right\n"
            ));
        }
        text
    })?;
    Ok(if checked.problems.is_empty() { Exit::Fine } else { Exit::Usage })
}
