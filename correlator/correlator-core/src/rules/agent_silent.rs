//! An agent that reported before is not heard of any more: nobody sees what happens where it watches.

use bus_schema::case::Severity;

use super::context::AgentContext;
use super::{Raised, Rule, finding};

pub(super) const RULE: Rule = Rule {
    name: "agent-silent",
    severity: Severity::High,
    next_step: "see that its process runs and reaches the bus; `custody doctor` says when it was heard last",
    covers: false,
    lists: false,
    storm: 0,
    over: Some("it reports again, or is retired"),
};

/// The most scopes that a finding names.
const SCOPES_SHOWN_MAX: usize = 10;

pub(super) fn find(context: &AgentContext<'_>) -> Option<Raised> {
    let record = context.record;
    let (newest, heard) = (record.newest.as_ref()?, record.heard?);
    if context.is_retired {
        return None;
    }
    if !record.is_silent(context.window(), context.inquiry.now) {
        let since = record.listened_since().unwrap_or(heard);
        context.inquiry.look_again_at(record.silent_after(context.window()).after(since));
        return None;
    }
    let mut finding = finding(format!("the {} agent {} is silent", newest.kind, context.agent));
    finding.expected = Some(format!("a report every {} s", newest.interval_seconds));
    finding.found = Some(format!("none since {heard}{}", blind(context)));
    Some(RULE.raise(vec![context.agent.to_string()], None, finding))
}

/// What nobody sees meanwhile.
fn blind(context: &AgentContext<'_>) -> String {
    let scopes: Vec<&str> =
        context.record.newest.iter().flat_map(|newest| &newest.scopes).map(String::as_str).collect();
    let more = match scopes.len().saturating_sub(SCOPES_SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    match scopes.is_empty() {
        true => String::new(),
        false => {
            let shown: Vec<&str> = scopes.into_iter().take(SCOPES_SHOWN_MAX).collect();
            format!(", blind in {}{more}", shown.join(", "))
        }
    }
}
