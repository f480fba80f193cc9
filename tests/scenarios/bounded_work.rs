//! Work stays bounded: an index asks for itself and not for each of its manifests, and a long branch is read whole.

use correlator_core::decision::Decision;
use scenarios::play::Play;
use scenarios::steps::Script;

/// Platforms of the large index. A registry agent lists up to a thousand; cost grows with the number, not with its square.
const PLATFORMS: usize = 250;
/// Pushes of the long branch.
const PUSHES: usize = 150;

fn play(steps: &str) -> Play {
    let text = format!("story: a large one\nwatchedSince: -86400\nsteps:\n{steps}");
    let mut script: Script = serde_saphyr::from_str(&text).unwrap();
    script.expand();
    Play::script(&script)
}

fn asked(play: &Play) -> usize {
    play.decisions.iter().flatten().filter(|decision| matches!(decision, Decision::Ask { .. })).count()
}

#[test]
fn a_large_index_is_asked_about_once_and_proves_everything_below_it() {
    let platforms: Vec<String> = (0..PLATFORMS).map(|number| format!("M{number}")).collect();
    let play = play(&format!(
        "  - {{ at: 0, release: {{ digest: D1, commit: C1, before: C0, run: 1, tag: v1 }} }}\n  \
           - {{ at: 10, resolved: {{ digest: D1, platforms: [{}] }} }}\n  \
           - {{ at: 60, started: {{ digest: M7 }} }}\n",
        platforms.join(", ")
    ));
    assert_eq!(play.trusted().len(), PLATFORMS + 1);
    assert!(asked(&play) <= 5, "{} questions for one index", asked(&play));
    assert!(play.cases().is_empty());
}

#[test]
fn an_unreviewed_push_deep_below_a_release_is_not_laundered() {
    let mut steps = String::from("  - { at: 1, commits: { before: C0, ids: [C1], pusher: admin } }\n");
    for number in 2..PUSHES {
        let (before, at) = (number - 1, number * 10);
        steps.push_str(&format!(
            "  - {{ at: {at}, review: {{ number: {number}, id: {number}, by: bob, head: H{number} }} }}\n  \
               - {{ at: {at}, merge: {{ number: {number}, commit: C{number}, head: H{number}, author: alice }} }}\n  \
               - {{ at: {at}, commits: {{ before: C{before}, ids: [C{number}] }} }}\n"
        ));
    }
    let last = PUSHES - 1;
    steps.push_str(&format!(
        "  - {{ at: 5000, release: {{ digest: D1, commit: C{PUSHES}, before: C{last}, run: {PUSHES}, tag: v1 }} }}\n"
    ));
    let play = play(&steps);
    assert!(play.trusted().is_empty());
    let rules: Vec<String> = play.cases().into_iter().map(|record| record.case.rule).collect();
    assert_eq!(rules, ["unreviewed-commit-released"]);
}
