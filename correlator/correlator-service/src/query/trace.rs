//! Everything that is known of one digest, link by link and witness by witness.

use std::collections::{BTreeMap, BTreeSet};

use bus_schema::case::{Case, CaseState};
use bus_schema::question::Question;
use bus_schema::{Digest, ImageRepository, Tag};
use correlator_core::contracts::{Claim, ContractSet};
use correlator_core::ledger::cases::CaseRecord;
use correlator_core::records::{self, Table};
use correlator_core::state::digest::DigestRecord;
use correlator_core::state::evidence::{self, EvidenceRecord};
use correlator_core::state::question::QuestionRecord;
use correlator_core::state::tag::{self, TagRecord};
use correlator_core::verdict::{self, VerdictRecord};
use correlator_store::Snapshot;

use super::{QueryError, carriers, cases, evidence_shown, places, reads, verdicts};
use crate::api::types::{Carrier, PushSeen, QuestionState, TagSeen, Trace, TracedEvidence, VerdictShown};
use fleet_runtime::outside_text::shown;

/// Pieces of evidence that one answer shows.
const EVIDENCE_MAX: usize = 300;
/// Rows that are looked at for questions and cases about a digest.
const LOOKED_AT_MAX: usize = 50_000;
const CASES_MAX: usize = 50;
const QUESTIONS_MAX: usize = 50;
const VERDICTS_MAX: usize = 50;

pub(super) fn trace(
    snapshot: &Snapshot,
    contracts: &ContractSet,
    asked: &reads::Subject,
) -> Result<Trace, QueryError> {
    let (digest, resolved_from) = asked.resolve(snapshot)?;
    let above = carriers::above(snapshot, digest)?;
    let below = carriers::below(snapshot, digest)?;
    let own = above.digests.first().and_then(|(_, record)| record.clone());
    let (found_places, places_cut) = places::of_digest(snapshot, digest)?;
    let found_verdicts = found_verdicts(snapshot, digest)?;
    let carrier_digests: Vec<Digest> = above.digests.iter().map(|(digest, _)| *digest).collect();
    let (found_evidence, evidence_cut) = found_evidence(snapshot, &carrier_digests)?;
    if own.is_none() && found_places.is_empty() && found_evidence.is_empty() && found_verdicts.is_empty() {
        return Err(QueryError::NotFound { what: shown(&asked.asked) });
    }
    let own = own.unwrap_or_default();
    let (questions, questions_cut) = questions(snapshot, &carrier_digests)?;
    let (cases, cases_cut) = found_cases(snapshot, digest)?;
    let claimed_by: BTreeSet<String> = own
        .repositories
        .iter()
        .filter_map(|repository| match contracts.claim(repository) {
            Claim::Claimed(pipeline) => Some(pipeline.name.clone()),
            Claim::Unclaimed => None,
        })
        .collect();
    Ok(Trace {
        asked: shown(&asked.asked),
        digest,
        resolved_from,
        level: carriers::level(Some(&own)).to_owned(),
        media_type: own.media_type.as_deref().map(shown),
        first_recorded: own.first_recorded,
        repositories: own.repositories.iter().map(ToString::to_string).collect(),
        claimed_by: claimed_by.into_iter().collect(),
        verdicts: found_verdicts,
        carriers: above.digests.iter().map(|(digest, record)| carrier(*digest, record.as_ref())).collect(),
        contains: below.digests.iter().skip(1).map(|(digest, _)| *digest).collect(),
        evidence: found_evidence,
        pushes: pushes(&own),
        tags: tags(snapshot, digest, &own)?,
        places: found_places,
        questions,
        cases,
        cut: own.cut || above.cut || below.cut || places_cut || evidence_cut || questions_cut || cases_cut,
    })
}

fn carrier(digest: Digest, record: Option<&DigestRecord>) -> Carrier {
    let media_type = record.and_then(|record| record.media_type.as_deref()).map(shown);
    Carrier { digest, level: carriers::level(record).to_owned(), media_type }
}

fn found_verdicts(snapshot: &Snapshot, digest: Digest) -> Result<Vec<VerdictShown>, QueryError> {
    let mut records: Vec<VerdictRecord> = Vec::new();
    reads::scan(snapshot, Table::Verdicts, &verdict::prefix(&digest), |_, record| {
        records.push(record);
        records.len() < VERDICTS_MAX
    })?;
    records.into_iter().map(|record| verdicts::show(snapshot, record)).collect()
}

