//! The cluster agent: reports which containers start, run and stop in one Kubernetes cluster.
//!
//! In: the pods of one API server, by list and watch. Out: `container.started`, `container.stopped`,
//! `inventory.observed`, `agent.reported` and `agent.gap`. It only reads, calls no host but that API server, verifies
//! nothing and judges nothing. The role that it needs lies in `deploy/cluster-agent`.

mod agent;
mod coverage;
mod epoch;
mod following;
mod gaps;
mod kubernetes;
mod metrics;
mod report;
pub mod settings;

use std::path::Path;

use fleet_runtime::agent::AgentContext;
use fleet_runtime::run::Supervised;

pub use agent::{ClusterAgent, OpenError};
pub use coverage::CoverageError;
pub use kubernetes::connect::ConnectError;
pub use kubernetes::probe::{Outcome, Probed, probe};
pub use settings::{RawOwnerKind, RawSettings, Settings};

/// The name of the agent's check.
const CHECK: &str = "cluster-agent";

/// Refuses the agent's folder when another version wrote the coverage in it. Touches nothing.
pub fn check_format(folder: &Path) -> Result<(), CoverageError> {
    coverage::CoverageFile::in_folder(folder).check_format()
}

/// Opens the agent and runs it until the context's stop.
pub async fn run(settings: Settings, context: AgentContext) -> anyhow::Result<()> {
    let agent = ClusterAgent::open(settings, &context)?;
    let check = context.health.check(CHECK);
    agent.run(Supervised { stop: context.stop.clone(), check }).await
}
