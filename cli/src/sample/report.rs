//! What came of the recording: verdicts and cases, for people and as one object for scripts.

use std::collections::BTreeSet;

use bus_schema::Digest;
use bus_schema::case::{Case, CaseState};
use bus_schema::verdict::Verdict;
use correlator_core::contracts::DEFAULT_PIPELINE;
use correlator_service::Handle;
use serde::Serialize;

use crate::first_look;
use crate::output::{Output, cases, chain};
use crate::screen::Screen;
use fleet_runtime::outside_text::shown;

/// The verdicts and cases at the end.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Each with `digest`, `image`, `pipeline`, `verdict` and `links`.
    verdicts: Vec<Verdict>,
    /// Each with `rule`, `subject` and `state`.
    cases: Vec<Case>,
    /// Judged like the image that they belong to: people are shown one of the two.
    #[serde(skip)]
    configs: BTreeSet<Digest>,
    #[serde(skip)]
    first_look: String,
}

impl Report {
    pub(crate) async fn of(handle: &Handle) -> anyhow::Result<Report> {
        let answers = handle.answers();
        let verdicts: Vec<Verdict> =
            answers.all_verdicts().await?.into_iter().map(|shown| shown.verdict).collect();
        let mut configs = BTreeSet::new();
        for verdict in &verdicts {
            if answers.trace(&verdict.digest.to_string()).await?.level == "config" {
                configs.insert(verdict.digest);
            }
        }
        let cases = answers.all_cases().await?;
        let first_look = first_look::counts(&answers.status().await?.images);
        Ok(Report { verdicts, cases, configs, first_look })
    }

    pub(crate) fn print(&self, output: Output, screen: Screen) -> anyhow::Result<()> {
        match output.is_json() {
            true => output.json(self),
            false => {
                screen.say(&self.text(screen));
                Ok(())
            }
        }
    }

    fn text(&self, screen: Screen) -> String {
        let paint = screen.paint;
        let mut lines = vec![format!("\n{}", paint.strong("Verdicts"))];
        let is_shown = |verdict: &&Verdict| {
            verdict.pipeline != DEFAULT_PIPELINE && !self.configs.contains(&verdict.digest)
        };
        for verdict in self.verdicts.iter().filter(is_shown) {
            let word = verdict.state.as_str();
            let pad = " ".repeat(10_usize.saturating_sub(word.len()));
            let image = shown(&format!("{}@{}", verdict.image, verdict.digest));
            lines.push(format!("{}{pad}{image}", chain::state(&verdict.state, paint)));
            lines.push(format!("          {}", paint.faint(&chain::because(&verdict.state))));
        }
        lines.push(format!("\n{}", paint.strong("Cases")));
        let open: Vec<Case> =
            self.cases.iter().filter(|case| case.state != CaseState::Resolved).cloned().collect();
        lines.push(cases::list(&open, paint));
        lines.push(self.first_look.clone());
        lines.join("\n")
    }
}
