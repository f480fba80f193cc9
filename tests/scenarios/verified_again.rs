//! Another trust set while everything runs: until evidence is verified again nothing is distrusted and nothing is trusted;
//! where that takes too long, trust is withdrawn. Here nothing comes back at all, so that the order of events decides and no
//! scenario of the folders can show it.

use correlator_core::decision::Decision;
use jiff::SignedDuration;
use scenarios::play::Play;
use scenarios::steps::Script;

/// The installation's window for evidence, in minutes.
const WINDOW_MINUTES: i64 = 15;
/// How many of the decisions were there before the other trust set.
struct Before(usize);

/// A release that alice pushed runs and is trusted; then another key is loaded, and nothing is verified any more.
fn play() -> (Play, Before) {
    let vendor = "apiVersion: custody.dev/v1\nkind: Pipeline\nmetadata: { name: vendor }\nspec:\n  \
                  images: [quay.io/vendor/proxy]\n  require: [signature]\n  \
                  signatures: { anyOf: [ { key: { file: vendor.pub, log: not-required } } ] }\n";
    let release = serde_json::json!({
        "digest": "D1", "commit": "C1", "before": "C0", "run": 1, "tag": "v1", "without": ["push"],
    });
    let mut script: Script = serde_json::from_value(serde_json::json!({
        "story": "another key",
        "watchedSince": -86400,
        "keys": { "vendor.pub": "K1" },
        "steps": [
            { "at": 0, "release": release },
            { "at": 10, "push": { "digest": "D1", "tag": "v1", "actor": "alice" } },
            { "at": 60, "started": { "digest": "D1" } },
            { "at": 1000, "moreContracts": vendor },
        ],
    }))
    .unwrap();
    script.expand();
    let mut play = Play::new(&script);
    let mut before = Before(0);
    for (index, step) in script.steps.iter().enumerate() {
        if step.more_contracts.is_some() {
            assert_eq!(states(&play), ["trusted"]);
            play.verify_nothing();
            before = Before(play.decisions.len());
        }
        play.step(step, index);
    }
    (play, before)
}

fn states(play: &Play) -> Vec<String> {
    play.verdicts().iter().map(|record| record.verdict.state.as_str().to_owned()).collect()
}

fn told_since(play: &Play, before: &Before) -> Vec<String> {
    let decisions = play.decisions[before.0..].iter().flatten();
    let told = decisions.filter_map(|decision| match decision {
        Decision::Deliver { change, case } => Some(format!("{} {}", change.as_str(), case.rule)),
        _ => None,
    });
    told.collect()
}

fn wait(play: &mut Play, minutes: i64) {
    play.wait_until(play.now().checked_add(SignedDuration::from_mins(minutes)).unwrap());
}

#[test]
fn until_evidence_is_verified_again_what_runs_is_pending_and_nobody_is_told() {
    let (mut play, before) = play();
    wait(&mut play, WINDOW_MINUTES - 1);
    assert_eq!(states(&play), ["pending"]);
    assert_eq!(told_since(&play, &before), [""; 0]);
}

#[test]
fn trust_ends_with_the_window_where_evidence_is_not_verified_again() {
    let (mut play, before) = play();
    wait(&mut play, WINDOW_MINUTES);
    assert_eq!(states(&play), ["untrusted"]);
    assert_eq!(told_since(&play, &before), ["opened out-of-pipeline-deploy", "updated push-outside-ci"]);
}
