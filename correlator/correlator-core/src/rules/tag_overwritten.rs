//! A tag that must never move points somewhere else.

use bus_schema::case::Severity;
use bus_schema::verdict::{LinkKind, LinkState};
use bus_schema::{Digest, RunId};
use jiff::Timestamp;

use super::context::TagContext;
use super::{Raised, Rule, finding};
use crate::facts::{Outcome, Predicate};
use crate::records::{RecordsError, Table};
use crate::state::evidence::{self, EvidenceRecord};
use crate::state::tag::Move;
use crate::state::unit::fact;
use crate::verdict::{self, VerdictRecord};

pub(super) const RULE: Rule = Rule {
    name: "tag-overwritten",
    severity: Severity::High,
    next_step: "point the tag back at the digest that it should point at and find out who moved it",
    covers: false,
    lists: false,
    storm: 2,
    over: None,
};

/// `None` where nothing can be said before evidence is verified, or looked for, again.
///
/// A tag should point where it pointed first, or where the last move that is not objected to brought it.
pub(super) fn find(context: &TagContext<'_>) -> Result<Option<Vec<Raised>>, RecordsError> {
    if !context.pipeline.is_immutable_tag(context.tag.as_str()) {
        return Ok(Some(Vec::new()));
    }
    let changes = context.record.changes();
    let mut moves = changes.iter().filter_map(|a_move| Some((*a_move, a_move.to?)));
    let Some((_, mut expected)) = moves.next() else { return Ok(Some(Vec::new())) };
    let mut is_open_again = false;
    let mut overwritten = None;
    for (a_move, to) in moves {
        if to == expected {
            overwritten = None;
            continue;
        }
        match judge_move(context, a_move, &to)? {
            Moved::Rightly => (expected, overwritten) = (to, None),
            Moved::Wrongly => overwritten = Some((a_move, to)),
            Moved::NotSettled => {
                is_open_again |= verdict_of(context, &to)?.is_some_and(|record| record.is_open_again());
            }
        }
    }
    let Some((last, to)) = overwritten else { return Ok((!is_open_again).then(Vec::new)) };
    let record = verdict_of(context, &to)?;
    let whereabouts = record.map(|record| record.whereabouts).unwrap_or_default();
    let mut finding = finding(format!("the tag {}:{} was overwritten", context.repository, context.tag));
    finding.link = Some(LinkKind::Artifact);
    finding.expected = Some(expected.to_string());
    let who = last.actor.as_ref().map_or_else(|| "somebody unknown".to_owned(), Clone::clone);
    finding.found = Some(format!("{to}, pushed by {who} at {}", last.at));
    finding.digest = Some(to);
    finding.runs_at = whereabouts.workloads;
    let subject = vec![
        context.repository.registry().to_owned(),
        context.repository.name().to_owned(),
        context.tag.to_string(),
    ];
    let raised = RULE.raise(subject, Some(&context.pipeline.name), finding);
    Ok(Some(vec![raised.in_production(whereabouts.production)]))
}

fn verdict_of(context: &TagContext<'_>, digest: &Digest) -> Result<Option<VerdictRecord>, RecordsError> {
    context.inquiry.depend_on(fact::verdict(digest, &context.pipeline.name));
    context.inquiry.draft.get(Table::Verdicts, &verdict::key(digest, &context.pipeline.name))
}

/// What is said of a move to another digest than the tag should point at.
enum Moved {
    Rightly,
    /// Nothing is said before the new digest's verdict has settled.
    NotSettled,
    Wrongly,
}

/// An unexpected pusher is objected to at once; else the new digest's proven run must have been going at the move, and
/// that is known once its verdict has settled.
fn judge_move(context: &TagContext<'_>, a_move: &Move, to: &Digest) -> Result<Moved, RecordsError> {
    let record = verdict_of(context, to)?;
    let pushers = &context.pipeline.artifact.pushers;
    if !pushers.is_empty() && a_move.actor.as_ref().is_some_and(|actor| !pushers.contains(actor)) {
        return Ok(Moved::Wrongly);
    }
    let was_going = match &record {
        Some(record) => run_was_going(context, record, a_move)?,
        None => false,
    };
    if was_going {
        return Ok(Moved::Rightly);
    }
    let settles_at = context.pipeline.settle.after(a_move.recorded);
    context.inquiry.look_again_at(settles_at);
    let is_settled = context.inquiry.now >= settles_at && record.is_none_or(|record| record.settled);
    Ok(if is_settled { Moved::Wrongly } else { Moved::NotSettled })
}

fn run_was_going(
    context: &TagContext<'_>,
    record: &VerdictRecord,
    last: &Move,
) -> Result<bool, RecordsError> {
    let is_proven = matches!(record.state_of(LinkKind::Provenance), Some(LinkState::Proven { .. }));
    let (true, Some(statement)) = (is_proven, record.verdict.path) else { return Ok(false) };
    let evidence: Option<EvidenceRecord> =
        context.inquiry.draft.get(Table::Evidence, &evidence::key(&statement))?;
    let Some(Outcome::Verified(statement)) = evidence.and_then(|evidence| evidence.outcome) else {
        return Ok(false);
    };
    let Predicate::Provenance(provenance) = &statement.predicate else { return Ok(false) };
    let source = context.pipeline.source.as_ref();
    let (Some(number), Some(source)) = (provenance.run, source) else { return Ok(false) };
    let from_predicate = provenance.repository.as_ref().and_then(|repository| repository.id.clone());
    let from_certificate = match &statement.signer {
        crate::facts::Signer::Keyless(claims) => {
            claims.source_repository_id.as_deref().and_then(|id| id.parse().ok())
        }
        crate::facts::Signer::Key { .. } | crate::facts::Signer::CloudBuild { .. } => None,
    };
    let Some(repository_id) = from_certificate.or(from_predicate).or_else(|| source.repository.id.clone())
    else {
        return Ok(false);
    };
    let run =
        RunId { host: source.repository.host.clone(), repository_id, id: number.id, attempt: number.attempt };
    let Some(known) = context.inquiry.run(&run)? else { return Ok(false) };
    let Some(report) = &known.run else { return Ok(false) };
    let skew = context.inquiry.contracts.installation.windows.source_skew;
    let start = skew.before(report.started_at);
    let end = known.finished_at.map_or(Timestamp::MAX, |end| skew.after(end));
    let earliest = last.not_before.unwrap_or(last.at);
    Ok(last.at >= start && earliest <= end)
}
