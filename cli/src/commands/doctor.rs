//! `custody doctor`: what is configured, reachable and allowed to do its work, and what to do where not.

mod agents;
mod alerts;
mod checks;
mod forges;
mod process;
mod servers;

use std::path::Path;

use serde::Serialize;

use crate::data::DataFolder;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::paint::Paint;
use crate::settings::{self, Found};
use fleet_runtime::outside_text::shown;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finding {
    /// What was looked at: `registry ghcr.io`.
    pub(crate) what: String,
    pub(crate) state: State,
    /// What was found.
    pub(crate) detail: String,
    /// What to do, where something is not right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Works,
    /// It works, but less is known than could be.
    Lacks,
    Fails,
}

impl Finding {
    pub(crate) fn works(what: impl Into<String>, detail: impl Into<String>) -> Finding {
        Finding { what: what.into(), state: State::Works, detail: detail.into(), advice: None }
    }

    pub(crate) fn lacks(
        what: impl Into<String>,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        Finding { what: what.into(), state: State::Lacks, detail: detail.into(), advice: Some(advice.into()) }
    }

    pub(crate) fn fails(
        what: impl Into<String>,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        Finding { what: what.into(), state: State::Fails, detail: detail.into(), advice: Some(advice.into()) }
    }
}

#[derive(Serialize)]
struct Looked<'a> {
    findings: &'a [Finding],
}

pub(crate) async fn run(
    config: Option<&Path>,
    bus: &[String],
    data: &DataFolder,
    output: Output,
) -> anyhow::Result<Exit> {
    let mut findings = checks::data(data).await;
    match settings::read_with_bus(config, bus) {
        Ok(Found::Settings(settings)) => findings.extend(checks::settings(&settings, data).await),
        Ok(Found::Nothing) => findings.push(Finding::fails(
            "settings",
            "there is no custody.toml here, and no --config",
            "write one: `custody up` prints a short, complete example; `custody up --sample` needs none",
        )),
        Err(error) => {
            findings.push(Finding::fails("settings", format!("{error:#}"), "mend the file, then ask again"))
        }
    }
    output.either(&Looked { findings: &findings }, |paint| text(&findings, paint))?;
    let fails = findings.iter().any(|finding| finding.state == State::Fails);
    Ok(if fails { Exit::Finding } else { Exit::Fine })
}

fn text(findings: &[Finding], paint: Paint) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = match finding.state {
            State::Works => paint.good("works"),
            State::Lacks => paint.waiting("lacks"),
            State::Fails => paint.bad("fails"),
        };
        let detail: Vec<String> = finding.detail.lines().map(shown).collect();
        text.push_str(&format!(
            "{mark}  {}: {}\n",
            paint.strong(&shown(&finding.what)),
            detail.join("\n         ")
        ));
        if let Some(advice) = &finding.advice {
            let advice: Vec<String> = advice.lines().map(shown).collect();
            text.push_str(&format!("       do: {}\n", advice.join("\n           ")));
        }
    }
    text
}
