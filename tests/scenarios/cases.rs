//! What people are told: once each, and why it is over.

use std::collections::BTreeSet;

use bus_schema::case::{CaseState, Severity};
use bus_schema::verdict::LinkKind;
use correlator_core::contracts::DEFAULT_PIPELINE;
use correlator_core::decision::{CaseChange, Decision};
use correlator_core::ledger::cases::CaseRecord;
use correlator_core::rules::RULES;

use scenarios::play::{CONTRACTS, Play};

use crate::{Scenario, played};

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

/// No silent distrust, after the last window of every scenario.
#[test]
fn every_settled_untrusted_image_that_runs_is_named_by_an_open_case() {
    let mut silent = Vec::new();
    for (scenario, play) in played() {
        let cases = play.cases();
        for record in play.verdicts() {
            let failing = record.failing();
            let is_left_open = |waived: &BTreeSet<LinkKind>| {
                failing.is_empty() || failing.iter().any(|link| !waived.contains(link))
            };
            let must_be_named = record.verdict.pipeline != DEFAULT_PIPELINE
                && record.settled
                && record.is_untrusted()
                && !record.is_only_uncovered()
                && record.whereabouts.namespaces.values().any(is_left_open);
            let digest = record.verdict.digest;
            let names = |known: &CaseRecord| {
                known.case.state != CaseState::Resolved
                    && known.case.severity >= Severity::Medium
                    && known.case.findings.iter().any(|finding| finding.digest == Some(digest))
            };
            if must_be_named && !cases.iter().any(names) {
                silent.push(format!("{}: {} {digest}", scenario.name, record.verdict.pipeline));
            }
        }
    }
    assert!(silent.is_empty(), "untrusted images run and no open case names them:\n{}", silent.join("\n"));
}

/// `mode` binds gate and responder only.
#[test]
fn cases_are_the_same_in_every_mode() {
    let mut compared = 0;
    for rule in RULES {
        let folder = format!("rules/{}/", rule.name);
        let of_rule =
            |(one, _): &&(Scenario, Play)| one.name.starts_with(&folder) && one.script.contracts.is_none();
        let Some((scenario, observed)) = played().iter().find(of_rule) else { continue };
        for mode in ["observe", "warn", "block"] {
            let mut script = scenario.script.clone();
            script.contracts = Some(CONTRACTS.replace("spec:\n", &format!("spec:\n  mode: {mode}\n")));
            let play = Play::script(&script);
            assert_eq!(play.timeline, observed.timeline, "{} in mode {mode}", scenario.name);
            let cases = |play: &Play| play.cases().into_iter().map(|record| record.case).collect::<Vec<_>>();
            assert_eq!(cases(&play), cases(observed), "{} in mode {mode}", scenario.name);
        }
        compared += 1;
    }
    assert!(compared > RULES.len() / 2, "only {compared} scenarios have the contracts of all");
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
