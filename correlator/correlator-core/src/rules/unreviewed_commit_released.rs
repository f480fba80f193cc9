//! A released image was built from a commit that nobody reviewed, or on top of one.

use bus_schema::case::Severity;
use bus_schema::verdict::{BreakReason, LinkKind};

use super::context::ImageContext;
use super::{Raised, Rule};

pub(super) const RULE: Rule = Rule {
    name: "unreviewed-commit-released",
    severity: Severity::High,
    next_step: "review the commit now, then write an exception for it or roll back",
    covers: true,
    lists: false,
    storm: 1,
    over: None,
};

const REASONS: [BreakReason; 4] = [
    BreakReason::Unreviewed,
    BreakReason::UnreviewedAncestor,
    BreakReason::RulesBypassed,
    BreakReason::UnsignedCommit,
];

pub(super) fn find(context: &ImageContext<'_>) -> Option<Raised> {
    if !context.is_released(&[LinkKind::Source]) || !context.record.has_provenance {
        return None;
    }
    let breaks = context.breaks(&REASONS);
    let (kind, a_break) = breaks.first()?;
    let repository = context.pipeline.source.as_ref()?.repository.to_string();
    // The case is about the commit, so that all releases on top of one unreviewed commit are one problem.
    let commit =
        a_break.commit.as_ref().map_or_else(|| context.image.digest.to_string(), ToString::to_string);
    let finding = context.broken("a release contains a commit without review", *kind, a_break);
    Some(
        RULE.raise(vec![repository, commit], Some(&context.pipeline.name), finding)
            .in_production(context.production()),
    )
}
