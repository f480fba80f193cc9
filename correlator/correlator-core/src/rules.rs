//! The alert rules: one file each, in the order in which they cover each other.
//!
//! A rule looks at one unit that was judged and raises objections; it decides nothing about cases and deliveries.

mod agent_silent;
mod broken_provenance;
mod deployed_outside_contract;
mod events_missing;
mod evidence_unreachable;
mod mutable_reference_deployed;
mod out_of_pipeline_deploy;
mod pipeline_removed;
mod push_outside_ci;
mod tag_overwritten;
mod unclaimed_images;
mod unreviewed_commit_released;
mod unsigned_image_running;
mod untrusted_builder;
mod untrusted_running;
mod workflow_changed;
mod workflow_changed_unreviewed;

pub(crate) mod context;
#[cfg(test)]
mod tests;

use bus_schema::case::{Finding, Severity};
use serde::{Deserialize, Serialize};

use crate::records::RecordsError;
use context::{AgentContext, ImageContext, PlacementContext, TagContext, WorkflowContext};

/// What is the same for every case of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Also the name of its file, its fixture folder and its runbook.
    pub name: &'static str,
    pub severity: Severity,
    /// The first thing to do, in one line.
    pub next_step: &'static str,
    /// It is about a digest: of the open cases on one digest only the first in the rules' order is delivered.
    pub covers: bool,
    /// Its cases list what they are about, with the number of workloads of each, and not only the first findings.
    pub lists: bool,
    /// How many parts of the subject the cases of one storm share; the place where they run is the rest.
    pub storm: usize,
    /// Why its cases resolve, where that is always the same; else the unit's new state says it.
    pub over: Option<&'static str>,
}

/// Every rule, in the order in which they cover each other.
pub const RULES: [Rule; 17] = [
    out_of_pipeline_deploy::RULE,
    untrusted_builder::RULE,
    broken_provenance::RULE,
    unreviewed_commit_released::RULE,
    push_outside_ci::RULE,
    unsigned_image_running::RULE,
    untrusted_running::RULE,
    tag_overwritten::RULE,
    workflow_changed::RULE,
    workflow_changed_unreviewed::RULE,
    mutable_reference_deployed::RULE,
    deployed_outside_contract::RULE,
    unclaimed_images::RULE,
    evidence_unreachable::RULE,
    agent_silent::RULE,
    events_missing::RULE,
    pipeline_removed::RULE,
];

/// The rule of a name and its place in the order.
pub fn find(name: &str) -> Option<(usize, &'static Rule)> {
    RULES.iter().enumerate().find(|(_, rule)| rule.name == name)
}

/// A rule's objection to one unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raised {
    pub rule: String,
    /// The parts of the case's subject, as the rule's definition lists them.
    pub subject: Vec<String>,
    pub severity: Severity,
    pub pipeline: Option<String>,
    pub finding: Finding,
}

impl Rule {
    pub(crate) fn raise(&self, subject: Vec<String>, pipeline: Option<&str>, finding: Finding) -> Raised {
        Raised {
            rule: self.name.to_owned(),
            subject,
            severity: self.severity,
            pipeline: pipeline.map(str::to_owned),
            finding,
        }
    }
}

impl Raised {
    /// The same at another severity.
    pub(crate) fn at(mut self, severity: Severity) -> Raised {
        self.severity = severity;
        self
    }

    /// Raised by one where the subject runs in production.
    pub(crate) fn in_production(mut self, production: bool) -> Raised {
        if production {
            self.severity = self.severity.raised();
        }
        self
    }
}

/// An empty finding that says what happened.
pub(crate) fn finding(what: impl Into<String>) -> Finding {
    Finding { what: what.into(), link: None, expected: None, found: None, digest: None, runs_at: Vec::new() }
}

/// The objections to one image under a pipeline of the contracts.
pub(crate) fn image(context: &ImageContext<'_>) -> Vec<Raised> {
    let mut raised = Vec::new();
    raised.extend(untrusted_builder::find(context));
    raised.extend(broken_provenance::find(context));
    raised.extend(unreviewed_commit_released::find(context));
    raised.extend(push_outside_ci::find(context));
    raised.extend(unsigned_image_running::find(context));
    // A case that only informs does not name an untrusted image loudly enough.
    if raised.iter().all(|raised| raised.severity == Severity::Info) {
        raised.extend(untrusted_running::find(context));
    }
    raised.extend(evidence_unreachable::find(context));
    raised
}

/// The objections to one placement.
pub(crate) fn placement(context: &PlacementContext<'_>) -> Vec<Raised> {
    let mut raised = Vec::new();
    raised.extend(out_of_pipeline_deploy::find(context));
    raised.extend(mutable_reference_deployed::find(context));
    raised.extend(deployed_outside_contract::find(context));
    raised.extend(untrusted_running::find_without_digest(context));
    raised.extend(unclaimed_images::find(context));
    raised
}

/// The objections to what happened to one tag; `None` where nothing can be said before evidence is verified, or looked
/// for, again.
pub(crate) fn tag(context: &TagContext<'_>) -> Result<Option<Vec<Raised>>, RecordsError> {
    tag_overwritten::find(context)
}

/// The objections to one commit that changes workflows.
pub(crate) fn workflow(context: &WorkflowContext<'_>) -> Result<Vec<Raised>, RecordsError> {
    let mut raised: Vec<Raised> = workflow_changed::find(context).into_iter().collect();
    raised.extend(workflow_changed_unreviewed::find(context)?);
    Ok(raised)
}

/// The objections to one agent.
pub(crate) fn agent(context: &AgentContext<'_>) -> Vec<Raised> {
    agent_silent::find(context).into_iter().chain(events_missing::find_lost(context)).collect()
}

pub(crate) use events_missing::find as completeness;
pub(crate) use pipeline_removed::find as removed_pipeline;
