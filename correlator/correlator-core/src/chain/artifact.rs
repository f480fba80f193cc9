//! The artifact link: the digest got into the registry by the pipeline, whoever typed the push.

use bus_schema::RunId;
use bus_schema::verdict::BreakReason;
use jiff::{SignedDuration, Timestamp};

use crate::chain::image_facts::{Carrier, ImageFacts};
use crate::chain::inquiry::Inquiry;
use crate::chain::path::{self, Path, registry_questions};
use crate::chain::{Finding, Missing, a_break, build};
use crate::contracts::duration::Span;
use crate::contracts::pipeline::{Pipeline, SourceContract};
use crate::facts::{Predicate, PredicateKind};
use crate::records::{RecordsError, Table};
use crate::state::digest::Push;
use crate::state::run::RunRecord;

/// How long a run may go on: runs that began earlier are not looked for.
const RUN_LENGTH_MAX: Span = Span::from_hours(24);
/// How far the clocks of a registry and a forge are thought to be apart at most: wrong by an hour or two, as after a change
/// to summer time or in a wrong zone.
const CLOCKS_APART_MAX: Span = Span::from_hours(3);

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
    // A path that is verified again may still bind it.
    let is_awaited = image.verified_again_until(inquiry).is_some();
    if !known.is_empty() && !pipeline.artifact.pushers.is_empty() && !is_awaited {
        return Ok(Finding::Broken(vec![a_break(
            BreakReason::UnexpectedPusher,
            pipeline.artifact.pushers.join(" or "),
            known.join(", "),
        )]));
    }
    let since = inquiry.covered_since("registry", image.repository.registry())?;
    let mut all_pushes = image.carriers.iter().flat_map(|carrier| &carrier.record.pushes);
    let is_uncovered = all_pushes.any(Push::was_there_first)
        || since.is_none_or(|since| image.existed_at().is_none_or(|at| at < since));
    Ok(Finding::Missing(Missing {
        waiting_for: "a push by the pipeline".to_owned(),
        questions: registry_questions(image),
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

/// The run that provenance of the contract's builder names, when a push lies in its time: anybody may attest that a run of
/// somebody else's built an image. Source times, give or take the skew; a polled push lies between two polls and counts if
/// they overlap with the run.
fn run_around(
    inquiry: &Inquiry<'_>,
    image: &ImageFacts,
    pipeline: &Pipeline,
    pushes: &[&Push],
) -> Result<Option<RunId>, RecordsError> {
    let Some(source) = &pipeline.source else { return Ok(None) };
    let skew = inquiry.contracts.installation.windows.source_skew;
    for bound in image.of_kind(PredicateKind::Provenance) {
        let Predicate::Provenance(predicate) = &bound.statement.predicate else { continue };
        if !path::provenance(inquiry, pipeline, source, bound, predicate).holds() {
            continue;
        }
        let Some(run) = build::run_of(source, &bound.statement.signer, predicate) else { continue };
        let Some(record) = inquiry.run(&run)? else { continue };
        let Some(report) = &record.run else { continue };
        let fits = source.repository.is_same(&report.repository)
            && (pipeline.build.workflows.is_empty() || pipeline.build.workflows.contains(&report.workflow));
        let start = skew.before(report.started_at);
        let end = record.finished_at.map(|end| skew.after(end));
        let overlaps = pushes.iter().any(|push| {
            !push.is_open_ended() && push.at >= start && end.is_none_or(|end| push.earliest() <= end)
        });
        if fits && overlaps {
            return Ok(Some(run));
        }
    }
    Ok(None)
}

/// Whether a run of the contract's workflows was going when a digest was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunAround {
    Going,
    /// None was, by the registry's time of the push; the nearest one is named, for the clocks may be apart.
    None {
        pushed_at: Timestamp,
        nearest: Option<Going>,
    },
}

/// When a run was going, by the forge's clock; still going where there is no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Going {
    pub(crate) from: Timestamp,
    pub(crate) until: Option<Timestamp>,
}

impl Going {
    /// How far a time lies outside.
    fn distance(&self, time: Timestamp) -> SignedDuration {
        match self.until {
            _ if time < self.from => self.from.duration_since(time),
            Some(until) if time > until => time.duration_since(until),
            _ => SignedDuration::ZERO,
        }
    }
}

/// Whether any run of the contract's workflows was going at a push of the digest; `None` where that cannot be known,
/// because runs were not seen yet at that time or nobody knows when it was pushed.
pub(crate) fn any_run_around(
    inquiry: &Inquiry<'_>,
    image: &ImageFacts,
    pipeline: &Pipeline,
) -> Result<Option<RunAround>, RecordsError> {
    let Some(source) = &pipeline.source else { return Ok(None) };
    let Some(repository_id) = &source.repository.id else { return Ok(None) };
    let Some(since) = inquiry.forge_covered_since("ci", &source.repository)? else { return Ok(None) };
    let pushes = pushes(image);
    let is_datable = |push: &&&Push| !push.is_open_ended() && push.not_before.unwrap_or(push.at) >= since;
    let first = pushes.first().filter(|_| pushes.iter().all(|push| is_datable(&push)));
    let Some(pushed_at) = first.map(|push| push.at) else { return Ok(None) };
    let skew = inquiry.contracts.installation.windows.source_skew;
    let mut nearest: Option<Going> = None;
    for push in pushes {
        let earliest = push.not_before.unwrap_or(push.at);
        let from = RUN_LENGTH_MAX.before(skew.before(earliest));
        let until = CLOCKS_APART_MAX.after(push.at);
        for key in inquiry.runs_began(&source.repository.host, repository_id, from, until)? {
            let Some(going) = run_of_contract(inquiry, pipeline, source, &key)? else { continue };
            let is_over = going.until.is_some_and(|end| skew.after(end) < earliest);
            if going.from <= skew.after(push.at) && !is_over {
                return Ok(Some(RunAround::Going));
            }
            let is_near = going.from <= CLOCKS_APART_MAX.after(pushed_at)
                && going.until.is_none_or(|end| CLOCKS_APART_MAX.after(end) >= pushed_at);
            if is_near && nearest.is_none_or(|known| going.distance(pushed_at) < known.distance(pushed_at)) {
                nearest = Some(going);
            }
        }
    }
    Ok(Some(RunAround::None { pushed_at, nearest }))
}

fn run_of_contract(
    inquiry: &Inquiry<'_>,
    pipeline: &Pipeline,
    source: &SourceContract,
    key: &str,
) -> Result<Option<Going>, RecordsError> {
    let Some(record) = inquiry.draft.get::<RunRecord>(Table::Runs, key)? else { return Ok(None) };
    let Some(report) = &record.run else { return Ok(None) };
    let fits = source.repository.is_same(&report.repository)
        && (pipeline.build.workflows.is_empty() || pipeline.build.workflows.contains(&report.workflow));
    Ok(fits.then_some(Going { from: report.started_at, until: record.finished_at }))
}
