//! A rule is one file, one folder of scenarios and one runbook, all of one name.

use std::collections::BTreeSet;

use crate::repository::{names_in, no_objections, read_text};

const CODE: &str = "correlator/correlator-core/src/rules";
/// What lies beside the rules and is none.
const NOT_RULES: &[&str] = &["context", "tests"];
const SCENARIOS: &str = "tests/scenarios/rules";
const RUNBOOKS: &str = "runbooks";

/// The parts of a runbook, in their order.
const RUNBOOK_PARTS: &[&str] = &["## Meaning", "## Impact", "## Diagnosis", "## Mitigation", "## Recovery"];

#[test]
fn every_rule_has_its_file_its_scenarios_and_its_runbook_of_one_name() {
    let code: BTreeSet<String> = names_in(CODE)
        .iter()
        .filter_map(|name| name.strip_suffix(".rs"))
        .filter(|name| !NOT_RULES.contains(name))
        .map(|name| name.replace('_', "-"))
        .collect();
    let scenarios: BTreeSet<String> = names_in(SCENARIOS).into_iter().collect();
    let runbooks = runbooks();
    let mut objections = Vec::new();
    for rule in code.union(&scenarios).chain(&runbooks).collect::<BTreeSet<_>>() {
        let file = rule.replace('-', "_");
        let places = [
            (code.contains(rule), format!("{CODE}/{file}.rs")),
            (scenarios.contains(rule), format!("{SCENARIOS}/{rule}/")),
            (runbooks.contains(rule), format!("{RUNBOOKS}/{rule}.md")),
        ];
        let missing = places.into_iter().filter(|(is_there, _)| !is_there);
        objections.extend(missing.map(|(_, place)| format!("{rule} has no {place}")));
    }
    no_objections(&objections, "Add what is missing, or remove what is left of a rule that is gone.");
}

#[test]
fn every_runbook_says_what_a_person_on_call_needs() {
    let mut objections = Vec::new();
    for name in runbooks() {
        let path = format!("{RUNBOOKS}/{name}.md");
        let text = read_text(&path).unwrap();
        let mut rest = text.as_str();
        for part in RUNBOOK_PARTS {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => objections.push(format!("{path} has no \"{part}\" in its place")),
            }
        }
        if !text.starts_with(&format!("# {name}\n")) {
            objections.push(format!("{path} does not begin with its rule's name"));
        }
    }
    no_objections(
        &objections,
        "A runbook has the parts Meaning, Impact, Diagnosis, Mitigation and Recovery, in this order.",
    );
}

fn runbooks() -> BTreeSet<String> {
    names_in(RUNBOOKS).iter().filter_map(|name| name.strip_suffix(".md")).map(str::to_owned).collect()
}
