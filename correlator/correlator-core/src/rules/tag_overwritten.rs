//! A tag that must never move points somewhere else.

use bus_schema::RunId;
use bus_schema::case::Severity;
use bus_schema::verdict::{LinkKind, LinkState};
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
    next_step: "point the tag back at its first digest and find out who moved it",
    covers: false,
    lists: false,
    storm: 2,
    over: None,
};

/// `None` where nothing can be said before evidence is verified, or looked for, again.
pub(super) fn find(context: &TagContext<'_>) -> Result<Option<Vec<Raised>>, RecordsError> {
    if !context.pipeline.is_immutable_tag(context.tag.as_str()) {
        return Ok(Some(Vec::new()));
    }
    let changes: Vec<&Move> =
        context.record.changes().into_iter().filter(|a_move| a_move.to.is_some()).collect();
    let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return Ok(Some(Vec::new())) };
    let (Some(first_digest), Some(last_digest)) = (first.to, last.to) else { return Ok(Some(Vec::new())) };
    if changes.len() < 2 || first_digest == last_digest {
        return Ok(Some(Vec::new()));
    }
    context.inquiry.depend_on(fact::verdict(&last_digest, &context.pipeline.name));
    let key = verdict::key(&last_digest, &context.pipeline.name);
    let record: Option<VerdictRecord> = context.inquiry.draft.get(Table::Verdicts, &key)?;
    if !objects(context, last, record.as_ref())? {
        let is_open_again = record.is_some_and(|record| record.is_open_again());
        return Ok((!is_open_again).then(Vec::new));
    }
    let whereabouts = record.map(|record| record.whereabouts).unwrap_or_default();
    let mut finding = finding(format!("the tag {}:{} was overwritten", context.repository, context.tag));
    finding.link = Some(LinkKind::Artifact);
    finding.expected = Some(format!("{first_digest} for ever"));
    let who = last.actor.as_ref().map_or_else(|| "somebody unknown".to_owned(), Clone::clone);
    finding.found = Some(format!("{last_digest}, pushed by {who} at {}", last.at));
    finding.digest = Some(last_digest);
    finding.runs_at = whereabouts.workloads;
    let subject = vec![
        context.repository.registry().to_owned(),
        context.repository.name().to_owned(),
        context.tag.to_string(),
    ];
    let raised = RULE.raise(subject, Some(&context.pipeline.name), finding);
    Ok(Some(vec![raised.in_production(whereabouts.production)]))
}

/// An unexpected pusher is objected to at once; else the new digest's proven run must have been going at the move, and
/// that is known once its verdict has settled.
fn objects(
    context: &TagContext<'_>,
    last: &Move,
    record: Option<&VerdictRecord>,
) -> Result<bool, RecordsError> {
    let pushers = &context.pipeline.artifact.pushers;
    if !pushers.is_empty() && last.actor.as_ref().is_some_and(|actor| !pushers.contains(actor)) {
        return Ok(true);
    }
    let settles_at = context.pipeline.settle.after(last.recorded);
    context.inquiry.look_again_at(settles_at);
    let is_settled = context.inquiry.now >= settles_at && record.is_none_or(|record| record.settled);
    let was_going = match record {
        Some(record) => run_was_going(context, record, last)?,
        None => false,
    };
    Ok(is_settled && !was_going)
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