/// What is attached to the carriers, and what names them wherever it is attached.
fn found_evidence(
    snapshot: &Snapshot,
    carriers: &[Digest],
) -> Result<(Vec<TracedEvidence>, bool), QueryError> {
    let mut ids: BTreeSet<Digest> = BTreeSet::new();
    let mut cut = false;
    for carrier in carriers {
        for prefix in [evidence::attached_prefix(carrier), evidence::subject_prefix(carrier)] {
            let keys = reads::keys(snapshot, Table::Digests, &prefix, EVIDENCE_MAX + 1)?;
            ids.extend(keys.iter().filter_map(|key| records::parts(key).last()?.parse::<Digest>().ok()));
        }
    }
    cut |= ids.len() > EVIDENCE_MAX;
    let mut found = Vec::new();
    for id in ids.into_iter().take(EVIDENCE_MAX) {
        let record: Option<EvidenceRecord> = reads::get(snapshot, Table::Evidence, &evidence::key(&id))?;
        found.extend(record.map(|record| evidence_shown::show(id, &record)));
    }
    found.sort_by_key(|evidence| (evidence.first_recorded, evidence.id));
    Ok((found, cut))
}

fn pushes(record: &DigestRecord) -> Vec<PushSeen> {
    let push = |push: &correlator_core::state::digest::Push| PushSeen {
        repository: push.repository.to_string(),
        tag: push.tag.as_ref().map(ToString::to_string),
        actor: push.actor.as_deref().map(shown),
        at: push.at,
        polled: push.polled,
        said_by: push.event.agent.clone(),
    };
    record.pushes.iter().map(push).collect()
}

fn tags(snapshot: &Snapshot, digest: Digest, record: &DigestRecord) -> Result<Vec<TagSeen>, QueryError> {
    let mut known: BTreeMap<&(ImageRepository, Tag), Option<TagRecord>> = BTreeMap::new();
    for place in &record.tags {
        known.insert(place, reads::get(snapshot, Table::Tags, &tag::key(&place.0, &place.1))?);
    }
    let seen = known.into_iter().map(|((repository, tag), record)| {
        let record = record.unwrap_or_default();
        let since =
            record.moves.iter().rev().find(|a_move| a_move.to == Some(digest)).map(|a_move| a_move.at);
        let current = record.current() == Some(digest);
        TagSeen { repository: repository.to_string(), tag: tag.to_string(), current, since }
    });
    Ok(seen.collect())
}

fn questions(snapshot: &Snapshot, carriers: &[Digest]) -> Result<(Vec<QuestionState>, bool), QueryError> {
    let mut found = Vec::new();
    let mut looked_at = 0;
    reads::scan::<QuestionRecord>(snapshot, Table::Questions, "", |_, record| {
        looked_at += 1;
        let is_about = match &record.question {
            Question::Image { digest, .. } | Question::Attestations { digest, .. } => {
                carriers.contains(digest)
            }
            Question::Run { .. } | Question::Commit { .. } => false,
        };
        if is_about {
            found.push(question(&record));
        }
        looked_at < LOOKED_AT_MAX && found.len() < QUESTIONS_MAX
    })?;
    found.sort_by_key(|question: &QuestionState| (question.answered, question.first_asked));
    let cut = looked_at >= LOOKED_AT_MAX || found.len() >= QUESTIONS_MAX;
    Ok((found, cut))
}

fn question(record: &QuestionRecord) -> QuestionState {
    let answer = record.latest().map(|answer| {
        let detail = if answer.detail.is_empty() { String::new() } else { format!(": {}", answer.detail) };
        shown(&format!("{} said {}{detail}", answer.source, answer.reason))
    });
    QuestionState {
        request: record.question.request_id(),
        question: shown(&asked(&record.question)),
        asked_of: format!("{} of {}", record.question.answerer().as_str(), record.question.host()),
        attempts: record.attempts,
        first_asked: record.first_asked,
        last_asked: record.last_asked,
        answered: record.is_answered(),
        answer,
    }
}

fn asked(question: &Question) -> String {
    match question {
        Question::Image { repository, digest } => {
            format!("what is {repository}@{digest}, and what is attached to it")
        }
        Question::Attestations { repository, digest } => {
            format!("which attestations does {repository} keep for {digest}")
        }
        Question::Run { repository, run } => format!("which run of {repository} is {run}"),
        Question::Commit { repository, commit, git_ref } => {
            let on = git_ref.as_ref().map(|git_ref| format!(" on {git_ref}")).unwrap_or_default();
            format!("is {commit} of {repository}{on} reviewed")
        }
    }
}

fn found_cases(snapshot: &Snapshot, digest: Digest) -> Result<(Vec<Case>, bool), QueryError> {
    let mut found: Vec<Case> = Vec::new();
    let mut looked_at = 0;
    let short = digest.to_string();
    reads::scan::<CaseRecord>(snapshot, Table::Cases, "", |_, record| {
        looked_at += 1;
        let names_it = record.digests.contains(&digest)
            || record.case.findings.iter().any(|finding| finding.digest == Some(digest))
            || record.subject.contains(&short);
        if names_it {
            found.push(cases::harmless(record.case));
        }
        looked_at < LOOKED_AT_MAX && found.len() < CASES_MAX
    })?;
    found.sort_by_key(|case| {
        (case.state == CaseState::Resolved, std::cmp::Reverse(case.severity), case.opened_at)
    });
    let cut = looked_at >= LOOKED_AT_MAX || found.len() >= CASES_MAX;
    Ok((found, cut))
}
