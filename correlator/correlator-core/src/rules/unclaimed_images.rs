//! Images run that no pipeline claims: one quiet case per cluster, and one of its own where a stranger appears beside
//! claimed images.

use bus_schema::case::Severity;

use super::context::PlacementContext;
use super::{Raised, Rule};

pub(super) const RULE: Rule = Rule {
    name: "unclaimed-images",
    severity: Severity::Info,
    next_step: "write a pipeline for the busiest repository",
    covers: false,
    lists: true,
    storm: 1,
    over: Some("a pipeline claims the images, or they run no longer"),
};

pub(super) fn find(context: &PlacementContext<'_>) -> Vec<Raised> {
    // Of a container that was over before anybody looked, the runtime may tell no image: nothing can be said of it.
    if context.pipeline.is_some() || context.placement.image_text.is_empty() {
        return Vec::new();
    }
    let repository = context.repository_text();
    let workload = &context.placement.workload;
    let mut finding = context.finding(format!("{repository} is claimed by no pipeline"));
    finding.digest = None;
    let mut raised = vec![RULE.raise(vec![workload.cluster.to_string()], None, finding.clone())];
    if context.newly_beside_claimed {
        let subject = vec![workload.cluster.to_string(), workload.namespace.clone(), repository.clone()];
        finding.what = format!(
            "{repository}, which no pipeline claims, appeared in a namespace where claimed images run"
        );
        raised
            .push(RULE.raise(subject, None, finding).at(Severity::Medium).in_production(context.production));
    }
    raised
}
