//! No silent distrust: an untrusted image runs, and no other case names it.

use bus_schema::case::Severity;
use bus_schema::verdict::LinkState;

use super::context::{ImageContext, PlacementContext};
use super::{Raised, Rule, out_of_pipeline_deploy};

pub(super) const RULE: Rule = Rule {
    name: "untrusted-running",
    severity: Severity::Medium,
    next_step: "see which link fails with `custody trace` and why",
    covers: true,
    lists: false,
    storm: 1,
    over: None,
};

pub(super) fn find(context: &ImageContext<'_>) -> Option<Raised> {
    let record = context.record;
    let is_silent = !record.settled || !record.is_untrusted() || record.is_only_uncovered();
    let is_placed = match record.failing() {
        [] => !record.whereabouts.namespaces.is_empty(),
        failing => context.is_placed(failing),
    };
    if is_silent || !is_placed {
        return None;
    }
    if out_of_pipeline_deploy::objection(context.pipeline, record).is_some() {
        return None;
    }
    let first = record.failing().first().and_then(|kind| Some((*kind, record.state_of(*kind)?)));
    let Some((kind, state)) = first else {
        // A contract that requires nothing proves nothing.
        let finding = context.finding("an image runs of which its contract requires nothing");
        let raised = RULE.raise(context.subject(), Some(&context.pipeline.name), finding);
        return Some(raised.in_production(context.production()));
    };
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
        LinkState::Expired { what, .. } => (Some("valid".to_owned()), Some(what.clone())),
        LinkState::Revoked { since, what } => {
            (Some("valid".to_owned()), Some(format!("{what}, which was withdrawn at {since}")))
        }
        other => (Some("proven".to_owned()), Some(other.as_str().to_owned())),
    };
    Some(
        RULE.raise(context.subject(), Some(&context.pipeline.name), finding)
            .in_production(context.production()),
    )
}

/// A claimed image runs, and the runtime does not say which digest it is: nothing can be proven of it.
pub(super) fn find_without_digest(context: &PlacementContext<'_>) -> Option<Raised> {
    let pipeline = context.pipeline.filter(|_| context.placement.digest.is_none())?;
    let settles_at = pipeline.settle.after(context.placement.first_recorded);
    context.inquiry.look_again_at(settles_at);
    if context.inquiry.now < settles_at {
        return None;
    }
    let mut finding = context.finding("an image of a pipeline runs, and the runtime names no digest of it");
    finding.expected = Some("a digest".to_owned());
    finding.found = Some(format!("{:?} without a digest", context.placement.image_text));
    let subject = vec![pipeline.name.clone(), context.placement.image_text.clone()];
    Some(RULE.raise(subject, Some(&pipeline.name), finding).in_production(context.production))
}
