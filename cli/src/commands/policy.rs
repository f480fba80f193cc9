//! `custody policy check` and `custody policy baseline`.

mod baseline;

use std::path::{Path, PathBuf};

use anyhow::Context;
use correlator_core::contracts::ContractSet;
use correlator_core::contracts::trust_root::{RootSource, TrustRootContract};
use correlator_service::TrustRootCopies;
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
    trust_roots: Vec<TrustRoot>,
    /// Each begins with the file, and has line and column where they are known.
    problems: Vec<String>,
    warnings: Vec<String>,
}

/// A trust root in force.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TrustRoot {
    name: String,
    /// The digest of its content, as verdicts name it.
    content: String,
    /// Brought along by the program, as of its build, instead of read from a file.
    embedded: bool,
    /// What every signature must carry under it.
    demands: String,
    /// For which issuers' certificates it is believed, each with its forge where it is one's.
    speaks_for: Vec<String>,
}

impl From<&TrustRootContract> for TrustRoot {
    fn from(root: &TrustRootContract) -> TrustRoot {
        let forges = root.forges.iter().map(|forge| format!("{} ({})", forge.host, forge.issuer));
        TrustRoot {
            name: root.name.clone(),
            content: root.content.to_string(),
            embedded: matches!(root.source, RootSource::Embedded(_)),
            demands: root.demands.to_string(),
            speaks_for: forges.chain(root.issuers.iter().map(ToString::to_string)).collect(),
        }
    }
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
            check(folder, data, output).await
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

/// Where trust roots of repositories lie: with the data, or for this one check only where there is no data yet.
fn copies_of(data: &DataFolder) -> anyhow::Result<(TrustRootCopies, Option<tempfile::TempDir>)> {
    if data.path().exists() {
        return Ok((TrustRootCopies::of_data(&data.correlator()), None));
    }
    let kept = tempfile::tempdir().context("make a folder for trust roots")?;
    Ok((TrustRootCopies::of_data(kept.path()), Some(kept)))
}

async fn check(folder: PathBuf, data: &DataFolder, output: Output) -> anyhow::Result<Exit> {
    if !folder.is_dir() {
        let shown = folder.display();
        return Err(Failure::usage(match folder.exists() {
            true => {
                format!("{shown} is no folder: name the folder of all contracts, which are checked together")
            }
            false => format!("the contracts folder {shown} is not there"),
        }));
    }
    let (copies, _kept) = copies_of(data)?;
    correlator_service::refresh_missing_roots(&folder, &copies).await;
    let loaded = correlator_service::load_contracts(&folder, Some(&copies), Timestamp::now());
    let (set, problems) = match loaded {
        Ok((_, set)) => (set, Vec::new()),
        Err(problems) => (ContractSet::empty(), problems),
    };
    let checked = Checked {
        folder,
        pipelines: set.pipelines.keys().cloned().collect(),
        exceptions: set.exceptions.keys().cloned().collect(),
        trust_roots: set.roots.values().map(TrustRoot::from).collect(),
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
            for root in &checked.trust_roots {
                text.push_str(&format!("{}\n", shown(&root_line(root))));
            }
            text.push_str(&format!(
                "{pipelines} pipelines, {exceptions} exceptions, {roots} trust roots: all right\n"
            ));
        }
        text
    })?;
    Ok(if checked.problems.is_empty() { Exit::Fine } else { Exit::Usage })
}

fn root_line(root: &TrustRoot) -> String {
    let origin = if root.embedded { ", part of this program" } else { "" };
    let speaks_for = match root.speaks_for.is_empty() {
        true => "nobody".to_owned(),
        false => root.speaks_for.join(", "),
    };
    format!("trust root {}{origin}: demands {}; speaks for {speaks_for}", root.name, root.demands)
}
