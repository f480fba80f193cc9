//! Storms: where many cases of one rule open at one place, people hear of the first by themselves and of all others
//! together.
//!
//! A storm is a case of the same rule about the place: the rule's part of the subjects that it shares, and where they run. It
//! covers the cases that it holds, which are kept and shown like any other. A place is as narrow as that so that nobody can
//! hide a problem elsewhere behind a storm of their own making: what is graver, or runs somewhere else too, is told by
//! itself.

use std::collections::BTreeSet;

use bus_schema::CaseId;
use bus_schema::case::{Case, CaseState, Finding, Severity};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Work;
use super::cases::{self, CaseRecord, FINDINGS_SHOWN_MAX};
use crate::decision::{CaseChange, Decision};
use crate::records::{self, RecordsError, Table};
use crate::rules::{self, Rule};

/// How many cases of one rule and place are told by themselves at once.
const TOLD_ALONE_MAX: u32 = 20;
/// After how long another one is.
const ANOTHER_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// The most places that a storm's subject names.
const PLACES_NAMED_MAX: usize = 3;
const NEXT_STEP: &str = "see what brings them: cases of this rule open here faster than anybody reads, and are told as this \
                         one; `custody cases` lists each";

/// A case that is told as part of a storm, as it was when it joined: what exceeds that is told by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledUp {
    pub storm: CaseId,
    severity: Severity,
    /// Namespaces, as `cluster/namespace`.
    places: BTreeSet<String>,
}

/// How many cases may still be told by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Allowance {
    left: u32,
    /// When it last grew, or was full.
    since: Timestamp,
}

impl Allowance {
    fn full(now: Timestamp) -> Allowance {
        Allowance { left: TOLD_ALONE_MAX, since: now }
    }

    /// Takes one, where there is one by now.
    fn take(&mut self, now: Timestamp) -> bool {
        let grown = now.duration_since(self.since).as_secs().max(0) / ANOTHER_AFTER.as_secs();
        let grown = u32::try_from(grown).unwrap_or(u32::MAX);
        match self.left.saturating_add(grown) {
            all if all >= TOLD_ALONE_MAX => *self = Allowance::full(now),
            all => {
                self.left = all;
                self.since = grown_until(self.since, grown);
            }
        }
        let has_one = self.left > 0;
        self.left = self.left.saturating_sub(1);
        has_one
    }
}

fn grown_until(since: Timestamp, times: u32) -> Timestamp {
    let passed = ANOTHER_AFTER.checked_mul(i32::try_from(times).unwrap_or(i32::MAX));
    passed.and_then(|passed| since.checked_add(passed).ok()).unwrap_or(since)
}

/// What the cases of a storm have in common.
struct Scope {
    rule: &'static Rule,
    severity: Severity,
    shared: Vec<String>,
    places: BTreeSet<String>,
}

impl Scope {
    fn of(record: &CaseRecord) -> Option<Scope> {
        let (_, rule) = rules::find(&record.case.rule)?;
        let runs_at = record.case.findings.iter().flat_map(|finding| &finding.runs_at);
        Some(Scope {
            rule,
            severity: record.case.severity,
            shared: record.subject.iter().take(rule.storm).cloned().collect(),
            places: runs_at.map(|workload| namespace_of(workload).to_owned()).collect(),
        })
    }

    fn storm(&self) -> CaseId {
        let first = ["storm", self.rule.name, self.severity.as_str()];
        // A number, so that no part of the subject can stand for a place.
        let shared = self.shared.len().to_string();
        let rest = self.shared.iter().chain(&self.places).map(String::as_str);
        CaseId::derive(first.into_iter().chain(std::iter::once(shared.as_str())).chain(rest))
    }

    fn subject(&self) -> Vec<String> {
        let mut subject = self.shared.clone();
        subject.extend(self.places.iter().take(PLACES_NAMED_MAX).cloned());
        if self.places.len() > PLACES_NAMED_MAX {
            subject.push(format!("and {} more places", self.places.len() - PLACES_NAMED_MAX));
        }
        if subject.is_empty() {
            subject.push("the whole fleet".to_owned());
        }
        subject.push("(many)".to_owned());
        subject
    }

    /// It is graver than what was rolled up, or runs somewhere else too.
    fn exceeds(&self, rolled_up: &RolledUp) -> bool {
        self.severity > rolled_up.severity || !self.places.is_subset(&rolled_up.places)
    }
}

/// Of `cluster/namespace/kind/name` the first two: neither kind nor name holds a slash.
fn namespace_of(workload: &str) -> &str {
    workload.rsplitn(3, '/').nth(2).unwrap_or(workload)
}

