//! A commit on an allowed ref changes a workflow or a local action. It never pages.

use bus_schema::case::Severity;

use super::context::WorkflowContext;
use super::{Raised, Rule, finding};

pub(super) const RULE: Rule = Rule {
    name: "workflow-changed",
    severity: Severity::Info,
    next_step: "read the change when you next look at the repository",
    covers: false,
    lists: false,
    storm: 1,
    over: Some("a day has passed"),
};

pub(super) fn find(context: &WorkflowContext<'_>) -> Option<Raised> {
    let pipeline = context.pipelines.first()?;
    // News, not a state: after the linger window it is over.
    let over_at = context.inquiry.contracts.installation.windows.linger.after(context.record.first_recorded?);
    context.inquiry.look_again_at(over_at);
    if context.inquiry.now >= over_at {
        return None;
    }
    let mut finding = finding(format!("a commit changes {}", context.shown_paths()));
    finding.found = context.record.author.as_ref().map(|author| format!("by {}", author.name));
    Some(RULE.raise(context.subject(), Some(&pipeline.name), finding))
}
