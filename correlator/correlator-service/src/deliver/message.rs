//! What people are told about a case: what happened, where it runs, which link broke, what to do next.
//!
//! In: the case after a change. Out: a CloudEvent in JSON, the same bytes for the same change. Text from outside is made
//! harmless.

use bus_schema::TraceParent;
use bus_schema::case::{Case, CaseState, Finding};
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
        resolution: case.resolution.as_deref().map(shown),
        next_step: shown(&case.next_step),
        runbook: runbook(case, links.runbooks_url),
        page: page(case, links.public_url),
    }
}

fn title(change: CaseChange, case: &Case) -> String {
    let severity = case.severity.as_str();
    let said = match (change, case.state) {
        (CaseChange::Resolved, _) | (_, CaseState::Resolved) => "resolved",
        (CaseChange::Opened, _) if case.reopened > 0 => "is back",
        (CaseChange::Opened, _) => "opened",
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

fn page(case: &Case, base: &Url) -> String {
    format!("{}/api/v1/cases/{}", base.as_str().trim_end_matches('/'), case.id)
}
