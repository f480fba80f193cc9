//! Cases: one per problem, kept open by the findings of units, covered by each other, told to people once.

use std::collections::{BTreeMap, BTreeSet};

use bus_schema::case::{Case, CaseState, Finding, Severity};
use bus_schema::{CaseId, Digest, TraceParent};
use serde::{Deserialize, Serialize};

use super::Work;
use super::storm::RolledUp;
use crate::decision::{CaseChange, Decision};
use crate::records::{self, RecordsError, Table};
use crate::rules::{self, Raised};

/// The most findings that a case shows.
pub(super) const FINDINGS_SHOWN_MAX: usize = 20;
/// The most repositories that a case lists where its rule lists them.
const LISTED_MAX: usize = 250;
/// The most workloads that a listed repository names.
const PLACES_LISTED_MAX: usize = 3;
/// The most findings that a case counts.
const FINDINGS_COUNTED_MAX: usize = 10_000;
/// The most cases of one digest that are compared for covering.
const CASES_OF_DIGEST_MAX: usize = 200;

/// A case with what delivery needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseRecord {
    pub case: Case,
    pub subject: Vec<String>,
    /// The digests that its findings name, where its rule takes part in covering.
    pub digests: BTreeSet<Digest>,
    /// People were told that it is open.
    pub delivered: bool,
    /// How many findings there were when people were last told.
    pub told_findings: u32,
    /// The trace of what changed its findings last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
    /// The storm that stands for it, whether or not another case does too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_up: Option<RolledUp>,
}

/// One finding that keeps a case open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeptFinding {
    unit: String,
    raised: Raised,
}

/// A case that must be looked at again, and why findings that are gone are gone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Touch {
    pub(super) case: CaseId,
    pub(super) because: String,
    pub(super) trace: Option<TraceParent>,
}

pub fn key(case: &CaseId) -> String {
    case.to_string()
}

fn case_id(raised: &Raised) -> CaseId {
    CaseId::derive(std::iter::once(raised.rule.as_str()).chain(raised.subject.iter().map(String::as_str)))
}

fn finding_key(case: &CaseId, unit: &str, index: usize) -> String {
    records::key(["of", case.as_str(), unit, &format!("{index:04}")])
}

fn findings_of_unit(case: &CaseId, unit: &str) -> String {
    records::prefix(["of", case.as_str(), unit])
}

fn findings_prefix(case: &CaseId) -> String {
    records::prefix(["of", case.as_str()])
}

fn digest_key(digest: &Digest, case: &CaseId) -> String {
    records::key(["digest", &digest.to_string(), case.as_str()])
}

fn digest_prefix(digest: &Digest) -> String {
    records::prefix(["digest", &digest.to_string()])
}