impl Work<'_> {
    /// Lets a case that changed join the storm of its place, stay in it or leave it.
    pub(super) fn roll_up(&mut self, record: &mut CaseRecord) -> Result<(), RecordsError> {
        let is_open = record.case.state != CaseState::Resolved;
        let Some(scope) = Scope::of(record) else { return Ok(()) };
        if let Some(rolled_up) = record.rolled_up.take() {
            if is_open && !scope.exceeds(&rolled_up) {
                record.rolled_up = Some(rolled_up);
                return Ok(());
            }
            self.leave(&rolled_up.storm, record)?;
            // Another case may cover it too.
            record.case.covered_by.take_if(|covering| *covering == rolled_up.storm);
        }
        let is_to_be_told = is_open && !record.delivered && record.case.covered_by.is_none();
        if !is_to_be_told {
            return Ok(());
        }
        let storm = scope.storm();
        if !self.is_told_alone(&storm)? {
            self.join(&storm, &scope, record)?;
            record.case.covered_by = Some(storm.clone());
            record.rolled_up = Some(RolledUp { storm, severity: scope.severity, places: scope.places });
        }
        Ok(())
    }

    fn is_told_alone(&mut self, storm: &CaseId) -> Result<bool, RecordsError> {
        let key = records::key(["told", storm.as_str()]);
        let known: Option<Allowance> = self.draft.get(Table::Findings, &key)?;
        let mut allowance = known.unwrap_or_else(|| Allowance::full(self.now));
        let is_told_alone = allowance.take(self.now);
        self.draft.put(Table::Findings, key, allowance);
        Ok(is_told_alone)
    }

    fn join(&mut self, id: &CaseId, scope: &Scope, record: &CaseRecord) -> Result<(), RecordsError> {
        let known: Option<CaseRecord> = self.draft.get(Table::Cases, &cases::key(id))?;
        let mut storm = known.clone().unwrap_or_else(|| new_storm(id, scope, record, self.now));
        if storm.case.state == CaseState::Resolved {
            storm.case.state = CaseState::Open;
            storm.case.opened_at = self.now;
            storm.case.resolved_at = None;
            storm.case.resolution = None;
            storm.case.reopened += 1;
        }
        storm.case.findings_total = storm.case.findings_total.saturating_add(1);
        if storm.case.findings.len() < FINDINGS_SHOWN_MAX {
            storm.case.findings.extend(record.case.findings.first().cloned());
        }
        storm.trace.clone_from(&record.trace);
        self.tell_storm(storm, known.as_ref())
    }

    fn leave(&mut self, id: &CaseId, record: &CaseRecord) -> Result<(), RecordsError> {
        let known: Option<CaseRecord> = self.draft.get(Table::Cases, &cases::key(id))?;
        let Some(mut storm) = known.clone().filter(|storm| storm.case.state != CaseState::Resolved) else {
            return Ok(());
        };
        storm.case.findings_total = storm.case.findings_total.saturating_sub(1);
        let is_about = |digest| record.digests.contains(&digest);
        let is_of_it =
            |shown: &Finding| record.case.findings.contains(shown) || shown.digest.is_some_and(is_about);
        storm.case.findings.retain(|shown| !is_of_it(shown));
        if storm.case.findings_total == 0 {
            storm.case.state = CaseState::Resolved;
            storm.case.resolved_at = Some(self.now);
            storm.case.resolution = Some("none of the cases that it stood for is left".to_owned());
        }
        storm.trace.clone_from(&record.trace);
        self.tell_storm(storm, known.as_ref())
    }

    /// Keeps a storm, and says something of it where there is something to tell: each case that it holds is published by
    /// itself.
    fn tell_storm(&mut self, mut storm: CaseRecord, known: Option<&CaseRecord>) -> Result<(), RecordsError> {
        let is_open = storm.case.state != CaseState::Resolved;
        let Some(change) = cases::delivery(&storm, known, is_open) else { return self.put_case(&storm) };
        storm.case.revision += 1;
        storm.case.updated_at = self.now;
        storm.delivered = change != CaseChange::Resolved;
        storm.told_findings = storm.case.findings_total;
        let case = Box::new(storm.case.clone());
        self.decide(Decision::PublishCase { change, case: case.clone() }, storm.trace.as_ref());
        self.decide(Decision::Deliver { change, case }, storm.trace.as_ref());
        self.put_case(&storm)
    }
}

fn new_storm(id: &CaseId, scope: &Scope, first: &CaseRecord, now: Timestamp) -> CaseRecord {
    let subject = scope.subject();
    let case = Case {
        id: id.clone(),
        rule: scope.rule.name.to_owned(),
        subject: subject.join(" "),
        state: CaseState::Open,
        severity: scope.severity,
        pipeline: first.case.pipeline.clone(),
        opened_at: now,
        updated_at: now,
        resolved_at: None,
        resolution: None,
        reopened: 0,
        revision: 0,
        findings: Vec::new(),
        findings_total: 0,
        covered_by: None,
        next_step: NEXT_STEP.to_owned(),
        runbook: first.case.runbook.clone(),
    };
    CaseRecord {
        case,
        subject,
        digests: BTreeSet::new(),
        delivered: false,
        told_findings: 0,
        trace: None,
        rolled_up: None,
    }
}

#[cfg(test)]
mod tests;
