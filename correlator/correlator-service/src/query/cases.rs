//! Cases.

use bus_schema::CaseId;
use bus_schema::case::{Case, CaseState};
use correlator_core::ledger::cases::{CaseRecord, key};
use correlator_core::records::Table;
use correlator_store::Snapshot;

use super::{QueryError, reads};
use crate::api::types::{CaseDetail, Cases, CasesAsked};
use fleet_runtime::outside_text::shown;

const CASES_PER_PAGE_MAX: usize = 200;
/// Cases that are looked at for those that one covers.
const COVERED_LOOKED_AT_MAX: usize = 100_000;
/// Cases that are named as covered: a storm covers any number.
const COVERED_SHOWN_MAX: usize = 100;

pub(super) fn cases(snapshot: &Snapshot, asked: &CasesAsked) -> Result<Cases, QueryError> {
    let state = asked.state.as_deref().map(state).transpose()?;
    let limit = asked.limit.unwrap_or(CASES_PER_PAGE_MAX).clamp(1, CASES_PER_PAGE_MAX);
    let after = asked.after.as_deref().map(str::parse::<CaseId>).transpose()?;
    let from = after.map(|id| reads::after(&key(&id))).unwrap_or_default();
    let mut found = Vec::new();
    let mut next = None;
    // Keys are ids, in no order that means anything to people: pages are cut by key and each is sorted by the reader.
    reads::scan_from::<CaseRecord>(snapshot, Table::Cases, "", from, |_, record| {
        let fits = state.is_none_or(|state| record.case.state == state)
            && asked.rule.as_ref().is_none_or(|rule| record.case.rule == *rule);
        if !fits {
            return true;
        }
        if found.len() == limit {
            next = found.last().map(|case: &Case| case.id.to_string());
            return false;
        }
        found.push(harmless(record.case));
        true
    })?;
    Ok(Cases { cases: found, next })
}

pub(super) fn case(snapshot: &Snapshot, id: &CaseId) -> Result<CaseDetail, QueryError> {
    let record: Option<CaseRecord> = reads::get(snapshot, Table::Cases, &key(id))?;
    let Some(record) = record else { return Err(QueryError::NotFound { what: format!("the case {id}") }) };
    let mut covers = Vec::new();
    let mut looked_at = 0;
    let mut covers_cut = false;
    reads::scan::<CaseRecord>(snapshot, Table::Cases, "", |_, other| {
        if looked_at == COVERED_LOOKED_AT_MAX || covers.len() == COVERED_SHOWN_MAX {
            covers_cut = true;
            return false;
        }
        looked_at += 1;
        if other.case.covered_by.as_ref() == Some(id) {
            covers.push(other.case.id);
        }
        true
    })?;
    Ok(CaseDetail { case: harmless(record.case), delivered: record.delivered, covers, covers_cut })
}

/// The case with its outside texts made harmless.
pub(super) fn harmless(mut case: Case) -> Case {
    let clean = |text: &mut String| *text = shown(text);
    let clean_option = |text: &mut Option<String>| *text = text.as_deref().map(shown);
    clean(&mut case.subject);
    clean(&mut case.next_step);
    clean_option(&mut case.resolution);
    for finding in &mut case.findings {
        clean(&mut finding.what);
        clean_option(&mut finding.expected);
        clean_option(&mut finding.found);
        finding.runs_at.iter_mut().for_each(clean);
    }
    case
}

fn state(text: &str) -> Result<CaseState, QueryError> {
    match text {
        "open" => Ok(CaseState::Open),
        "acknowledged" => Ok(CaseState::Acknowledged),
        "resolved" => Ok(CaseState::Resolved),
        _ => Err(QueryError::Asked { what: "state is none of open, acknowledged, resolved".to_owned() }),
    }
}
