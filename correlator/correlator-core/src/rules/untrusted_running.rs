//! No silent distrust: an untrusted image runs, and no other case names it.

use bus_schema::case::Severity;
use bus_schema::verdict::LinkState;

use super::context::ImageContext;
use super::{Raised, Rule, out_of_pipeline_deploy};

pub(super) const RULE: Rule = Rule {
    name: "untrusted-running",
    severity: Severity::Medium,
    next_step: "see which link fails with `custody trace` and why",
    covers: true,
};

pub(super) fn find(context: &ImageContext<'_>) -> Option<Raised> {
    let record = context.record;
    if !context.placed || !record.settled || !record.is_untrusted() || record.is_only_uncovered() {
        return None;
    }
    if out_of_pipeline_deploy::objection(context.pipeline, record).is_some() {
        return None;
    }
    let kind = *record.failing().first()?;
    let state = record.state_of(kind)?;
    let names: Vec<&str> = record.failing().iter().map(|kind| kind.as_str()).collect();
    let mut finding = context.finding(format!("an untrusted image runs: {} not proven", names.join(", ")));
    finding.link = Some(kind);
    (finding.expected, finding.found) = match state {
        LinkState::Broken { breaks } => {
            let first = breaks.first();
            (first.map(|a_break| a_break.expected.clone()), first.map(|a_break| a_break.found.clone()))
        }
        LinkState::Claimed { why } => (Some("proven".to_owned()), Some(why.clone())),
        LinkState::Unknown { detail, .. } => (Some("proven".to_owned()), Some(detail.clone())),
        LinkState::Expired { what, .. } | LinkState::Revoked { what, .. } => {
            (Some("valid".to_owned()), Some(what.clone()))
        }
        other => (Some("proven".to_owned()), Some(other.as_str().to_owned())),
    };
    Some(
        RULE.raise(context.subject(), Some(&context.pipeline.name), finding)
            .in_production(context.production),
    )
}
