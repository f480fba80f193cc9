//! One digest judged once, by somebody who waits for the answer: no agent, no log, no store.
//!
//! In: contracts, the digest, and what one look found about it. Out: the verdict that the ledger reaches once every window has
//! ended, with the evidence beside it. There is no second evaluator: the inputs go through the ledger's own door, in memory,
//! and the clock is turned forward instead of waited for.

pub mod evidence_file;
pub mod expectation;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ::evidence::{TrustSet, VERIFIER_VERSION};
use bus_schema::event::Event;
use bus_schema::fleet::{EvidenceRequested, EvidenceUnavailable, Unavailable};
use bus_schema::question::Question;
use bus_schema::registry::{AttestationAttached, EvidenceItem, EvidencePlace, ImagePushed, Observation};
use bus_schema::verdict::Verdict;
use bus_schema::{AgentId, Digest, Envelope, ImageRepository};
use bytes::Bytes;
use correlator_core::contracts::{Claim, ContractSet};
use correlator_core::decision::Decision;
use correlator_core::facts::Verified;
use correlator_core::input::{ContractLoaded, Entry, Input};
use correlator_core::ledger::Ledger;
use correlator_core::records::{MemoryRecords, Records, RecordsError, Table};
use correlator_core::state::evidence::{self, EvidenceRecord};
use correlator_core::verdict::{self, VerdictRecord};
use jiff::Timestamp;

use crate::api::types::TracedEvidence;
use crate::contracts;
use crate::query::show_evidence;
use crate::verification::outcome_of;

/// The most inputs of one judgement. Each piece of evidence is two, each window and question a few.
const INPUTS_MAX: usize = 20_000;
/// The most pieces of evidence that are shown beside a verdict.
const EVIDENCE_SHOWN_MAX: usize = 500;
/// The agent in whose name what was found enters the ledger.
const AGENT: &str = "one-shot";

/// What is judged by: contracts that were checked, and what evidence is verified against under them.
#[derive(Debug)]
pub struct Terms {
    contracts: ContractSet,
    trust: TrustSet,
}

impl Terms {
    /// Checks contracts as of now.
    pub fn check(contracts: &ContractLoaded, now: Timestamp) -> Result<Terms, JudgeError> {
        let checked = contracts::check_with_trust(contracts, now);
        let (contracts, trust) = checked.map_err(|problems| JudgeError::Contracts { problems })?;
        Ok(Terms { contracts, trust })
    }

    pub fn contracts(&self) -> &ContractSet {
        &self.contracts
    }
}

/// What is judged, and everything that is known about it.
#[derive(Debug, Clone)]
pub struct Case {
    /// The repository through which a pipeline claims the digest.
    pub repository: ImageRepository,
    pub digest: Digest,
    /// What a look found: `image.resolved` and `attestation.attached`.
    pub found: Vec<Event>,
    /// Bytes of evidence that are not inside an event.
    pub blobs: BTreeMap<Digest, Bytes>,
    /// The bytes of what is judged, where it is a file that is at hand.
    pub file: Option<Bytes>,
    /// How the look ended; `not_found` means that there is nothing beyond what was found.
    pub end: Unavailable,
    pub end_detail: String,
    /// Where was looked, for people.
    pub looked_at: String,
}

impl Case {
    /// Adds a piece of evidence that somebody handed over. Being handed over proves nothing, like being attached.
    pub fn hand_over(&mut self, item: EvidenceItem, bytes: Bytes, now: Timestamp) {
        self.blobs.insert(item.blob.digest, bytes);
        self.found.push(Event::AttestationAttached(AttestationAttached {
            repository: Some(self.repository.clone()),
            forge_repository: None,
            subject: self.digest,
            manifest: item.blob.digest,
            place: EvidencePlace::Other("file".to_owned()),
            artifact_type: None,
            items: vec![item],
            cut: false,
            found_at: now,
        }));
    }
}

/// The judgement.
#[derive(Debug, Clone)]
pub struct Judged {
    pub verdict: Verdict,
    /// What is attached to the digest or names it, verified or refused.
    pub evidence: Vec<TracedEvidence>,
    /// What of the contracts deserves a look.
    pub warnings: Vec<String>,
}

