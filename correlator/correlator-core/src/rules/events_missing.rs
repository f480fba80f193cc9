//! Something that an agent said is missing, and nothing has found it again yet: the agent knows of a gap, or reports of its
//! own were lost on the way.

use bus_schema::AgentId;
use bus_schema::case::Severity;

use super::context::AgentContext;
use super::{Raised, Rule, finding};
use crate::state::agent::GapRecord;
use crate::state::reports::Hole;

pub(super) const RULE: Rule = Rule {
    name: "events-missing",
    severity: Severity::Medium,
    next_step: "see that the agent runs; its next inventory or poll finds what was missed",
    covers: false,
    lists: false,
    storm: 1,
    over: None,
};

/// The most holes that a finding names.
const HOLES_SHOWN_MAX: usize = 5;

/// A gap that the agent itself tells of, and that nothing has made up for.
pub(crate) fn find(agent: &AgentId, scope: &str, gap: &GapRecord) -> Raised {
    let mut finding = finding(format!("events of {agent} about {scope} may be missing"));
    finding.expected = Some("every event".to_owned());
    finding.found = Some(format!("{} since {}", gap.reason, gap.from));
    RULE.raise(vec![agent.to_string(), scope.to_owned()], None, finding)
}

/// Reports that never came though later ones did: what the agent said around them may be lost with them.
pub(super) fn find_lost(context: &AgentContext<'_>) -> Option<Raised> {
    let (mut lost, mut overtaken) = (Vec::new(), Vec::new());
    for hole in context.record.reports.holes() {
        let settles_at = context.window().after(hole.known_since);
        match context.inquiry.now >= settles_at {
            _ if context.found_again_until >= Some(hole.until) => {}
            true => lost.push(hole),
            false => overtaken.push(settles_at),
        }
    }
    overtaken.into_iter().for_each(|settles_at| context.inquiry.look_again_at(settles_at));
    let first = lost.first()?;
    let mut finding = finding(format!("reports of {} were lost, and with them maybe events", context.agent));
    finding.expected = Some("every report".to_owned());
    let shown: Vec<String> = lost.iter().take(HOLES_SHOWN_MAX).map(shown).collect();
    let more = match lost.len().saturating_sub(HOLES_SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} times more"),
    };
    finding.found = Some(format!("{}{more} missing since {}", shown.join(", "), first.from));
    Some(RULE.raise(vec![context.agent.to_string()], None, finding))
}

fn shown(hole: &Hole) -> String {
    match hole.numbers {
        Some((first, last)) if first == last => format!("report {first}"),
        Some((first, last)) => format!("reports {first} to {last}"),
        None => "several old reports".to_owned(),
    }
}
