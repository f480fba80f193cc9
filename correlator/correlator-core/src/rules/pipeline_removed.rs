//! A pipeline is no longer in the contracts: what it claimed is judged by nobody.

use bus_schema::case::Severity;

use super::{Raised, Rule, finding};

pub(super) const RULE: Rule = Rule {
    name: "pipeline-removed",
    severity: Severity::Medium,
    next_step: "see in the contracts' history whether the removal was meant",
    covers: false,
    lists: false,
    storm: 0,
    over: None,
};

pub(crate) fn find(pipeline: &str, was_loaded: bool, is_loaded: bool) -> Vec<Raised> {
    if !was_loaded || is_loaded {
        return Vec::new();
    }
    let mut finding = finding(format!("the pipeline {pipeline} was removed"));
    finding.expected = Some("a contract for its images".to_owned());
    finding.found = Some("none".to_owned());
    vec![RULE.raise(vec![pipeline.to_owned()], Some(pipeline), finding)]
}
