//! Cases as people read them: a list of one line each, or one whole.

use bus_schema::case::{Case, CaseState, Severity};
use comfy_table::Cell;

use super::paint::Paint;
use fleet_runtime::outside_text::shown;

/// How much of an id is shown in a list; enough to name it.
const ID_CHARS: usize = 12;

/// One line per case, the gravest first.
pub(crate) fn list(cases: &[Case], paint: Paint) -> String {
    if cases.is_empty() {
        return "no cases\n".to_owned();
    }
    let mut cases: Vec<&Case> = cases.iter().collect();
    cases.sort_by_key(|case| {
        (case.state, case.covered_by.is_some(), std::cmp::Reverse(case.severity), case.opened_at)
    });
    let mut table = comfy_table::Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        // Whether to colour is known already: a cell without a colour gets none.
        .enforce_styling()
        .set_header(["ID", "SEVERITY", "STATE", "RULE", "SUBJECT"]);
    table.style_text_only();
    for case in cases {
        let covered = if case.covered_by.is_some() { " (covered)" } else { "" };
        let id: String = shown(case.id.as_str()).chars().take(ID_CHARS).collect();
        table.add_row([
            Cell::new(id),
            severity_cell(case, paint),
            Cell::new(format!("{}{covered}", case.state.as_str())),
            Cell::new(shown(&case.rule)),
            Cell::new(shown(&case.subject)),
        ]);
    }
    table.trim_fmt() + "\n"
}

/// Everything about one case.
pub(crate) fn one(case: &Case, paint: Paint) -> String {
    let field = |name: &str, value: &str| format!("{}  {value}", paint.strong(&format!("{name:<9}")));
    let mut lines = vec![
        field("case", &shown(case.id.as_str())),
        field("rule", &format!("{}  {}", shown(&case.rule), severity(case, paint))),
        field("subject", &shown(&case.subject)),
        field("state", &format!("{} since {}", case.state.as_str(), since(case))),
    ];
    if case.reopened > 0 {
        lines.push(field("came back", &format!("{} times", case.reopened)));
    }
    if let Some(covering) = &case.covered_by {
        lines.push(field("covered", &format!("told as part of {}", shown(covering.as_str()))));
    }
    if let Some(resolution) = &case.resolution {
        lines.push(field("because", &shown(resolution)));
    }
    lines.push(String::new());
    lines.extend(findings(case));
    lines.push(String::new());
    lines.push(field("next", &shown(&case.next_step)));
    lines.push(field("runbook", &shown(&case.runbook)));
    lines.join("\n") + "\n"
}

/// What was found, with expected, found, and where it runs.
pub(crate) fn findings(case: &Case) -> Vec<String> {
    let mut lines = Vec::new();
    for finding in &case.findings {
        lines.push(format!("  {}", shown(&finding.what)));
        lines.extend(finding.digest.iter().map(|digest| format!("    digest   {digest}")));
        lines.extend(finding.expected.iter().map(|text| format!("    expected {}", shown(text))));
        lines.extend(finding.found.iter().map(|text| format!("    found    {}", shown(text))));
        lines.extend(finding.runs_at.iter().map(|place| format!("    runs at  {}", shown(place))));
    }
    let told = u32::try_from(case.findings.len()).unwrap_or(u32::MAX);
    if case.findings_total > told {
        lines.push(format!("  and {} more", case.findings_total - told));
    }
    lines
}

/// The severity's word, coloured.
pub(crate) fn severity(case: &Case, paint: Paint) -> String {
    let word = case.severity.as_str();
    match urgency(case) {
        Urgency::Now => paint.bad(word),
        Urgency::Soon => paint.waiting(word),
        Urgency::None => word.to_owned(),
    }
}

fn severity_cell(case: &Case, paint: Paint) -> Cell {
    let word = case.severity.as_str();
    match urgency(case) {
        Urgency::Now => paint.bad_cell(word),
        Urgency::Soon => paint.waiting_cell(word),
        Urgency::None => Cell::new(word),
    }
}

enum Urgency {
    Now,
    Soon,
    None,
}

fn urgency(case: &Case) -> Urgency {
    match case.severity {
        _ if case.state == CaseState::Resolved => Urgency::None,
        Severity::High | Severity::Critical => Urgency::Now,
        Severity::Medium => Urgency::Soon,
        _ => Urgency::None,
    }
}

fn since(case: &Case) -> jiff::Timestamp {
    case.resolved_at.unwrap_or(case.opened_at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn colours_move_no_column() {
        let case = |severity: &str, state: &str| -> Case {
            let id = format!("case-{}", "0".repeat(32));
            let time = "2026-07-24T10:00:00Z";
            serde_json::from_value(serde_json::json!({
                "id": id, "rule": "tag-overwritten", "subject": "acme/api v1", "state": state,
                "severity": severity, "openedAt": time, "updatedAt": time, "reopened": 0, "revision": 1,
                "findings": [], "findingsTotal": 0, "nextStep": "look", "runbook": "runbooks/tag-overwritten.md",
            }))
            .unwrap()
        };
        let cases =
            [case("high", "open"), case("medium", "open"), case("low", "open"), case("high", "resolved")];
        let (plain, coloured) = (list(&cases, Paint::new(false)), list(&cases, Paint::new(true)));
        assert!(!plain.contains('\u{1b}'), "{plain:?}");
        assert!(coloured.matches("\u{1b}[").count() >= 4, "{coloured:?}");
        let mut uncoloured = String::new();
        for (at, part) in coloured.split('\u{1b}').enumerate() {
            uncoloured.push_str(if at == 0 { part } else { part.split_once('m').unwrap().1 });
        }
        assert_eq!(uncoloured, plain);
    }
}
