//! Any order of the same events, with duplicates, one by one or some of them judged together, leads to the same verdicts and
//! the same open cases.

use jiff::SignedDuration;
use scenarios::play::Play;
use scenarios::steps::{Happening, Script, happening, start};

use crate::random::Random;
use crate::{Scenario, played};

/// How many orders of each scenario are tried; in every second one events arrive together.
const ORDERS_PER_SCENARIO: u64 = 4;
/// The most events that arrive together.
const TOGETHER_MAX: usize = 6;
/// After this time every window has passed: the longest is the linger window of 24 hours.
pub(crate) const EVERY_WINDOW_HOURS: i64 = 26;
/// The longest time between two events that arrive, in seconds.
const GAP_SECONDS_MAX: usize = 40;

#[test]
fn any_order_with_duplicates_leads_to_the_same_conclusions() {
    let mut wrong = Vec::new();
    for (number, (Scenario { name, script, names, .. }, play)) in (0..).zip(played()) {
        let mut in_order = play.clone();
        pass_every_window(&mut in_order);
        let expected = scenarios::names::read_back(&in_order.conclusions(), names);
        for order in 0..ORDERS_PER_SCENARIO {
            let seed = number * ORDERS_PER_SCENARIO + order;
            let found = scenarios::names::read_back(&shuffled(script, seed).conclusions(), names);
            if found != expected {
                wrong
                    .push(format!("{name}, seed {seed}:\n--- in order\n{expected}\n--- in another\n{found}"));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{} scenario(s) depend on the order:\n{}", wrong.len(), wrong.join("\n"));
}

fn shuffled(script: &Script, seed: u64) -> Play {
    let mut random = Random::of_seed(seed);
    let mut events = Vec::new();
    let mut settings = Vec::new();
    let mut play = Play::new(script);
    for (index, step) in script.steps.iter().enumerate() {
        let happening = happening(step, index);
        play.foresee(&happening);
        match happening.event.is_some() {
            true => {
                if random.below(4) == 0 {
                    events.push(again(&happening));
                }
                events.push(happening);
            }
            // What people set stays in its order: it is no event.
            false => settings.push(happening),
        }
    }
    for index in (1..events.len()).rev() {
        events.swap(index, random.below(index + 1));
    }
    let places: Vec<usize> = settings.iter().map(|_| random.below(events.len() + 1)).collect();
    let mut places = places;
    places.sort_unstable();
    let last = script.steps.iter().map(|step| step.at).max().unwrap_or(0);
    play.wait_until(start().checked_add(SignedDuration::from_secs(last.max(0))).unwrap());
    let mut settings = settings.into_iter().zip(places).peekable();
    let mut events = events.into_iter().enumerate().peekable();
    while let Some((index, event)) = events.next() {
        while let Some((setting, _)) = settings.next_if(|(_, place)| *place <= index) {
            play.happen(setting);
        }
        let gap = i64::try_from(random.below(GAP_SECONDS_MAX)).unwrap();
        play.wait_until(play.now().checked_add(SignedDuration::from_secs(gap)).unwrap());
        let together_max = if seed % 2 == 1 { 1 + random.below(TOGETHER_MAX) } else { 1 };
        let until = settings.peek().map_or(usize::MAX, |(_, place)| *place);
        let mut together = vec![event];
        while together.len() < together_max
            && let Some((_, event)) = events.next_if(|(index, _)| *index < until)
        {
            together.push(event);
        }
        play.happen_together(together);
    }
    settings.for_each(|(setting, _)| play.happen(setting));
    play.wait_until(play.now().checked_add(SignedDuration::from_secs(script.wait)).unwrap());
    pass_every_window(&mut play);
    play
}

pub(crate) fn pass_every_window(play: &mut Play) {
    play.wait_until(play.now().checked_add(SignedDuration::from_hours(EVERY_WINDOW_HOURS)).unwrap());
}

fn again(happening: &Happening) -> Happening {
    Happening {
        event: happening.event.clone(),
        verification: happening.verification.clone(),
        contracts: None,
        more_contracts: None,
        answers: None,
    }
}
