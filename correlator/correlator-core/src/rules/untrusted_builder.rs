//! A released image was built by a signer, workflow, fork, trigger or runner outside the contract.

use bus_schema::case::Severity;
use bus_schema::verdict::BreakReason;

use super::context::ImageContext;
use super::{Raised, Rule};

pub(super) const RULE: Rule = Rule {
    name: "untrusted-builder",
    severity: Severity::High,
    next_step: "compare the run with the contract; if the builder is not yours, remove the image and look for what else it built",
    covers: true,
    lists: false,
    storm: 1,
    over: None,
};

pub(super) const REASONS: [BreakReason; 8] = [
    BreakReason::WrongSigner,
    BreakReason::WrongBuilder,
    BreakReason::WrongWorkflow,
    BreakReason::BuiltFromFork,
    BreakReason::WrongTrigger,
    BreakReason::WrongRunner,
    BreakReason::LevelTooLow,
    BreakReason::UnknownRun,
];

pub(super) fn find(context: &ImageContext<'_>) -> Option<Raised> {
    if !context.record.has_provenance {
        return None;
    }
    let breaks: Vec<_> = context
        .breaks(&REASONS)
        .into_iter()
        .filter(|(kind, _)| *kind != bus_schema::verdict::LinkKind::Signature)
        .collect();
    let (kind, a_break) = breaks.iter().find(|(kind, _)| context.is_released(&[*kind]))?;
    let finding = context.broken("a released image was built outside the contract", *kind, a_break);
    Some(
        RULE.raise(context.subject(), Some(&context.pipeline.name), finding)
            .in_production(context.production()),
    )
}
