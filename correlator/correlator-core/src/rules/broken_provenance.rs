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
    lists: false,
    storm: 1,
    over: None,
};

const REASONS: [BreakReason; 7] = [
    BreakReason::WrongSubject,
    BreakReason::WrongRepository,
    BreakReason::WrongRef,
    BreakReason::WrongCommit,
    BreakReason::UnknownCommit,
    BreakReason::RunContradicts,
    BreakReason::ForcedAway,
];

pub(super) fn find(context: &ImageContext<'_>) -> Option<Raised> {
    let breaks = context.breaks(&REASONS);
    let (kind, a_break) = breaks.iter().find(|(kind, _)| context.is_released(&[*kind]))?;
    let finding = context.broken("provenance of a released image contradicts the contract", *kind, a_break);
    Some(
        RULE.raise(context.subject(), Some(&context.pipeline.name), finding)
            .in_production(context.production()),
    )
}
