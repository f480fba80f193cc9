//! The artifact link: the digest got into the registry by the pipeline, whoever typed the push.

use bus_schema::RunId;
use bus_schema::verdict::BreakReason;

use crate::chain::image_facts::{Carrier, ImageFacts};
use crate::chain::inquiry::Inquiry;
use crate::chain::path::{Path, questions};
use crate::chain::{Finding, Missing, a_break};
use crate::contracts::duration::Span;
use crate::contracts::pipeline::Pipeline;
use crate::facts::{Predicate, PredicateKind};
use crate::records::{RecordsError, Table};
use crate::state::digest::Push;
use crate::state::run::RunRecord;

/// How long a run may go on: runs that began earlier are not looked for.
const RUN_LENGTH_MAX: Span = Span::from_hours(24);

pub(crate) fn judge(
    inquiry: &Inquiry<'_>,
    image: &ImageFacts,
    pipeline: &Pipeline,
    path: &Path,
) -> Result<Finding, RecordsError> {
    if !pipeline.digests.is_empty() {
        let listed = image.carriers.iter().find(|carrier| pipeline.digests.contains(&carrier.digest));
        return Ok(match listed {
            Some(carrier) => Finding::proven("contract", format!("lists {}", carrier.digest)),
            None => Finding::Broken(vec![a_break(
                BreakReason::NotListed,
                "a digest that the contract lists",
                image.digest.to_string(),
            )]),
        });
    }
    if path.holds(pipeline) {
        return Ok(Finding::proven("provenance", "a verified path binds the digest, whoever pushed it"));
    }
    // A push of an index pushes what it lists, so an expected pusher of either counts.
    for push in image.carriers.iter().flat_map(|carrier| &carrier.record.pushes) {
        inquiry.rest_on(std::slice::from_ref(&push.event));
        if let Some(actor) = push.actor.as_ref().filter(|actor| pipeline.artifact.pushers.contains(actor)) {
            return Ok(Finding::proven("registry", format!("pushed by {actor} at {}", push.at)));
        }
    }
    let pushes = pushes(image);
    if let Some(run) = run_around(inquiry, image, pipeline, &pushes)? {
        return Ok(Finding::proven("registry", format!("pushed while run {run} was going")));
    }
    let known: Vec<&str> = pushes.iter().filter_map(|push| push.actor.as_deref()).collect();
    let all_known = !known.is_empty() && known.len() == pushes.iter().filter(|push| !push.polled).count();
    if all_known && !pipeline.artifact.pushers.is_empty() {
        return Ok(Finding::Broken(vec![a_break(
            BreakReason::UnexpectedPusher,
            pipeline.artifact.pushers.join(" or "),
            known.join(", "),
        )]));
    }
    let since = inquiry.covered_since("registry", image.repository.registry())?;
    let is_uncovered = since.is_none_or(|since| image.existed_at().is_none_or(|at| at < since));
    Ok(Finding::Missing(Missing {
        waiting_for: "a push by the pipeline".to_owned(),
        questions: questions(image, pipeline).into_iter().take(1).collect(),
        uncovered: is_uncovered.then(|| {
            format!("it was pushed before the registry agent watched {}", image.repository.registry())
        }),
        ..Missing::default()
    }))
}

/// The pushes that count: the digest's own, or those of what lists it where nobody saw its own.
fn pushes(image: &ImageFacts) -> Vec<&Push> {
    image
        .carriers
        .iter()
        .map(|Carrier { record, .. }| record.pushes.iter().collect::<Vec<_>>())
        .find(|pushes| !pushes.is_empty())
        .unwrap_or_default()
}

/// The run that verified provenance of this digest names, when a push lies in its time. Source times, give or take the
/// skew; a polled push lies between two polls and counts if they overlap with the run.
fn run_around(
    inquiry: &Inquiry<'_>,
    image: &ImageFacts,
    pipeline: &Pipeline,
    pushes: &[&Push],
) -> Result<Option<RunId>, RecordsError> {
    let Some(source) = &pipeline.source else { return Ok(None) };
    let Some(repository_id) = &source.repository.id else { return Ok(None) };
    let skew = inquiry.contracts.installation.windows.source_skew;
    for bound in image.of_kind(PredicateKind::Provenance) {
        let Predicate::Provenance(provenance) = &bound.statement.predicate else { continue };
        let Some(number) = provenance.run else { continue };
        let run = RunId {
            host: source.repository.host.clone(),
            repository_id: repository_id.clone(),
            id: number.id,
            attempt: number.attempt,
        };
        let Some(record) = inquiry.run(&run)? else { continue };
        let Some(report) = &record.run else { continue };
        let fits = source.repository.is_same(&report.repository)
            && (pipeline.build.workflows.is_empty() || pipeline.build.workflows.contains(&report.workflow));
        let start = skew.before(report.started_at);
        let end = record.finished_at.map(|end| skew.after(end));
        let overlaps = pushes.iter().any(|push| {
            let earliest =
                if push.polled { push.not_before.unwrap_or(jiff::Timestamp::MIN) } else { push.at };
            !push.is_open_ended() && push.at >= start && end.is_none_or(|end| earliest <= end)
        });
        if fits && overlaps {
            return Ok(Some(run));
        }
    }
    Ok(None)
}

/// Whether any run of the contract's workflows was going at a push of the digest; `None` where that cannot be known,
/// because runs were not seen yet at that time or nobody knows when it was pushed.
pub(crate) fn any_run_around(
    inquiry: &Inquiry<'_>,
    image: &ImageFacts,
    pipeline: &Pipeline,
) -> Result<Option<bool>, RecordsError> {
    let Some(source) = &pipeline.source else { return Ok(None) };
    let Some(repository_id) = &source.repository.id else { return Ok(None) };
    let Some(since) = inquiry.forge_covered_since("ci", &source.repository)? else { return Ok(None) };
    let pushes = pushes(image);
    let is_datable = |push: &&&Push| !push.is_open_ended() && push.not_before.unwrap_or(push.at) >= since;
    if pushes.is_empty() || !pushes.iter().all(|push| is_datable(&push)) {
        return Ok(None);
    }
    let skew = inquiry.contracts.installation.windows.source_skew;
    for push in pushes {
        let earliest = push.not_before.unwrap_or(push.at);
        let from = RUN_LENGTH_MAX.before(skew.before(earliest));
        for key in inquiry.runs_began(&source.repository.host, repository_id, from, skew.after(push.at))? {
            let Some(record) = inquiry.draft.get::<RunRecord>(Table::Runs, &key)? else { continue };
            let Some(report) = &record.run else { continue };
            let fits = source.repository.is_same(&report.repository)
                && (pipeline.build.workflows.is_empty()
                    || pipeline.build.workflows.contains(&report.workflow));
            let is_over = record.finished_at.is_some_and(|end| skew.after(end) < earliest);
            if fits && !is_over {
                return Ok(Some(true));
            }
        }
    }
    Ok(Some(false))
}
