//! The agent's settings: as written, and as checked.

use std::time::Duration;

use bus_schema::AgentId;
use fleet_runtime::settings::{Checked, DurationText, Problems};
use github_client::heartbeat::{GAP_SECONDS_MIN, REPORT_INTERVAL_SECONDS};
use github_client::settings::{Forge, RawForge};
use serde::Deserialize;

/// Questions worked on at once.
const QUESTIONS_IN_HAND: usize = 4;
const QUESTIONS_IN_HAND_MAX: usize = 64;

/// The settings of a process of its own.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawSettings {
    /// The forges that it watches.
    pub github: Vec<RawForge>,
    pub ci: RawCi,
}

/// What concerns this agent alone.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawCi {
    /// The agent's name on the bus, `ci-github` by default.
    pub agent: Option<String>,
    /// The time between two reports about itself, `30s` by default.
    pub report_interval: Option<DurationText>,
    /// A time away longer than this is reported as a gap, `60s` by default.
    pub gap_after: Option<DurationText>,
    /// Questions worked on at once, 4 by default.
    pub questions_in_hand_max: Option<usize>,
}

/// Checked settings.
#[derive(Debug, Clone)]
pub struct Settings {
    pub agent: AgentId,
    pub forges: Vec<Forge>,
    pub report_interval: Duration,
    pub gap_after: Duration,
    pub questions_in_hand_max: usize,
}

impl Checked for Settings {
    type Raw = RawSettings;

    fn check(raw: RawSettings, problems: &mut Problems) -> Option<Settings> {
        if raw.github.is_empty() {
            problems.at("github", "is missing: name at least one forge");
        }
        let forges = problems.each("github", raw.github, |forge, problems| forge.check(problems));
        problems.within("ci", |problems| raw.ci.check(forges, problems))
    }
}

impl RawCi {
    /// Checks the agent's own table; the forges are checked already, because a process may share them between agents.
    pub fn check(self, forges: Vec<Forge>, problems: &mut Problems) -> Option<Settings> {
        let agent = problems.parsed("agent", self.agent.as_deref().unwrap_or("ci-github"));
        let report_interval =
            self.report_interval.unwrap_or(DurationText::seconds(REPORT_INTERVAL_SECONDS)).get();
        if report_interval.is_zero() {
            problems.at("report_interval", "is zero");
        }
        let questions_in_hand_max = self.questions_in_hand_max.unwrap_or(QUESTIONS_IN_HAND);
        if !(1..=QUESTIONS_IN_HAND_MAX).contains(&questions_in_hand_max) {
            problems.at("questions_in_hand_max", format!("is not between 1 and {QUESTIONS_IN_HAND_MAX}"));
        }
        Some(Settings {
            agent: agent?,
            forges,
            report_interval,
            gap_after: self.gap_after.unwrap_or(DurationText::seconds(GAP_SECONDS_MIN)).get(),
            questions_in_hand_max,
        })
    }
}
