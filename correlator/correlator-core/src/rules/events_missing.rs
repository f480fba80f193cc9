//! Events of an agent are known to be missing, and nothing has found them again yet.

use bus_schema::AgentId;
use bus_schema::case::Severity;

use super::{Raised, Rule, finding};
use crate::state::agent::GapRecord;

pub(super) const RULE: Rule = Rule {
    name: "events-missing",
    severity: Severity::Medium,
    next_step: "see that the agent runs; its next inventory or poll finds what was missed",
    covers: false,
    lists: false,
    over: None,
};

pub(crate) fn find(agent: &AgentId, scope: &str, gaps: &[GapRecord]) -> Vec<Raised> {
    let open: Vec<&GapRecord> = gaps.iter().filter(|gap| gap.opened && !gap.recovered).collect();
    // A later recovery makes up for every gap that began before it ended.
    let recovered_until = gaps.iter().filter(|gap| gap.recovered).filter_map(|gap| gap.until).max();
    let Some(gap) = open.into_iter().find(|gap| gap.until > recovered_until) else { return Vec::new() };
    let mut finding = finding(format!("events of {agent} about {scope} may be missing"));
    finding.expected = Some("every event".to_owned());
    let from = gap.from.map_or_else(String::new, |from| format!(" since {from}"));
    finding.found = Some(format!("{}{from}", gap.reason));
    vec![RULE.raise(vec![agent.to_string(), scope.to_owned()], None, finding)]
}
