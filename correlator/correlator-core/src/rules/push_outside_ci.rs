//! An image was pushed by somebody who is not the pipeline.

use std::collections::{BTreeMap, BTreeSet};

use bus_schema::ImageRepository;
use bus_schema::case::Severity;
use bus_schema::verdict::{LinkKind, LinkState};

use super::context::ImageContext;
use super::{Raised, Rule};
use crate::chain::artifact::RunAround;

pub(super) const RULE: Rule = Rule {
    name: "push-outside-ci",
    severity: Severity::Medium,
    next_step: "ask the pusher, and take the push right away from people",
    covers: true,
    lists: false,
    storm: 2,
    over: None,
};

pub(super) fn find(context: &ImageContext<'_>) -> Vec<Raised> {
    if matches!(context.record.state_of(LinkKind::Artifact), Some(LinkState::Waived { .. })) {
        return Vec::new();
    }
    let a_path_holds = context.record.provenance_holds
        && [LinkKind::Source, LinkKind::Build, LinkKind::Provenance].into_iter().all(|kind| {
            matches!(
                context.record.state_of(kind),
                None | Some(LinkState::Proven { .. } | LinkState::Waived { .. } | LinkState::NotRequired)
            )
        });
    let strangers = strangers(context);
    if strangers.is_empty() {
        return nothing_around_the_push(context).into_iter().collect();
    }
    let raise = |(repository, strangers): (ImageRepository, BTreeSet<String>)| {
        let mut finding = context.finding("an image was pushed by somebody who is not the pipeline");
        finding.link = Some(LinkKind::Artifact);
        finding.expected = Some(format!("pushed by {}", context.pipeline.artifact.pushers.join(" or ")));
        finding.found = Some(format!("pushed by {}", strangers.into_iter().collect::<Vec<_>>().join(", ")));
        let raised = RULE.raise(subject(context, &repository), Some(&context.pipeline.name), finding);
        match a_path_holds {
            true => raised.at(Severity::Info),
            false => raised.in_production(context.production()),
        }
    };
    strangers.into_iter().map(raise).collect()
}

/// Released and settled, no provenance, and no run around the push.
fn nothing_around_the_push(context: &ImageContext<'_>) -> Option<Raised> {
    let is_missing = |kind: LinkKind| {
        matches!(context.record.state_of(kind), Some(LinkState::Absent { .. } | LinkState::Claimed { .. }))
    };
    let was_pushed = context.image.carriers.first().is_some_and(|own| !own.record.pushes.is_empty());
    let fires = context.is_released(&[LinkKind::Artifact])
        && context.record.settled
        && !context.record.has_provenance
        && was_pushed
        && is_missing(LinkKind::Provenance)
        // An expected pusher outside every run is a stolen token; where runs are not seen, only an unknown one counts.
        && match &context.run_around {
            Some(run_around) => *run_around != RunAround::Going,
            None => is_missing(LinkKind::Artifact),
        };
    if !fires {
        return None;
    }
    let mut finding = context.finding("a released image was pushed without provenance and without a run");
    finding.link = Some(LinkKind::Artifact);
    finding.expected = Some("a push by the pipeline".to_owned());
    finding.found = Some(no_run(context.run_around.as_ref()));
    let pushed_to = context.image.carriers.first().and_then(|own| own.record.pushes.first());
    let repository = pushed_to.map_or(&context.image.repository, |push| &push.repository);
    let raised = RULE.raise(subject(context, repository), Some(&context.pipeline.name), finding);
    Some(raised.in_production(context.production()))
}

/// What was found instead of a run. The push has the registry's time and the run the forge's: where a run was going not far
/// away, one of the clocks may be wrong.
fn no_run(run_around: Option<&RunAround>) -> String {
    match run_around {
        Some(RunAround::None { pushed_at, nearest: Some(nearest) }) => {
            let until = nearest.until.map_or_else(String::new, |until| format!(" to {until}"));
            format!(
                "no run of the pipeline around the push at {pushed_at} by the registry's clock; the nearest one was going from {}{until} by the forge's, and the clocks may be apart",
                nearest.from
            )
        }
        _ => "no run of the pipeline around the push".to_owned(),
    }
}

fn subject(context: &ImageContext<'_>, repository: &ImageRepository) -> Vec<String> {
    vec![repository.registry().to_owned(), repository.name().to_owned(), context.image.digest.to_string()]
}

/// Known pushers of the digest itself that the contract does not expect, by the repository that they pushed to. A push of
/// an index pushes its platforms too: the index's case names the pusher for all of them.
fn strangers(context: &ImageContext<'_>) -> BTreeMap<ImageRepository, BTreeSet<String>> {
    let mut strangers: BTreeMap<ImageRepository, BTreeSet<String>> = BTreeMap::new();
    let pushers = &context.pipeline.artifact.pushers;
    let Some((own, above)) = context.image.carriers.split_first() else { return strangers };
    if pushers.is_empty() {
        return strangers;
    }
    let pushed_above: BTreeSet<&String> = above
        .iter()
        .flat_map(|carrier| &carrier.record.pushes)
        .filter_map(|push| push.actor.as_ref())
        .collect();
    for push in &own.record.pushes {
        let Some(actor) = &push.actor else { continue };
        if !pushers.contains(actor) && !pushed_above.contains(actor) {
            strangers.entry(push.repository.clone()).or_default().insert(actor.clone());
        }
    }
    strangers
}
