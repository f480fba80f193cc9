//! A verified statement about a released image contradicts the contract: another subject, repository, ref or commit.

use bus_schema::case::Severity;
use bus_schema::verdict::BreakReason;

use super::context::ImageContext;
use super::{Raised, Rule};

pub(super) const RULE: Rule = Rule {
    name: "broken-provenance",
    severity: Severity::High,
    next_step: "read what the statement really says with `custody trace`, and treat the image as foreign until it is explained",
    covers: true,
};

const REASONS: [BreakReason; 6] = [
    BreakReason::WrongSubject,
    BreakReason::WrongRepository,
    BreakReason::WrongRef,
    BreakReason::WrongCommit,
    BreakReason::RunContradicts,
    BreakReason::ForcedAway,
];

pub(super) fn find(context: &ImageContext<'_>) -> Option<Raised> {
    if !context.is_released() {
        return None;
    }
    let breaks = context.breaks(&REASONS);
    let (kind, a_break) = breaks.first()?;
    let finding = context.broken("provenance of a released image contradicts the contract", *kind, a_break);
    Some(
        RULE.raise(context.subject(), Some(&context.pipeline.name), finding)
            .in_production(context.production),
    )
}