impl Work<'_> {
    /// Adds the findings that a unit had, in the place of those that are raised now in the same cases.
    pub(super) fn add_findings_of_before(
        &self,
        unit: &str,
        cases_before: &[String],
        raised: &mut Vec<Raised>,
    ) -> Result<(), RecordsError> {
        let before: BTreeSet<CaseId> = cases_before.iter().filter_map(|case| case.parse().ok()).collect();
        raised.retain(|raised| !before.contains(&case_id(raised)));
        for case in &before {
            let kept: Vec<(String, KeptFinding)> =
                self.draft.scan(Table::Findings, &findings_of_unit(case, unit), FINDINGS_COUNTED_MAX)?;
            raised.extend(kept.into_iter().map(|(_, kept)| kept.raised));
        }
        Ok(())
    }

    /// Replaces the findings of a unit. Returns the cases that they keep open.
    pub(super) fn keep_findings(
        &mut self,
        unit: &str,
        cases_before: &[String],
        raised: Vec<Raised>,
        because: &str,
        trace: Option<&TraceParent>,
        changed: &mut BTreeSet<Touch>,
    ) -> Result<Vec<String>, RecordsError> {
        let mut by_case: BTreeMap<CaseId, Vec<Raised>> = BTreeMap::new();
        for raised in raised {
            by_case.entry(case_id(&raised)).or_default().push(raised);
        }
        let before = cases_before.iter().filter_map(|case| case.parse::<CaseId>().ok());
        let all: BTreeSet<CaseId> = before.chain(by_case.keys().cloned()).collect();
        for case in all {
            let known: Vec<(String, KeptFinding)> =
                self.draft.scan(Table::Findings, &findings_of_unit(&case, unit), FINDINGS_COUNTED_MAX)?;
            let now = by_case.get(&case).map(Vec::as_slice).unwrap_or_default();
            let is_same = known.len() == now.len()
                && known.iter().zip(now).all(|((_, kept), raised)| kept.raised == *raised);
            if is_same {
                continue;
            }
            for (key, _) in &known {
                self.draft.remove(Table::Findings, key);
            }
            for (index, raised) in now.iter().enumerate() {
                let kept = KeptFinding { unit: unit.to_owned(), raised: raised.clone() };
                self.draft.put(Table::Findings, finding_key(&case, unit, index), kept);
            }
            let rule =
                known.iter().map(|(_, kept)| &kept.raised).chain(now).next().map(|raised| &raised.rule);
            let over = rule.and_then(|rule| rules::find(rule)).and_then(|(_, rule)| rule.over);
            let because = over.unwrap_or(because).to_owned();
            changed.insert(Touch { case, because, trace: trace.cloned() });
        }
        Ok(by_case.keys().map(ToString::to_string).collect())
    }

    /// Brings every touched case up to its findings, then settles who covers whom, then tells.
    pub(super) fn update_cases(&mut self, touched: BTreeSet<Touch>) -> Result<(), RecordsError> {
        let mut before: BTreeMap<CaseId, Option<CaseRecord>> = BTreeMap::new();
        let mut digests = BTreeSet::new();
        for touch in &touched {
            let known: Option<CaseRecord> = self.draft.get(Table::Cases, &key(&touch.case))?;
            digests.extend(known.iter().flat_map(|record| record.digests.iter().copied()));
            let after = self.case_from_findings(touch, known.as_ref())?;
            before.entry(touch.case.clone()).or_insert(known);
            if let Some(mut after) = after {
                after.trace = touch.trace.clone().or(after.trace);
                digests.extend(after.digests.iter().copied());
                self.put_case(&after)?;
            }
        }
        for digest in digests {
            self.settle_covering(&digest, &mut before)?;
        }
        for (case, known) in before {
            self.tell(&case, known)?;
        }
        Ok(())
    }

    pub(super) fn put_case(&mut self, record: &CaseRecord) -> Result<(), RecordsError> {
        let known: Option<CaseRecord> = self.draft.get(Table::Cases, &key(&record.case.id))?;
        for digest in
            known.iter().flat_map(|known| &known.digests).filter(|digest| !record.digests.contains(digest))
        {
            self.draft.remove(Table::Findings, &digest_key(digest, &record.case.id));
        }
        for digest in &record.digests {
            self.draft.put(Table::Findings, digest_key(digest, &record.case.id), ());
        }
        self.draft.put(Table::Cases, key(&record.case.id), record.clone());
        Ok(())
    }

    /// The case as its findings make it now; `None` when there never was one.
    fn case_from_findings(
        &self,
        touch: &Touch,
        known: Option<&CaseRecord>,
    ) -> Result<Option<CaseRecord>, RecordsError> {
        let findings: Vec<(String, KeptFinding)> =
            self.draft.scan(Table::Findings, &findings_prefix(&touch.case), FINDINGS_COUNTED_MAX)?;
        let Some((_, first)) = findings.first() else {
            let Some(known) = known.filter(|known| known.case.state != CaseState::Resolved) else {
                return Ok(known.cloned());
            };
            let mut resolved = known.clone();
            resolved.case.state = CaseState::Resolved;
            resolved.case.resolved_at = Some(self.now);
            resolved.case.resolution = Some(touch.because.clone());
            resolved.case.covered_by = None;
            resolved.digests.clear();
            return Ok(Some(resolved));
        };
        let Some((_, rule)) = rules::find(&first.raised.rule) else { return Ok(None) };
        let severity = findings.iter().map(|(_, kept)| kept.raised.severity).max().unwrap_or(Severity::Info);
        let all = findings.iter().map(|(_, kept)| &kept.raised.finding);
        let (shown, shown_max) = match rule.lists {
            true => (list_findings(all), LISTED_MAX),
            false => (merge_findings(all, FINDINGS_SHOWN_MAX), FINDINGS_SHOWN_MAX),
        };
        let digests = match rule.covers {
            true => findings.iter().filter_map(|(_, kept)| kept.raised.finding.digest).collect(),
            false => BTreeSet::new(),
        };
        let total = u32::try_from(shown.len()).unwrap_or(u32::MAX);
        let was_resolved = known.is_some_and(|known| known.case.state == CaseState::Resolved);
        let case = Case {
            id: touch.case.clone(),
            rule: rule.name.to_owned(),
            subject: first.raised.subject.join(" "),
            state: match known {
                Some(known) if !was_resolved => known.case.state,
                _ => CaseState::Open,
            },
            severity,
            pipeline: first.raised.pipeline.clone(),
            opened_at: known.filter(|_| !was_resolved).map_or(self.now, |known| known.case.opened_at),
            updated_at: known.map_or(self.now, |known| known.case.updated_at),
            resolved_at: None,
            resolution: None,
            reopened: known.map_or(0, |known| known.case.reopened + u32::from(was_resolved)),
            revision: known.map_or(0, |known| known.case.revision),
            findings: shown.into_iter().take(shown_max).collect(),
            findings_total: total,
            covered_by: known.and_then(|known| known.case.covered_by.clone()),
            next_step: rule.next_step.to_owned(),
            runbook: format!("runbooks/{}.md", rule.name),
        };
        Ok(Some(CaseRecord {
            case,
            subject: first.raised.subject.clone(),
            digests,
            delivered: known.is_some_and(|known| known.delivered && !was_resolved),
            told_findings: known.map_or(0, |known| known.told_findings),
            trace: known.and_then(|known| known.trace.clone()),
            rolled_up: known.and_then(|known| known.rolled_up.clone()),
        }))
    }

    /// Of the open cases on one digest only the first in the rules' order is delivered. A case about several digests is
    /// covered only where each of them has an earlier case.
    fn settle_covering(
        &mut self,
        digest: &Digest,
        before: &mut BTreeMap<CaseId, Option<CaseRecord>>,
    ) -> Result<(), RecordsError> {
        for key in self.draft.keys(Table::Findings, &digest_prefix(digest), CASES_OF_DIGEST_MAX)? {
            let Some(id) = records::parts(&key).last().and_then(|id| id.parse::<CaseId>().ok()) else {
                continue;
            };
            let Some(mut record) = self.draft.get::<CaseRecord>(Table::Cases, &self::key(&id))? else {
                continue;
            };
            let storm = record.rolled_up.as_ref().map(|rolled_up| rolled_up.storm.clone());
            let covered_by = self.covering(&record)?.or(storm);
            if record.case.covered_by != covered_by {
                before.entry(id).or_insert_with(|| Some(record.clone()));
                record.case.covered_by = covered_by;
                self.put_case(&record)?;
            }
        }
        Ok(())
    }

    fn covering(&self, record: &CaseRecord) -> Result<Option<CaseId>, RecordsError> {
        let Some((order, _)) = rules::find(&record.case.rule) else { return Ok(None) };
        let mut first: Option<(usize, CaseId)> = None;
        for digest in &record.digests {
            let mut earliest: Option<(usize, CaseId)> = None;
            for key in self.draft.keys(Table::Findings, &digest_prefix(digest), CASES_OF_DIGEST_MAX)? {
                let Some(id) = records::parts(&key).last().and_then(|id| id.parse::<CaseId>().ok()) else {
                    continue;
                };
                let Some(other) = self.draft.get::<CaseRecord>(Table::Cases, &self::key(&id))? else {
                    continue;
                };
                let Some((other_order, _)) = rules::find(&other.case.rule) else { continue };
                // What only informs covers nothing that should be looked at.
                let informs_only =
                    other.case.severity == Severity::Info && record.case.severity > Severity::Info;
                let is_earlier =
                    other_order < order && other.case.state != CaseState::Resolved && !informs_only;
                let candidate = (other_order, id);
                if is_earlier && earliest.as_ref().is_none_or(|known| candidate < *known) {
                    earliest = Some(candidate);
                }
            }
            let Some(earliest) = earliest else { return Ok(None) };
            if first.as_ref().is_none_or(|known| earliest < *known) {
                first = Some(earliest);
            }
        }
        Ok(first.map(|(_, id)| id))
    }

    /// Publishes what is new about a case, and delivers what people must know.
    fn tell(&mut self, id: &CaseId, known: Option<CaseRecord>) -> Result<(), RecordsError> {
        let Some(mut record) = self.draft.get::<CaseRecord>(Table::Cases, &key(id))? else { return Ok(()) };
        self.roll_up(&mut record)?;
        if known.as_ref().is_some_and(|known| known.case == record.case) {
            return Ok(());
        }
        let was_open = known.as_ref().is_some_and(|known| known.case.state != CaseState::Resolved);
        let is_open = record.case.state != CaseState::Resolved;
        let change = match (was_open, is_open) {
            (false, true) => CaseChange::Opened,
            (true, true) => CaseChange::Updated,
            (_, false) => CaseChange::Resolved,
        };
        record.case.revision += 1;
        record.case.updated_at = self.now;
        let delivery = delivery(&record, known.as_ref(), is_open);
        if let Some(delivery) = delivery {
            record.delivered = delivery != CaseChange::Resolved;
            record.told_findings = record.case.findings_total;
        }
        let case = Box::new(record.case.clone());
        self.decide(Decision::PublishCase { change, case: case.clone() }, record.trace.as_ref());
        if let Some(change) = delivery {
            self.decide(Decision::Deliver { change, case }, record.trace.as_ref());
        }
        self.put_case(&record)
    }
}