/// Why nothing was judged.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    #[error("the contracts are not right: {}", problems.join("; "))]
    Contracts { problems: Vec<String> },
    #[error("no pipeline of the contracts claims {repository}; they claim {}", claimed.join(", "))]
    Unclaimed { repository: ImageRepository, claimed: Vec<String> },
    #[error("the judgement did not come to an end within {inputs_max} inputs")]
    TooLong { inputs_max: usize },
    #[error("the state in memory failed")]
    Records(#[from] RecordsError),
    #[error("a result does not fit into the state")]
    Encode(#[from] serde_json::Error),
    #[error("an identity is not right")]
    Identity(#[from] bus_schema::ParseError),
}

/// Judges a case as of when every window that begins now has ended.
pub fn judge(case: &Case, terms: &Terms, now: Timestamp) -> Result<Judged, JudgeError> {
    let Terms { contracts, trust } = terms;
    let pipeline = match contracts.claim(&case.repository) {
        Claim::Claimed(pipeline) => pipeline.name.clone(),
        Claim::Unclaimed => {
            let images = contracts.pipelines.values().flat_map(|pipeline| &pipeline.images);
            let claimed = images.map(ToString::to_string).collect();
            return Err(JudgeError::Unclaimed { repository: case.repository.clone(), claimed });
        }
    };
    let agent: AgentId = AGENT.parse()?;
    let mut play = Play {
        case,
        trust,
        trust_version: contracts.trust_version(),
        ledger: Ledger::under(contracts.clone()),
        records: MemoryRecords::default(),
        waiting: first_inputs(case, &agent, now),
        agent,
        now,
        position: 0,
    };
    let key = verdict::key(&case.digest, &pipeline);
    play.run(&key)?;
    let record: Option<VerdictRecord> = read(&play.records, Table::Verdicts, &key)?;
    let Some(record) = record else {
        return Err(JudgeError::Unclaimed { repository: case.repository.clone(), claimed: Vec::new() });
    };
    Ok(Judged { verdict: record.verdict, evidence: play.evidence()?, warnings: contracts.warnings.clone() })
}

/// That the digest is there, and what was found about it.
fn first_inputs(case: &Case, agent: &AgentId, now: Timestamp) -> VecDeque<Input> {
    // Nobody saw it pushed; it is there because it was looked at.
    let there = Event::ImagePushed(ImagePushed {
        repository: case.repository.clone(),
        digest: case.digest,
        media_type: None,
        tag: None,
        actor: None,
        client: None,
        observation: Observation::LookUp { request: AGENT.to_owned() },
        pushed_at: now,
    });
    let events = std::iter::once(&there).chain(&case.found);
    let envelope = |event: &Event| Envelope::new(agent.clone(), now, now, None, event.clone());
    events.map(|event| Input::Event(Box::new(envelope(event)))).collect()
}

/// The ledger at work: inputs in, decisions carried out at once, the clock turned to the next deadline when nothing is left.
struct Play<'a> {
    case: &'a Case,
    trust: &'a TrustSet,
    trust_version: Digest,
    agent: AgentId,
    ledger: Ledger,
    records: MemoryRecords,
    waiting: VecDeque<Input>,
    now: Timestamp,
    position: u64,
}

impl Play<'_> {
    /// Until the verdict is settled: its window has ended and nothing is pending.
    fn run(&mut self, verdict_key: &str) -> Result<(), JudgeError> {
        let mut deadline = None;
        for _ in 0..INPUTS_MAX {
            let input = match self.waiting.pop_front() {
                Some(input) => input,
                None => {
                    let record: Option<VerdictRecord> = read(&self.records, Table::Verdicts, verdict_key)?;
                    let Some(next) = deadline.filter(|_| !record.is_some_and(|record| record.settled)) else {
                        return Ok(());
                    };
                    self.now = next;
                    Input::Tick
                }
            };
            self.position += 1;
            let entry = Entry { position: self.position, recorded: self.now, input };
            let outcome = self.ledger.apply(&self.records, &entry)?;
            self.records.commit(outcome.changes);
            deadline = outcome.next_deadline;
            for decision in outcome.decisions {
                self.carry_out(decision)?;
            }
        }
        Err(JudgeError::TooLong { inputs_max: INPUTS_MAX })
    }

    fn carry_out(&mut self, decision: Decision) -> Result<(), JudgeError> {
        match decision {
            Decision::Verify { evidence } => self.verify(evidence),
            Decision::Ask { request } => {
                let answer = self.answer(&request);
                let event = Event::EvidenceUnavailable(answer);
                let envelope = Envelope::new(self.agent.clone(), self.now, self.now, None, event);
                self.waiting.push_back(Input::Event(Box::new(envelope)));
                Ok(())
            }
            // There is nobody to tell but the one who waits.
            Decision::PublishVerdict { .. } | Decision::PublishCase { .. } | Decision::Deliver { .. } => {
                Ok(())
            }
        }
    }

    /// Evidence whose bytes are not there stays unverified, which ends as unknown.
    fn verify(&mut self, id: Digest) -> Result<(), JudgeError> {
        let record: Option<EvidenceRecord> = read(&self.records, Table::Evidence, &evidence::key(&id))?;
        let Some(record) = record else { return Ok(()) };
        let Some(bytes) = record.blob.and_then(|(digest, _)| self.bytes(&digest)) else { return Ok(()) };
        let outcome = outcome_of(&record, &bytes, self.case.file.as_deref(), self.trust);
        let verified =
            Verified { evidence: id, verifier: VERIFIER_VERSION, trust: self.trust_version, outcome };
        self.waiting.push_back(Input::Verified(Box::new(verified)));
        Ok(())
    }

    fn bytes(&self, digest: &Digest) -> Option<Vec<u8>> {
        let kept = self.case.blobs.get(digest).filter(|bytes| digest.matches(bytes));
        kept.map(|bytes| bytes.to_vec()).or_else(|| {
            let attached = self.case.found.iter().filter_map(|event| match event {
                Event::AttestationAttached(attached) => Some(attached),
                _ => None,
            });
            let mut blobs = attached.flat_map(|attached| &attached.items).map(|item| &item.blob);
            blobs.find(|blob| blob.digest == *digest).and_then(|blob| blob.inline_bytes().ok().flatten())
        })
    }

    /// What was found is all that there is, or it is known why not. Forges are nobody's to ask here.
    fn answer(&self, request: &EvidenceRequested) -> EvidenceUnavailable {
        let (reason, source, detail) = match &request.question {
            Question::Image { .. } => {
                (self.case.end.clone(), self.case.looked_at.clone(), self.case.end_detail.clone())
            }
            question => {
                let detail = "a single check asks no forge".to_owned();
                (Unavailable::Unconfigured, question.host().to_owned(), detail)
            }
        };
        EvidenceUnavailable {
            request: request.request.clone(),
            attempt: request.attempt,
            question: request.question.clone(),
            reason,
            source,
            detail,
            found: 0,
            answered_at: self.now,
        }
    }

    fn evidence(&self) -> Result<Vec<TracedEvidence>, JudgeError> {
        let mut ids = BTreeSet::new();
        let digest = &self.case.digest;
        for prefix in [evidence::attached_prefix(digest), evidence::subject_prefix(digest)] {
            for (key, _) in self.records.scan(Table::Digests, &prefix, &prefix, EVIDENCE_SHOWN_MAX)? {
                ids.extend(
                    correlator_core::records::parts(&key).last().and_then(|id| id.parse::<Digest>().ok()),
                );
            }
        }
        let mut shown = Vec::new();
        for id in ids {
            let record: Option<EvidenceRecord> = read(&self.records, Table::Evidence, &evidence::key(&id))?;
            shown.extend(record.map(|record| show_evidence(id, &record)));
        }
        Ok(shown)
    }
}

fn read<T: serde::de::DeserializeOwned>(
    records: &MemoryRecords,
    table: Table,
    key: &str,
) -> Result<Option<T>, JudgeError> {
    let bytes = records.get(table, key)?;
    Ok(bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose()?)
}

#[cfg(test)]
mod tests;
