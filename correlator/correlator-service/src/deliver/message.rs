//! What people are told about a case: what happened, where it runs, which link broke, what to do next.
//!
//! In: the case after a change. Out: a CloudEvent in JSON, the same bytes for the same change. Text from outside is made
//! harmless.

use bus_schema::case::{Case, CaseState, Finding};
use bus_schema::{CaseId, TraceParent};
use correlator_core::decision::CaseChange;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use fleet_runtime::outside_text::{shown, shown_json};

/// Findings that the text tells one by one.
const TOLD_MAX: usize = 5;
/// Places that the text names.
const PLACES_MAX: usize = 20;

/// The `data` of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertBody {
    pub case: Case,
    pub text: AlertText,
}

/// The case in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertText {
    /// One line.
    pub title: String,
    /// What happened, one line each.
    pub what: Vec<String>,
    /// Where it runs.
    pub runs_at: Vec<String>,
    /// The links that broke, with what was expected and what was found.
    pub links: Vec<AlertLink>,
    /// Which open case is told in place of this one, when one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covered_by: Option<String>,
    /// Why it is over, when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<String>,
    pub next_step: String,
    pub runbook: String,
    pub page: String,
}

/// One broken link in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertLink {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

/// The body of an alert.
pub(super) fn body(
    id: &str,
    change: CaseChange,
    case: &Case,
    log_position: u64,
    trace: &TraceParent,
    links: &Links<'_>,
) -> Result<Vec<u8>, serde_json::Error> {
    let data = AlertBody { case: case.clone(), text: text(change, case, links) };
    let value: Value = json!({
        "specversion": "1.0",
        "id": id,
        "source": format!("urn:custody:log:{}", links.log),
        "type": format!("dev.custody.case.{}.v1", change.as_str()),
        "subject": case.id,
        "logposition": log_position.to_string(),
        "time": case.updated_at,
        "datacontenttype": "application/json",
        "traceparent": trace,
        "data": data,
    });
    serde_json::to_vec(&shown_json(value))
}

/// Where the links of an alert lead.
#[derive(Debug)]
pub(super) struct Links<'a> {
    pub(super) log: String,
    pub(super) public_url: &'a Url,
    pub(super) runbooks_url: Option<&'a Url>,
}

fn text(change: CaseChange, case: &Case, links: &Links<'_>) -> AlertText {
    let told = case.findings.iter().take(TOLD_MAX);
    let mut what: Vec<String> = told.clone().map(|finding| shown(&finding.what)).collect();
    let total = usize::try_from(case.findings_total).unwrap_or(usize::MAX);
    if total > what.len() {
        what.push(format!("and {} more", total - what.len()));
    }
    let mut runs_at: Vec<String> = Vec::new();
    for place in case.findings.iter().flat_map(|finding| &finding.runs_at) {
        let place = shown(place);
        if runs_at.len() < PLACES_MAX && !runs_at.contains(&place) {
            runs_at.push(place);
        }
    }
    AlertText {
        title: title(change, case),
        what,
        runs_at,
        links: told.filter_map(link).collect(),
        covered_by: case.covered_by.as_ref().map(|covering| covered(covering, links.public_url)),
        resolution: case.resolution.as_deref().map(shown),
        next_step: shown(&case.next_step),
        runbook: runbook(case, links.runbooks_url),
        page: page(&case.id, links.public_url),
    }
}

fn title(change: CaseChange, case: &Case) -> String {
    let severity = case.severity.as_str();
    let said = match (change, case.state) {
        (CaseChange::Resolved, _) | (_, CaseState::Resolved) => "resolved",
        (CaseChange::Opened, _) if case.reopened > 0 => "is back",
        (CaseChange::Opened, _) => "opened",
        (CaseChange::Updated, _) if case.covered_by.is_some() => "is covered by another case",
        (CaseChange::Updated, _) => "changed",
    };
    shown(&format!("[{severity}] {} {said}: {}", case.rule, case.subject))
}

fn link(finding: &Finding) -> Option<AlertLink> {
    let says_something = finding.link.is_some() || finding.expected.is_some() || finding.found.is_some();
    says_something.then(|| AlertLink {
        link: finding.link.map(|link| link.as_str().to_owned()),
        digest: finding.digest.map(|digest| digest.to_string()),
        expected: finding.expected.as_deref().map(shown),
        found: finding.found.as_deref().map(shown),
    })
}

fn runbook(case: &Case, base: Option<&Url>) -> String {
    match base {
        Some(base) => format!("{}/{}.md", base.as_str().trim_end_matches('/'), case.rule),
        None => case.runbook.clone(),
    }
}

fn page(case: &CaseId, base: &Url) -> String {
    format!("{}/api/v1/cases/{case}", base.as_str().trim_end_matches('/'))
}

fn covered(covering: &CaseId, base: &Url) -> String {
    shown(&format!("it is told as part of case {covering}, {}", page(covering, base)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_case_that_another_covers_names_it_in_words() {
        let (own, other) = (format!("case-{}", "a".repeat(32)), format!("case-{}", "b".repeat(32)));
        let case = |covered_by: Option<&str>| -> Case {
            let mut case = json!({
                "id": own, "rule": "push-outside-ci", "subject": "ghcr.io acme/api", "severity": "medium", "state": "open",
                "openedAt": "2026-03-02T09:00:00Z", "updatedAt": "2026-03-02T09:01:00Z", "reopened": 0, "revision": 2,
                "findings": [], "findingsTotal": 0, "nextStep": "look", "runbook": "runbooks/push-outside-ci.md",
            });
            if let Some(covering) = covered_by {
                case["coveredBy"] = json!(covering);
            }
            serde_json::from_value(case).unwrap()
        };
        let url = "http://custody.example/".parse().unwrap();
        let links = Links { log: "log".to_owned(), public_url: &url, runbooks_url: None };
        let covered = text(CaseChange::Updated, &case(Some(&other)), &links);
        assert!(covered.title.contains("is covered by another case"), "{}", covered.title);
        let said = covered.covered_by.unwrap();
        assert!(said.contains(&other) && said.contains("http://custody.example/api/v1/cases/"), "{said}");
        let alone = text(CaseChange::Updated, &case(None), &links);
        assert!(alone.covered_by.is_none() && alone.title.contains("changed"), "{}", alone.title);
    }
}