/// What people are told: once that it is open, then what matters, then that it is over.
pub(super) fn delivery(record: &CaseRecord, known: Option<&CaseRecord>, is_open: bool) -> Option<CaseChange> {
    match (record.delivered, is_open) {
        (true, false) => Some(CaseChange::Resolved),
        (false, false) => None,
        (false, true) => record.case.covered_by.is_none().then_some(CaseChange::Opened),
        (true, true) => {
            let known = known?;
            // A storm of one rule rolls up: people hear of it again when it has doubled.
            let has_doubled = record.case.findings_total >= record.told_findings.saturating_mul(2).max(2);
            let matters = known.case.severity != record.case.severity
                || known.case.covered_by != record.case.covered_by
                || has_doubled;
            matters.then_some(CaseChange::Updated)
        }
    }
}

/// Equal findings about several places are one finding with the first of the places.
fn merge_findings<'a>(findings: impl Iterator<Item = &'a Finding>, places_max: usize) -> Vec<Finding> {
    let merged = by_places(findings).into_iter();
    merged
        .map(|(mut finding, places)| {
            finding.runs_at = places.into_iter().take(places_max).collect();
            finding
        })
        .collect()
}

/// The same with the number of workloads of each, the busiest first.
fn list_findings<'a>(findings: impl Iterator<Item = &'a Finding>) -> Vec<Finding> {
    let mut counted: Vec<(Finding, BTreeSet<String>)> = by_places(findings).into_iter().collect();
    counted.sort_by_key(|(_, places)| std::cmp::Reverse(places.len()));
    counted
        .into_iter()
        .map(|(mut finding, places)| {
            finding.found = Some(match places.len() {
                1 => "1 workload".to_owned(),
                many => format!("{many} workloads"),
            });
            finding.runs_at = places.into_iter().take(PLACES_LISTED_MAX).collect();
            finding
        })
        .collect()
}

fn by_places<'a>(findings: impl Iterator<Item = &'a Finding>) -> BTreeMap<Finding, BTreeSet<String>> {
    let mut merged: BTreeMap<Finding, BTreeSet<String>> = BTreeMap::new();
    for finding in findings {
        let mut bare = finding.clone();
        let places = std::mem::take(&mut bare.runs_at);
        merged.entry(bare).or_default().extend(places);
    }
    merged
}
