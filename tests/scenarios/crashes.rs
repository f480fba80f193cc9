//! Crashes between any two writes, repeats, losses and any order: the same verdicts and open cases as without them, each event
//! in the log once, each change of a case told under one id.
//!
//! `CUSTODY_CRASH_SEED` and `CUSTODY_CRASH_SEEDS` choose where the seeds begin and how many there are.

use std::collections::BTreeMap;
use std::time::Duration;

use bus_schema::{Envelope, EventId};
use correlator_core::input::Input;
use jiff::SignedDuration;
use scenarios::names::read_back;
use scenarios::play::Play;
use scenarios::steps::{Happening, Script, happening, start};

use crate::any_order::{EVERY_WINDOW_HOURS, pass_every_window};
use crate::fleet::Fleet;
use crate::random::Random;
use crate::said::say;
use crate::{Scenario, given, played};

const SEEDS: u64 = 2000;
/// Between how many writes a crash comes, on average: one of these.
const CRASH_ONE_IN: [usize; 4] = [8, 20, 50, 150];
/// The longest time between two events that arrive: one of these.
const PAUSE_MILLIS_MAX: [usize; 3] = [500, 4_000, 30_000];
/// Seeds that are played twice, to see that a seed is one story.
const SEEDS_PLAYED_TWICE: u64 = 30;

