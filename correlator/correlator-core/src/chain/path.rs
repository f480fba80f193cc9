//! One path, not a collage: source, build and provenance are judged through one statement at a time, and the best
//! statement speaks for all three.

use bus_schema::Digest;
use bus_schema::question::Question;
use bus_schema::verdict::{BreakReason, LinkKind, UnknownReason};

use crate::chain::image_facts::{BoundStatement, ImageFacts};
use crate::chain::inquiry::Inquiry;
use crate::chain::signer::unvouched;
use crate::chain::{Finding, Missing, a_break, build, provenance, source};
use crate::contracts::pipeline::{Pipeline, SourceContract};
use crate::contracts::trust_root::Revocation;
use crate::facts::{Predicate, PredicateKind, Provenance};
use crate::records::RecordsError;

/// The three links as one statement shows them.
pub(crate) struct Path {
    pub(crate) statement: Option<Digest>,
    pub(crate) carrier: Option<Digest>,
    pub(crate) source: Finding,
    pub(crate) build: Finding,
    pub(crate) provenance: Finding,
}

impl Path {
    fn held(&self) -> usize {
        [&self.source, &self.build, &self.provenance].into_iter().filter(|finding| finding.holds()).count()
    }

    /// Whether source, build and provenance hold together, as far as the pipeline requires them.
    pub(crate) fn holds(&self, pipeline: &Pipeline) -> bool {
        self.statement.is_some()
            && self.provenance.holds()
            && [(LinkKind::Source, &self.source), (LinkKind::Build, &self.build)]
                .into_iter()
                .all(|(kind, finding)| finding.holds() || !pipeline.requires(kind))
    }
}

/// The best path of a digest: one that holds, else the one with the most proven links; ties by the statement's digest.
pub(crate) fn best(
    inquiry: &Inquiry<'_>,
    image: &ImageFacts,
    pipeline: &Pipeline,
) -> Result<Path, RecordsError> {
    let mut paths = Vec::new();
    for bound in image.of_kind(PredicateKind::Provenance) {
        paths.extend(judge(inquiry, image, pipeline, bound)?);
    }
    // What waits for an answer comes before what is contradicted: it may still hold.
    let rank = |path: &Path| {
        let broken = [&path.source, &path.build, &path.provenance]
            .into_iter()
            .filter(|finding| matches!(finding, Finding::Broken(_)))
            .count();
        (std::cmp::Reverse(path.holds(pipeline)), std::cmp::Reverse(path.held()), broken, path.statement)
    };
    paths.sort_by_key(rank);
    match paths.into_iter().next() {
        Some(path) => Ok(path),
        None => none(image, pipeline),
    }
}

fn judge(
    inquiry: &Inquiry<'_>,
    image: &ImageFacts,
    pipeline: &Pipeline,
    bound: &BoundStatement,
) -> Result<Option<Path>, RecordsError> {
    let (Some(contract), Predicate::Provenance(predicate)) = (&pipeline.source, &bound.statement.predicate)
    else {
        return Ok(None);
    };
    inquiry.rest_on(&bound.ground);
    if let Some(revoked) = revoked(inquiry, bound) {
        return Ok(Some(Path {
            statement: Some(bound.evidence),
            carrier: image.shown_carrier(bound.carrier),
            source: revoked.clone(),
            build: revoked.clone(),
            provenance: revoked,
        }));
    }
    let provenance = provenance::judge(inquiry, pipeline, contract, bound, predicate);
    // What a certificate says of a forge's commit and run is nothing where its root does not speak for the forge.
    let host = contract.repository.host.as_str();
    let (source, build) = match unvouched(inquiry.contracts, host, &bound.statement) {
        Some(stranger) => (Finding::Broken(vec![stranger.clone()]), Finding::Broken(vec![stranger])),
        None => (
            source::judge(inquiry, image, pipeline, contract, bound, predicate)?,
            build::judge(inquiry, image, pipeline, contract, bound, predicate)?,
        ),
    };
    Ok(Some(Path {
        statement: Some(bound.evidence),
        carrier: image.shown_carrier(bound.carrier),
        source,
        build,
        provenance,
    }))
}

/// The provenance link of one statement, as its path shows it.
pub(crate) fn provenance(
    inquiry: &Inquiry<'_>,
    pipeline: &Pipeline,
    contract: &SourceContract,
    bound: &BoundStatement,
    predicate: &Provenance,
) -> Finding {
    revoked(inquiry, bound)
        .unwrap_or_else(|| provenance::judge(inquiry, pipeline, contract, bound, predicate))
}

/// What it was signed with counted no more.
fn revoked(inquiry: &Inquiry<'_>, bound: &BoundStatement) -> Option<Finding> {
    let counted_at = bound.counted_at();
    let Revocation { from, what } = inquiry.contracts.revocation_of(&bound.statement, counted_at)?;
    Some(Finding::Revoked { since: from, what: format!("{what} (signed at {counted_at})") })
}

/// No statement names the digest. One that is attached to it and names another contradicts it.
fn none(image: &ImageFacts, pipeline: &Pipeline) -> Result<Path, RecordsError> {
    let strayed =
        image.strayed.iter().find(|bound| bound.statement.predicate.kind() == PredicateKind::Provenance);
    let provenance = match strayed {
        Some(bound) => {
            let subjects =
                bound.statement.subjects.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Finding::Broken(vec![a_break(BreakReason::WrongSubject, image.digest.to_string(), subjects)])
        }
        None => missing(image, pipeline, "signed provenance"),
    };
    let rest = |what: &str| match &pipeline.source {
        Some(_) => missing(image, pipeline, what),
        None => Finding::Unknown {
            reason: UnknownReason::Unresolvable,
            detail: "the contract names no source".to_owned(),
        },
    };
    Ok(Path {
        statement: None,
        carrier: None,
        source: rest("provenance that names the commit"),
        build: rest("provenance that names the run"),
        provenance,
    })
}

fn missing(image: &ImageFacts, pipeline: &Pipeline, waiting_for: &str) -> Finding {
    Finding::Missing(Missing {
        waiting_for: waiting_for.to_owned(),
        questions: questions(image, pipeline),
        claimed: image.refusal_of(PredicateKind::Provenance),
        ..Missing::default()
    })
}

/// Where evidence of a digest may lie: its registry, and the forge of its source. A manifest that is only known as part of
/// an index is not asked about by itself: whoever looks at the index looks at what it lists.
pub(crate) fn questions(image: &ImageFacts, pipeline: &Pipeline) -> Vec<Question> {
    let mut questions = registry_questions(image);
    if let Some(source) = &pipeline.source {
        let at_forge = image
            .asked_about
            .iter()
            .map(|digest| Question::Attestations { repository: source.repository.clone(), digest: *digest });
        questions.extend(at_forge);
    }
    questions
}

/// What the registry is asked about a digest.
pub(crate) fn registry_questions(image: &ImageFacts) -> Vec<Question> {
    let at = image.asked_at.iter().cloned();
    at.map(|(repository, digest)| Question::Image { repository, digest }).collect()
}
