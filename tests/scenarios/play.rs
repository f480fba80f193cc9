//! Plays a script through the ledger, the way the service does: ticks when they are due, verifications and answers as
//! they come back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bus_schema::case::CaseState;
use bus_schema::fleet::{EvidenceRequested, EvidenceUnavailable, Unavailable};
use bus_schema::question::Answerer;
use bus_schema::verdict::LinkState;
use bus_schema::{Digest, Envelope, Event};
use correlator_core::contracts::trust_root::EmbeddedRoot;
use correlator_core::decision::{CaseChange, Decision};
use correlator_core::facts::{Outcome, Verified};
use correlator_core::input::{ContractLoaded, Entry, Input};
use correlator_core::ledger::Ledger;
use correlator_core::ledger::cases::CaseRecord;
use correlator_core::records::{MemoryRecords, Records, Table};
use correlator_core::verdict::VerdictRecord;
use jiff::{SignedDuration, Timestamp};

use crate::names::read_back;
use crate::steps::{Answers, Happening, Script, Step, happening, start};

/// The contracts of a scenario that brings none.
pub const CONTRACTS: &str = include_str!("contracts.yaml");

/// The most inputs of one scenario: a loop between questions and answers would end here.
const INPUTS_MAX: usize = 200_000;

/// A ledger with everything around it that a scenario needs.
#[derive(Clone)]
pub struct Play {
    pub records: MemoryRecords,
    pub entries: Vec<Entry>,
    pub timeline: String,
    ledger: Ledger,
    now: Timestamp,
    next_deadline: Option<Timestamp>,
    outcomes: BTreeMap<Digest, Outcome>,
    answers: Answers,
    contracts: String,
    files: BTreeMap<String, String>,
    /// Digests that were trusted or waived at any time.
    pub ever_trusted: BTreeSet<String>,
    /// What each entry led to.
    pub decisions: Vec<Vec<Decision>>,
    /// Ids of alert changes that were sent.
    pub delivered: Vec<String>,
}

impl Play {
    pub fn new(script: &Script) -> Play {
        let records = MemoryRecords::default();
        let ledger = Ledger::open(&records).unwrap();
        let mut play = Play {
            records,
            entries: Vec::new(),
            timeline: String::new(),
            ledger,
            now: start(),
            next_deadline: None,
            outcomes: BTreeMap::new(),
            answers: script.answers.clone(),
            contracts: String::new(),
            files: BTreeMap::new(),
            ever_trusted: BTreeSet::new(),
            decisions: Vec::new(),
            delivered: Vec::new(),
        };
        play.contracts = script.contracts.clone().unwrap_or_else(|| CONTRACTS.to_owned());
        play.files = script.keys.iter().map(|(file, key)| (file.clone(), public_key(key))).collect();
        play.files.extend(script.roots.clone());
        let embedded = EmbeddedRoot::ALL.map(|root| (root.file().to_owned(), root.as_str().to_owned()));
        play.files.extend(embedded);
        play.load(script.more_contracts.as_deref());
        play
    }

    /// Plays the whole script and waits until every window has passed.
    pub fn script(script: &Script) -> Play {
        let mut play = Play::new(script);
        for (index, step) in script.steps.iter().enumerate() {
            play.step(step, index);
        }
        play.rest(script);
        play
    }

    /// Waits for a step's time, and lets it happen.
    pub fn step(&mut self, step: &Step, index: usize) {
        self.wait_until(start().checked_add(SignedDuration::from_secs(step.at)).unwrap());
        self.happen(happening(step, index));
    }

    /// Waits after the last step for as long as the script says.
    pub fn rest(&mut self, script: &Script) {
        let last = script.steps.iter().map(|step| step.at).max().unwrap_or(0);
        self.wait_until(start().checked_add(SignedDuration::from_secs(last + script.wait)).unwrap());
    }

    /// Makes known what verification will make of a step's evidence, before the step happens.
    pub fn foresee(&mut self, happening: &Happening) {
        self.outcomes.extend(happening.verification.iter().cloned());
    }

