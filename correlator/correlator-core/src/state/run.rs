//! CI runs as the forge's agent reports them.

use std::collections::BTreeMap;

use bus_schema::RunId;
use bus_schema::ci::{Conclusion, Run, RunnerEnvironment};
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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    pub name: String,
    pub conclusion: Conclusion,
    pub runner: Option<RunnerEnvironment>,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
}

pub fn key(run: &RunId) -> String {
    run.to_string()
}
