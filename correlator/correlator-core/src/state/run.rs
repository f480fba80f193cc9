//! CI runs as the forge's agent reports them.

use std::collections::BTreeMap;

use bus_schema::ci::{Conclusion, Run, RunnerEnvironment};
use bus_schema::{ForgeHost, ForgeId, RunId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::state::Ground;

/// One attempt of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    pub run: Option<Run>,
    pub conclusion: Option<Conclusion>,
    pub finished_at: Option<Timestamp>,
    pub jobs: BTreeMap<u64, JobRecord>,
    pub ground: Vec<Ground>,
}

/// The most jobs of one run that are remembered.
pub const JOBS_MAX: usize = 512;

impl RunRecord {
    /// Takes a report of the run. The report of the end is the fuller one; of two that differ the one that ended later
    /// stays, whatever arrives first, so that a report that was looked up again replaces an early one.
    pub(crate) fn learn(&mut self, run: &Run, end: Option<(Conclusion, Timestamp)>) {
        let known = self.finished_at.map(|at| (at, self.conclusion.as_ref().map(|known| known.as_str())));
        let told = end.as_ref().map(|(conclusion, at)| (*at, Some(conclusion.as_str())));
        let is_fuller = match (&known, &told) {
            (None, None) => self.run.as_ref().is_none_or(|known| order(run) > order(known)),
            (known, told) if known == told => self.run.as_ref().is_none_or(|known| order(run) > order(known)),
            (known, told) => told > known,
        };
        if !is_fuller {
            return;
        }
        self.run = Some(run.clone());
        if let Some((conclusion, at)) = end {
            self.conclusion = Some(conclusion);
            self.finished_at = Some(at);
        }
    }

    pub(crate) fn learn_job(&mut self, id: u64, job: JobRecord) {
        let is_full = self.jobs.len() >= JOBS_MAX && !self.jobs.contains_key(&id);
        let order = |job: &JobRecord| {
            let runner = job.runner.as_ref().map(|runner| runner.as_str().to_owned());
            (job.finished_at, job.conclusion.as_str().to_owned(), runner, job.started_at, job.name.clone())
        };
        if !is_full && self.jobs.get(&id).is_none_or(|known| order(&job) > order(known)) {
            self.jobs.insert(id, job);
        }
    }
}

impl RunRecord {
    /// The jobs that were going at any time between two.
    pub(crate) fn jobs_between(&self, from: Timestamp, until: Timestamp) -> Vec<&JobRecord> {
        self.jobs.values().filter(|job| job.started_at <= until && from <= job.finished_at).collect()
    }
}

/// An order of reports that say different things of one run, so that the same one stays in any order of arrival.
fn order(run: &Run) -> (bool, bool, String) {
    (run.head_repository.is_some(), run.git_ref.is_some(), format!("{run:?}"))
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    pub name: String,
    pub conclusion: Conclusion,
    pub runner: Option<RunnerEnvironment>,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
}

/// In [`crate::records::Table::Source`]: the runs of a repository by the time at which they began.
pub fn began_key(run: &RunId, began: Timestamp) -> String {
    format!("{}{}\u{1f}{run}", began_prefix(&run.host, &run.repository_id), super::source::sortable(began))
}

pub fn began_prefix(host: &ForgeHost, repository_id: &ForgeId) -> String {
    crate::records::prefix(["run-began", host.as_str(), repository_id.as_str()])
}

pub fn key(run: &RunId) -> String {
    run.to_string()
}
