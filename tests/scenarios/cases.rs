//! What people are told: once each, and why it is over.

use std::collections::BTreeSet;

use bus_schema::case::CaseState;
use correlator_core::decision::{CaseChange, Decision};
use correlator_core::rules::RULES;

use crate::played;

#[test]
fn every_change_is_told_once_and_every_end_says_why() {
    for (scenario, play) in played() {
        let told: BTreeSet<&String> = play.delivered.iter().collect();
        assert_eq!(told.len(), play.delivered.len(), "{}: a change is told twice", scenario.name);
        let mut open = BTreeSet::new();
        for decision in play.decisions.iter().flatten() {
            let Decision::Deliver { change, case } = decision else { continue };
            match change {
                CaseChange::Opened => {
                    assert!(open.insert(case.id.clone()), "{}: opened twice", scenario.name)
                }
                CaseChange::Updated => {
                    assert!(open.contains(&case.id), "{}: updated unopened", scenario.name)
                }
                CaseChange::Resolved => {
                    assert!(open.remove(&case.id), "{}: resolved unopened", scenario.name);
                    let says = case.resolution.as_ref().is_some_and(|why| !why.trim().is_empty());
                    assert!(says, "{}: {} ends without a reason", scenario.name, case.rule);
                }
            }
        }
        let delivered: BTreeSet<_> = play
            .cases()
            .into_iter()
            .filter(|record| record.delivered && record.case.state != CaseState::Resolved)
            .map(|record| record.case.id)
            .collect();
        assert_eq!(open, delivered, "{}", scenario.name);
    }
}

#[test]
fn late_evidence_heals_and_says_that_the_links_are_proven() {
    let late = "stories/attestation-outside-the-window";
    let (_, play) = played().iter().find(|(scenario, _)| scenario.name == late).unwrap();
    let cases = play.cases();
    assert!(!cases.is_empty());
    for record in cases {
        assert_eq!(record.case.state, CaseState::Resolved);
        let why = record.case.resolution.unwrap();
        assert!(why.contains("provenance proven"), "{}: {why}", record.case.rule);
    }
}

#[test]
fn every_rule_has_a_scenario_in_which_it_fires() {
    for rule in RULES {
        let folder = format!("rules/{}/", rule.name);
        let of_rule: Vec<_> = played().iter().filter(|(one, _)| one.name.starts_with(&folder)).collect();
        assert!(!of_rule.is_empty(), "{folder} holds no scenario");
        let fires =
            of_rule.iter().any(|(_, play)| play.cases().iter().any(|record| record.case.rule == rule.name));
        assert!(fires, "no scenario of {folder} opens a case of its rule");
    }
}
