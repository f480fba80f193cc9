//! An image runs in a cluster or namespace that its contract does not allow.

use bus_schema::case::Severity;

use super::context::PlacementContext;
use super::{Raised, Rule};

pub(super) const RULE: Rule = Rule {
    name: "deployed-outside-contract",
    severity: Severity::Medium,
    next_step: "remove the workload, or add the cluster and namespace to the pipeline",
    covers: false,
    lists: false,
    storm: 2,
    over: None,
};

pub(super) fn find(context: &PlacementContext<'_>) -> Option<Raised> {
    let pipeline = context.pipeline?;
    let workload = &context.placement.workload;
    let deploy = &pipeline.deploy;
    let in_cluster = deploy.clusters.is_empty()
        || deploy.clusters.iter().any(|glob| {
            glob.matches(&context.placement.cluster_name) || glob.matches(workload.cluster.as_str())
        });
    let in_namespace = deploy.namespaces.is_empty()
        || deploy.namespaces.iter().any(|glob| glob.matches(&workload.namespace));
    if in_cluster && in_namespace {
        return None;
    }
    let shown = |globs: &[crate::contracts::pattern::Glob]| match globs.is_empty() {
        true => "any".to_owned(),
        false => globs.iter().map(|glob| glob.as_str()).collect::<Vec<_>>().join(" or "),
    };
    let mut finding = context.finding("an image runs where its contract does not allow it");
    finding.expected =
        Some(format!("cluster {}, namespace {}", shown(&deploy.clusters), shown(&deploy.namespaces)));
    finding.found =
        Some(format!("cluster {}, namespace {}", context.placement.cluster_name, workload.namespace));
    Some(RULE.raise(context.subject(), Some(&pipeline.name), finding).in_production(context.production))
}