    /// From now on nothing that is to be verified comes back.
    pub fn verify_nothing(&mut self) {
        self.outcomes.clear();
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    pub fn happen(&mut self, happening: Happening) {
        if let Some(answers) = happening.answers {
            self.answers = answers;
        }
        if let Some(contracts) = happening.contracts {
            self.contracts = contracts;
            self.load(None);
        }
        if let Some(more) = happening.more_contracts {
            self.load(Some(&more));
        }
        if let Some((evidence, outcome)) = happening.verification {
            self.outcomes.insert(evidence, outcome);
        }
        if let Some(event) = happening.event {
            self.apply(Input::Event(event));
        }
    }

    fn load(&mut self, more: Option<&str>) {
        let mut documents = BTreeMap::new();
        documents.insert("contracts.yaml".to_owned(), self.contracts.clone());
        if let Some(more) = more {
            documents.insert("more.yaml".to_owned(), more.to_owned());
        }
        let loaded = ContractLoaded { documents, files: self.files.clone() };
        if let Err(problems) = correlator_core::contracts::parse::parse(&loaded) {
            panic!("the scenario's contracts are refused:\n{problems}");
        }
        self.apply(Input::ContractLoaded(Box::new(loaded)));
    }

    /// Ticks whenever one is due, up to a time.
    pub fn wait_until(&mut self, time: Timestamp) {
        while let Some(due) = self.next_deadline.filter(|due| *due <= time) {
            self.now = self.now.max(due);
            self.apply(Input::Tick);
        }
        self.now = self.now.max(time);
    }

    /// Events that arrive at once and are judged together.
    pub fn happen_together(&mut self, happenings: Vec<Happening>) {
        happenings.iter().for_each(|happening| self.foresee(happening));
        let events = happenings.into_iter().filter_map(|happening| happening.event);
        self.apply_together(events.map(Input::Event).collect());
    }

    pub fn apply(&mut self, input: Input) {
        self.apply_together(vec![input]);
    }

    fn apply_together(&mut self, inputs: Vec<Input>) {
        assert!(self.entries.len() < INPUTS_MAX, "the scenario does not come to rest:\n{}", self.timeline);
        let first = self.entries.len() as u64 + 1;
        let entries =
            (first..).zip(inputs).map(|(position, input)| Entry { position, recorded: self.now, input });
        let entries: Vec<Entry> = entries.collect();
        let outcome = self.ledger.apply_together(&self.records, &entries).unwrap();
        self.records.commit(outcome.changes);
        self.next_deadline = outcome.next_deadline;
        // What is judged together is decided at the last.
        self.decisions.extend(entries.iter().skip(1).map(|_| Vec::new()));
        self.decisions.push(outcome.decisions.clone());
        self.entries.extend(entries);
        let mut follow_up = Vec::new();
        for decision in outcome.decisions {
            self.note(&decision);
            match decision {
                Decision::Verify { evidence } => {
                    if let Some(outcome) = self.outcomes.get(&evidence) {
                        follow_up.push(Input::Verified(Box::new(Verified {
                            evidence,
                            verifier: 1,
                            trust: self.ledger.contracts().trust_version(),
                            outcome: outcome.clone(),
                        })));
                    }
                }
                Decision::Ask { request } => {
                    if let Some(answer) = answer(&self.answers, &request, self.now) {
                        follow_up.push(Input::Event(Box::new(answer)));
                    }
                }
                Decision::PublishVerdict { .. } | Decision::PublishCase { .. } | Decision::Deliver { .. } => {
                }
            }
        }
        for input in follow_up {
            self.apply(input);
        }
    }

    fn note(&mut self, decision: &Decision) {
        let offset = self.now.duration_since(start()).as_secs();
        let line = match decision {
            Decision::PublishVerdict { change } => {
                let verdict = &change.verdict;
                if matches!(verdict.state.as_str(), "trusted" | "waived") {
                    self.ever_trusted.insert(format!("{} {}", verdict.pipeline, verdict.digest));
                }
                let links: Vec<String> = verdict
                    .links
                    .iter()
                    .filter(|link| link.state != LinkState::NotRequired && !link.state.is_proven())
                    .map(|link| format!("{} {}", link.kind, shown(&link.state)))
                    .collect();
                let links = if links.is_empty() { "all proven".to_owned() } else { links.join(", ") };
                format!(
                    "verdict {} {} is {}: {links}",
                    verdict.pipeline,
                    verdict.digest,
                    verdict.state.as_str()
                )
            }
            Decision::PublishCase { change, case } => {
                let (rule, severity, subject) = (&case.rule, case.severity.as_str(), &case.subject);
                let because = match (change, &case.resolution) {
                    (CaseChange::Resolved, Some(resolution)) => format!(": {resolution}"),
                    _ => String::new(),
                };
                let covered = if case.covered_by.is_some() { ", covered" } else { "" };
                format!("case {} {rule} [{severity}{covered}] {subject}{because}", change.as_str())
            }
            Decision::Deliver { change, case } => {
                self.delivered.push(format!("{} {}", case.id, case.revision));
                format!("tell {} {} {}", change.as_str(), case.rule, case.subject)
            }
            Decision::Ask { request } => {
                format!(
                    "ask {} of {}, attempt {}",
                    request.question.answerer().as_str(),
                    request.question.host(),
                    request.attempt
                )
            }
            Decision::Verify { evidence } => format!("verify {evidence}"),
        };
        let _ = writeln!(self.timeline, "{offset:>6}s {line}");
    }

    pub fn verdicts(&self) -> Vec<VerdictRecord> {
        self.all(Table::Verdicts)
    }

    /// The digests that are trusted or waived now, with their pipelines.
    pub fn trusted(&self) -> BTreeSet<String> {
        self.verdicts()
            .iter()
            .filter(|record| matches!(record.verdict.state.as_str(), "trusted" | "waived"))
            .map(|record| format!("{} {}", record.verdict.pipeline, record.verdict.digest))
            .collect()
    }

    pub fn cases(&self) -> Vec<CaseRecord> {
        self.all(Table::Cases)
    }

    fn all<T: serde::de::DeserializeOwned>(&self, table: Table) -> Vec<T> {
        let rows = self.records.scan(table, "", "", usize::MAX).unwrap();
        rows.into_iter().map(|(_, bytes)| serde_json::from_slice(&bytes).unwrap()).collect()
    }

    /// The verdicts and open cases, without times and histories: what must not depend on the order of events.
    pub fn conclusions(&self) -> String {
        let mut text = String::new();
        for record in self.verdicts() {
            let verdict = &record.verdict;
            let _ = writeln!(
                text,
                "verdict {} {} is {}",
                verdict.pipeline,
                verdict.digest,
                verdict.state.as_str()
            );
            for link in verdict.links.iter().filter(|link| link.state != LinkState::NotRequired) {
                let _ = writeln!(text, "  {} {}", link.kind, shown(&link.state));
            }
        }
        for record in self.cases().iter().filter(|record| record.case.state != CaseState::Resolved) {
            let case = &record.case;
            let covered = if case.covered_by.is_some() { ", covered" } else { "" };
            let _ =
                writeln!(text, "open {} [{}{covered}] {}", case.rule, case.severity.as_str(), case.subject);
        }
        text
    }

    /// The whole expectation of a scenario: what happened, and what it came to.
    pub fn report(&self, script: &Script, names: &[String]) -> String {
        let mut text = format!("{}\n\n{}\n{}", script.story.trim(), self.timeline, self.conclusions());
        for record in self.cases() {
            let case = &record.case;
            for finding in &case.findings {
                let _ = writeln!(
                    text,
                    "finding of {} ({}): {} expected {:?}, found {:?}",
                    case.rule,
                    case.state.as_str(),
                    finding.what,
                    finding.expected.as_deref().unwrap_or("-"),
                    finding.found.as_deref().unwrap_or("-"),
                );
            }
        }
        read_back(&text, names)
    }
}

/// What an agent answers by itself.
pub fn answer(answers: &Answers, request: &EvidenceRequested, now: Timestamp) -> Option<Envelope> {
    let (agent, answer) = match request.question.answerer() {
        Answerer::Registry => ("registry-agent", &answers.registry),
        Answerer::Ci => ("ci-agent", &answers.ci),
        Answerer::Source => ("source-agent", &answers.source),
    };
    let reason = answer.as_deref().unwrap_or("not_found");
    if reason == "silence" {
        return None;
    }
    Some(Envelope::new(
        agent.parse().unwrap(),
        now,
        now,
        None,
        Event::EvidenceUnavailable(EvidenceUnavailable {
            request: request.request.clone(),
            attempt: request.attempt,
            question: request.question.clone(),
            reason: Unavailable::from(reason),
            source: request.question.host().to_owned(),
            detail: "as the scenario says".to_owned(),
            found: 0,
            answered_at: now,
        }),
    ))
}

/// A file that reads as a public key in PEM: its DER is the name of the key, so that the key's fingerprint is the digest
/// of the name.
fn public_key(name: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for chunk in name.as_bytes().chunks(3) {
        let bits =
            chunk.iter().enumerate().fold(0_u32, |bits, (at, byte)| bits | u32::from(*byte) << (16 - 8 * at));
        for place in 0..4 {
            match place <= chunk.len() {
                true => encoded.push(char::from(ALPHABET[(bits >> (18 - 6 * place) & 63) as usize])),
                false => encoded.push('='),
            }
        }
    }
    format!("-----BEGIN PUBLIC KEY-----\n{encoded}\n-----END PUBLIC KEY-----\n")
}

fn shown(state: &LinkState) -> String {
    match state {
        LinkState::Broken { breaks } => {
            let reasons: Vec<String> = breaks.iter().map(|one| one.reason.to_string()).collect();
            format!("broken {{{}}}", reasons.join(", "))
        }
        LinkState::Unknown { reason, .. } => format!("unknown {{{reason}}}"),
        LinkState::Waived { exception, .. } => format!("waived {{{exception}}}"),
        other => other.as_str().to_owned(),
    }
}
