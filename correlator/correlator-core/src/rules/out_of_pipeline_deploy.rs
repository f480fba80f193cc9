//! Something runs that the pipeline did not build: pushed past it, or without any trace of a build.

use bus_schema::case::Severity;
use bus_schema::verdict::{BreakReason, LinkKind, LinkState, UnknownReason};

use super::context::PlacementContext;
use super::{Raised, Rule};
use crate::contracts::pipeline::Pipeline;
use crate::verdict::VerdictRecord;

pub(super) const RULE: Rule = Rule {
    name: "out-of-pipeline-deploy",
    severity: Severity::High,
    next_step: "find out who pushed the image and stop the workload unless its origin is explained",
    covers: true,
    lists: false,
    storm: 2,
    over: None,
};

pub(super) fn find(context: &PlacementContext<'_>) -> Option<Raised> {
    let (pipeline, verdict) = (context.pipeline?, context.verdict?);
    let objection = objection(pipeline, verdict)?;
    if context.is_excepted_here(verdict) {
        return None;
    }
    let mut finding = context.finding(format!(
        "{} runs an image that its pipeline did not build",
        super::context::shown_workload(context.placement)
    ));
    (finding.link, finding.expected, finding.found) = objection;
    Some(RULE.raise(context.subject(), Some(&pipeline.name), finding).in_production(context.production))
}

type Comparison = (Option<LinkKind>, Option<String>, Option<String>);

/// The comparison that makes a placement of this image out of pipeline, if one does.
pub(super) fn objection(pipeline: &Pipeline, verdict: &VerdictRecord) -> Option<Comparison> {
    if let Some(LinkState::Broken { breaks }) = verdict.state_of(LinkKind::Artifact)
        && let Some(a_break) = breaks.iter().find(|a_break| a_break.reason == BreakReason::UnexpectedPusher)
    {
        return Some((
            Some(LinkKind::Artifact),
            Some(format!("pushed by {}", a_break.expected)),
            Some(format!("pushed by {}", a_break.found)),
        ));
    }
    if !verdict.settled || verdict.statements > 0 {
        return None;
    }
    let required: Vec<&LinkState> = [LinkKind::Build, LinkKind::Provenance]
        .into_iter()
        .filter(|kind| pipeline.requires(*kind))
        .filter_map(|kind| verdict.state_of(kind))
        .collect();
    // An outage is not an objection: at least one of the two is really not there, or so much is that nobody reads it all.
    let is_missing = |state: &&LinkState| {
        matches!(
            state,
            LinkState::Absent { .. }
                | LinkState::Claimed { .. }
                | LinkState::Broken { .. }
                | LinkState::Unknown { reason: UnknownReason::CutOff, .. }
        )
    };
    let holds =
        required.iter().any(|state| matches!(state, LinkState::Proven { .. } | LinkState::Waived { .. }));
    if holds || !required.iter().any(is_missing) {
        return None;
    }
    Some((
        Some(LinkKind::Provenance),
        Some(format!("signed provenance from the workflows of pipeline {}", pipeline.name)),
        Some("no verified statement about this digest".to_owned()),
    ))
}
