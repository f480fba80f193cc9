//! Work stays bounded: an index asks for itself and not for each of its manifests, and a long branch is read whole.

use correlator_core::decision::Decision;
use correlator_core::state::lane::OUT_MAX;
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

/// What one namespace makes up.
const MADE_UP: usize = 300;

fn flood(more: &str, wait: u64) -> Script {
    let started = |number| {
        let container = format!("digest: F{number}, namespace: flooding, name: f{number}, pod: f{number}");
        format!("  - {{ at: 1, started: {{ {container} }} }}\n")
    };
    let steps: String = (0..MADE_UP).map(started).collect();
    let text = format!("story: a flood\nwatchedSince: -86400\nwait: {wait}\nsteps:\n{more}{steps}");
    let mut script: Script = serde_saphyr::from_str(&text).unwrap();
    script.expand();
    script
}

#[test]
fn made_up_digests_of_one_namespace_starve_nobody_and_are_not_forgotten() {
    // Nobody answers at first, so that nothing is free by itself; another namespace runs an image that nobody saw pushed.
    let mut script = flood(
        "  - { at: 0, answers: { registry: silence, ci: silence, source: silence } }\n  \
           - { at: 5, started: { digest: D1, namespace: payments } }\n",
        5,
    );
    let mut play = Play::script(&script);
    let asked_of = |play: &Play, digest: &str| {
        let wanted = scenarios::names::digest(digest).to_string();
        let asks = play.decisions.iter().flatten().filter_map(|decision| match decision {
            Decision::Ask { request } => Some(serde_json::to_string(request).unwrap()),
            _ => None,
        });
        asks.filter(|request| request.contains(&wanted)).count()
    };
    assert!(asked_of(&play, "D1") > 0, "the other namespace is starved");
    assert_eq!(asked(&play) - asked_of(&play, "D1"), OUT_MAX, "the flood's questions that are out");
    // Whatever waits is not trusted, and is asked about in its turn: when nobody answers, when nobody waits any more.
    assert!(play.trusted().is_empty());
    script.wait = 4 * 3600;
    play.rest(&script);
    let unasked = (0..MADE_UP).filter(|number| asked_of(&play, &format!("F{number}")) == 0).count();
    assert_eq!(unasked, 0, "digests that were never asked about");
    assert!(play.trusted().is_empty());
}

#[test]
fn a_place_is_free_again_with_an_answer() {
    let script = flood("", 60);
    let play = Play::script(&script);
    assert!(asked(&play) >= MADE_UP, "{} questions", asked(&play));
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
