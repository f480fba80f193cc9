//! A registry or forge could not be asked, so that links stay unknown.

use bus_schema::case::Severity;

use super::context::ImageContext;
use super::{Raised, Rule};

pub(super) const RULE: Rule = Rule {
    name: "evidence-unreachable",
    severity: Severity::Medium,
    next_step: "run `custody doctor`: it says which host refuses and what the agent may lack",
    covers: false,
    lists: false,
    storm: 0,
    over: Some("it answers again, or nothing is asked of it any more"),
};

pub(super) fn find(context: &ImageContext<'_>) -> Vec<Raised> {
    context
        .unreachable
        .iter()
        .map(|(host, detail)| {
            let mut finding = super::finding(format!("{host} could not be asked for evidence"));
            finding.expected = Some("an answer".to_owned());
            finding.found = Some(detail.clone());
            RULE.raise(vec![host.clone()], None, finding)
        })
        .collect()
}