#[test]
fn crashes_between_any_two_writes_change_no_conclusion() {
    let (first, seeds) = (given("CUSTODY_CRASH_SEED", 0), given("CUSTODY_CRASH_SEEDS", SEEDS));
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let calm = calm();
    let checked: Vec<(usize, Vec<String>)> = std::thread::scope(|scope| {
        let check_some = |thread: u64| {
            let seeds = (first + thread..first + seeds).step_by(usize::try_from(threads).unwrap());
            let mut wrong = Vec::new();
            let crashes = seeds.map(|seed| check(seed, &calm, &mut wrong)).sum::<usize>();
            (crashes, wrong)
        };
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || check_some(thread))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let wrong: Vec<&str> = checked.iter().flat_map(|(_, wrong)| wrong).map(String::as_str).collect();
    let crashes: usize = checked.iter().map(|(crashes, _)| crashes).sum();
    assert!(wrong.is_empty(), "{} objections:\n{}", wrong.len(), wrong.join("\n"));
    assert!(seeds < 100 || crashes > 100, "only {crashes} crashes");
    let last = first + seeds - 1;
    let line = format!("crashes: {seeds} seeds survived, {first} to {last}, with {crashes} crashes");
    say("scenarios", &format!("{line}; events lost 0, effects twice 0"));
}

#[test]
fn a_seed_is_the_same_story_every_time() {
    for seed in 0..SEEDS_PLAYED_TWICE {
        let number = usize::try_from(seed).unwrap() % played().len();
        let script = &played()[number].0.script;
        let (first, second) = (survive(script, seed).trace, survive(script, seed).trace);
        let differ = first.iter().zip(&second).find(|(one, other)| one != other);
        assert_eq!(differ, None, "seed {seed}");
        assert_eq!(first.len(), second.len(), "seed {seed}");
    }
}

/// What each scenario comes to in its order, when nothing crashes.
fn calm() -> Vec<String> {
    let conclusions = played().iter().map(|(scenario, play)| {
        let mut in_order = play.clone();
        pass_every_window(&mut in_order);
        read_back(&in_order.conclusions(), &scenario.names)
    });
    conclusions.collect()
}

/// Plays the scenario of a seed; tells how often something crashed.
fn check(seed: u64, calm: &[String], wrong: &mut Vec<String>) -> usize {
    let number = usize::try_from(seed).unwrap() % calm.len();
    let (Scenario { name, script, names, .. }, _) = &played()[number];
    let mut object = |what: String| {
        wrong.push(format!("{name}: {what}\n(again: CUSTODY_CRASH_SEED={seed} CUSTODY_CRASH_SEEDS=1)"));
    };
    let survived = survive(script, seed);
    let (calm, found) = (&calm[number], read_back(&survived.found, names));
    if found != *calm {
        object(format!("--- calm\n{calm}\n--- after crashes\n{found}"));
    }
    let logged = &survived.logged;
    let lost = survived.said.iter().filter(|envelope| !logged.contains_key(&envelope.id)).count();
    let twice = logged.values().filter(|count| **count > 1).count();
    if (lost, twice) != (0, 0) {
        object(format!("{lost} events lost, {twice} twice"));
    }
    if !survived.used_twice.is_empty() {
        object(format!("two changes under one id: {:?}", survived.used_twice));
    }
    survived.crashes
}

/// What a fleet came to.
struct Survived {
    said: Vec<Envelope>,
    found: String,
    logged: BTreeMap<EventId, usize>,
    /// Ids of alerts that tell of more than one change.
    used_twice: Vec<String>,
    crashes: usize,
    trace: Vec<String>,
}

/// Runs a fleet under the time of a simulation.
fn survive(script: &Script, seed: u64) -> Survived {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(live(script, seed))
}

async fn live(script: &Script, seed: u64) -> Survived {
    let mut random = Random::of_seed(seed);
    let happenings: Vec<Happening> =
        script.steps.iter().enumerate().map(|(index, step)| happening(step, index)).collect();
    let outcomes = happenings.iter().filter_map(|happening| happening.verification.clone()).collect();
    let last = script.steps.iter().map(|step| step.at).max().unwrap_or(0).max(0);
    let begin = start().checked_add(SignedDuration::from_secs(last)).unwrap();
    let one_in = CRASH_ONE_IN[random.below(CRASH_ONE_IN.len())];
    let pause_max = PAUSE_MILLIS_MAX[random.below(PAUSE_MILLIS_MAX.len())];
    let mut fleet = Fleet::begin(seed, one_in, begin, script.answers.clone(), outcomes);
    // What people set stays in its order, and is read as a play reads it.
    let mut set = Play::new(script);
    fleet.correlator().load(loaded(&set));
    let (mut events, settings): (Vec<Happening>, Vec<Happening>) =
        happenings.into_iter().partition(|happening| happening.event.is_some());
    for index in (1..events.len()).rev() {
        events.swap(index, random.below(index + 1));
    }
    let mut places: Vec<usize> = settings.iter().map(|_| random.below(events.len() + 1)).collect();
    places.sort_unstable();
    let mut settings = settings.into_iter().zip(places).peekable();
    let mut said = Vec::new();
    for (index, happened) in events.into_iter().enumerate() {
        while let Some((setting, _)) = settings.next_if(|(_, place)| *place <= index) {
            apply(&fleet, &mut set, setting);
        }
        let event = happened.event.unwrap();
        fleet.world.post(&event).await;
        said.push(*event);
        let pause = random.below(pause_max) as u64;
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    settings.for_each(|(setting, _)| apply(&fleet, &mut set, setting));
    let windows = SignedDuration::from_secs(script.wait) + SignedDuration::from_hours(EVERY_WINDOW_HOURS);
    fleet.come_to_rest(windows).await;
    let correlator = fleet.correlator();
    set.records = correlator.records().clone();
    let (found, logged, used_twice) =
        (set.conclusions(), correlator.logged(), correlator.ids_used_twice().map(str::to_owned).collect());
    drop(correlator);
    let (crashes, trace) = (fleet.world.crashes(), fleet.world.take_trace());
    fleet.world.end();
    Survived { said, found, logged, used_twice, crashes, trace }
}

fn apply(fleet: &Fleet, set: &mut Play, setting: Happening) {
    if let Some(answers) = &setting.answers {
        fleet.correlator().answers = answers.clone();
    }
    let before = set.entries.len();
    set.happen(setting);
    if set.entries.len() > before {
        fleet.correlator().load(loaded(set));
    }
}

/// The contracts that a play loaded last.
fn loaded(play: &Play) -> Input {
    let inputs = play.entries.iter().rev().map(|entry| &entry.input);
    inputs.into_iter().find(|input| matches!(input, Input::ContractLoaded(_))).unwrap().clone()
}
