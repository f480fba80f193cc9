//! Many cases of one rule at one place: each is kept, and people hear of them together.

use std::collections::BTreeSet;

use bus_schema::CaseId;
use bus_schema::case::{Case, CaseState};
use correlator_core::decision::{CaseChange, Decision};
use scenarios::names::digest;
use scenarios::play::Play;
use scenarios::steps::Script;

const RULE: &str = "untrusted-running";
/// How many are told by themselves at once.
const ALONE: usize = 20;
const MANY: usize = 100;
const CONTRACTS: &str = "
contracts: |
  apiVersion: custody.dev/v1
  kind: Pipeline
  metadata: { name: payments-api }
  spec:
    images: [\"ghcr.io/acme/payments-api\"]
    require: [sbom]
    source: { repository: github.com/acme/payments-api, repositoryId: \"4201\", refs: [refs/heads/main], reviews: 0 }
    build: { workflows: [.github/workflows/release.yml], triggers: [push], runners: github-hosted }
    sbom: required
    settle: 90s
";

fn script(steps: &[String], wait: i64) -> Script {
    let text = format!(
        "story: a storm\nwatchedSince: -86400\nwait: {wait}\n{CONTRACTS}\nsteps:\n{}",
        steps.join("")
    );
    serde_saphyr::from_str(&text).unwrap()
}

fn step(at: usize, what: &str, namespace: &str, name: &str) -> String {
    let container = format!("digest: {name}, namespace: {namespace}, name: {name}, pod: {name}-{namespace}");
    format!("- {{ at: {at}, {what}: {{ {container} }} }}\n")
}

fn storm_of(namespace: &str) -> Vec<String> {
    (0..MANY).map(|number| step(number, "started", namespace, &format!("D{number}"))).collect()
}

/// What people were told of the rule, in order.
fn told(play: &Play) -> Vec<(CaseChange, Case)> {
    let decisions = play.decisions.iter().flatten();
    let told = decisions.filter_map(|decision| match decision {
        Decision::Deliver { change, case } if case.rule == RULE => Some((*change, (**case).clone())),
        _ => None,
    });
    told.collect()
}

fn storm(play: &Play) -> Case {
    let of_rule = |case: &Case| case.rule == RULE && case.subject.ends_with("(many)");
    let mut storms = play.cases().into_iter().map(|record| record.case).filter(of_rule);
    let storm = storms.next().expect("a storm");
    assert!(storms.next().is_none(), "two storms");
    storm
}

fn about(play: &Play, name: &str) -> Case {
    let digest = digest(name);
    let record =
        play.cases().into_iter().find(|record| record.case.rule == RULE && record.digests.contains(&digest));
    record.unwrap_or_else(|| panic!("no open case names {name}")).case
}

#[test]
fn the_first_are_told_by_themselves_and_the_others_as_one_that_covers_them() {
    let play = Play::script(&script(&storm_of("payments"), 3600));
    let storm = storm(&play);
    let opened: BTreeSet<CaseId> = told(&play)
        .into_iter()
        .filter(|(change, _)| *change == CaseChange::Opened)
        .map(|(_, case)| case.id)
        .collect();
    assert_eq!(opened.len(), ALONE + 1);
    assert!(opened.contains(&storm.id));
    // Each is named by a case of its own all the same.
    for number in 0..MANY {
        let case = about(&play, &format!("D{number}"));
        assert_eq!(case.state, CaseState::Open);
        let is_told = opened.contains(&case.id);
        assert_eq!(case.covered_by, (!is_told).then(|| storm.id.clone()));
    }
    assert_eq!(storm.findings_total as usize, MANY - ALONE);
    assert_eq!(storm.findings.len(), 20);
    assert!(
        storm.subject.starts_with("payments-api") && storm.subject.contains("payments (many)"),
        "{}",
        storm.subject
    );
    // People hear again of a storm each time it has doubled: 1, 2, 4, 8, 16, 32, 64.
    let of_storm = told(&play).into_iter().filter(|(_, case)| case.id == storm.id);
    let totals: Vec<u32> = of_storm.map(|(_, case)| case.findings_total).collect();
    assert_eq!(totals, [1, 2, 4, 8, 16, 32, 64]);
}

#[test]
fn what_happens_elsewhere_is_told_by_itself() {
    let mut steps = storm_of("payments");
    steps.push(step(MANY, "started", "shop", "S1"));
    let play = Play::script(&script(&steps, 3600));
    assert_eq!(about(&play, "S1").covered_by, None);
    assert!(told(&play).iter().any(|(_, case)| case.findings[0].digest == Some(digest("S1"))));
}

#[test]
fn a_digest_of_the_storm_that_appears_elsewhere_is_told_by_itself_then() {
    let last = format!("D{}", MANY - 1);
    let mut steps = storm_of("payments");
    let before = Play::script(&script(&steps, 300));
    assert!(about(&before, &last).covered_by.is_some());
    steps.push(step(MANY + 300, "started", "shop", &last));
    let play = Play::script(&script(&steps, 300));
    let case = about(&play, &last);
    assert_eq!(case.covered_by, None);
    let opened =
        told(&play).into_iter().filter(|(change, told)| *change == CaseChange::Opened && told.id == case.id);
    assert_eq!(opened.count(), 1);
    assert_eq!(storm(&play).findings_total as usize, MANY - ALONE - 1);
}

#[test]
fn a_storm_is_over_when_none_of_its_cases_is_left_and_people_hear_it_once() {
    let mut steps = storm_of("payments");
    steps.extend((0..MANY).map(|number| step(600 + number, "stopped", "payments", &format!("D{number}"))));
    // A placement's case resolves a day after the last placement.
    let play = Play::script(&script(&steps, 2 * 86_400));
    let storm = storm(&play);
    assert_eq!((storm.state, storm.findings_total), (CaseState::Resolved, 0));
    assert!(storm.findings.is_empty());
    let resolved = told(&play).into_iter().filter(|(change, _)| *change == CaseChange::Resolved);
    assert_eq!(resolved.count(), ALONE + 1);
    assert!(play.cases().iter().all(|record| record.case.state == CaseState::Resolved));
}

/// One after the other is no storm, however many they are.
#[test]
fn cases_that_come_slowly_are_all_told_by_themselves() {
    let slowly = |number: usize| step(number * 660, "started", "payments", &format!("D{number}"));
    let steps: Vec<String> = (0..2 * ALONE).map(slowly).collect();
    let play = Play::script(&script(&steps, 3600));
    assert!(play.cases().iter().all(|record| !record.case.subject.ends_with("(many)")));
    let opened = told(&play).into_iter().filter(|(change, _)| *change == CaseChange::Opened);
    assert_eq!(opened.count(), 2 * ALONE);
}
