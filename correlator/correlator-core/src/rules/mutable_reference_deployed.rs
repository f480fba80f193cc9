//! The contract wants digests, and a workload's spec names a tag.

use bus_schema::case::Severity;

use super::context::PlacementContext;
use super::{Raised, Rule};

pub(super) const RULE: Rule = Rule {
    name: "mutable-reference-deployed",
    severity: Severity::Low,
    next_step: "write the digest into the workload's spec",
    covers: false,
    lists: false,
    storm: 2,
    over: None,
};

pub(super) fn find(context: &PlacementContext<'_>) -> Option<Raised> {
    let pipeline = context.pipeline.filter(|pipeline| pipeline.deploy.by_digest)?;
    if context.placement.image.as_ref().is_some_and(|image| image.digest.is_some()) {
        return None;
    }
    let mut finding = context.finding("a workload's spec names a tag instead of a digest");
    finding.expected =
        context.placement.digest.map(|digest| format!("{}@{digest}", context.repository_text()));
    finding.found = Some(context.placement.image_text.clone());
    let workload = &context.placement.workload;
    let subject = vec![
        workload.cluster.to_string(),
        workload.namespace.clone(),
        format!("{}/{}", workload.kind, workload.name),
        context.placement.slot.clone(),
    ];
    Some(RULE.raise(subject, Some(&pipeline.name), finding).in_production(context.production))
}
