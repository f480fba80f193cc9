//! Events that arrive together are judged together: once each digest, and told once.

use std::collections::BTreeSet;

use correlator_core::decision::Decision;
use scenarios::play::Play;
use scenarios::steps::{Happening, happening};

use crate::played;

#[test]
fn a_burst_is_judged_once() {
    let (mut one_by_one, mut together) = (0, 0);
    for (scenario, _) in played() {
        let steps = scenario.script.steps.iter().enumerate();
        let events: Vec<Happening> = steps
            .map(|(index, step)| happening(step, index))
            .filter(|happening| happening.event.is_some())
            .collect();
        let mut play = Play::new(&scenario.script);
        let before = play.decisions.len();
        let count = events.len();
        play.happen_together(events);
        // What the burst led to at once: answers and results of verification come after it.
        let Some(burst) = play.decisions.get(before..before + count) else { continue };
        let told: Vec<String> = burst.iter().flatten().filter_map(verdict_of).collect();
        let distinct: BTreeSet<&String> = told.iter().collect();
        assert_eq!(told.len(), distinct.len(), "{}: {told:?}", scenario.name);
        together += told.len();
        one_by_one += alone(scenario);
    }
    assert!(together * 3 < one_by_one * 2, "{together} verdicts together and {one_by_one} one by one");
}

/// How many verdicts the same events lead to at once when each arrives alone.
fn alone(scenario: &crate::Scenario) -> usize {
    let mut play = Play::new(&scenario.script);
    let mut told = 0;
    for (index, step) in scenario.script.steps.iter().enumerate() {
        let happening = happening(step, index);
        if happening.event.is_some() {
            let before = play.decisions.len();
            play.happen_together(vec![happening]);
            told += play.decisions.get(before).into_iter().flatten().filter_map(verdict_of).count();
        }
    }
    told
}

fn verdict_of(decision: &Decision) -> Option<String> {
    match decision {
        Decision::PublishVerdict { change } => {
            Some(format!("{} {}", change.verdict.pipeline, change.verdict.digest))
        }
        _ => None,
    }
}
