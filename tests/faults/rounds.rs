//! Rounds of faults on one fleet under load, and what must hold after them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use crate::conclusions::{Conclusions, conclusions, log_position, logged, quiet, told_of_overwritten_tags};
use crate::fault::Fault;
use crate::fleet::Fleet;
use crate::images::{Images, notification_id};
use crate::load::Load;
use crate::random::Random;

/// One round in so many suffers two faults at once.
const TWO_FAULTS_ONE_IN: u64 = 3;

/// What a fleet went through.
#[derive(Debug, Clone, Default)]
pub(crate) struct Survived {
    pub(crate) rounds: u64,
    /// What struck, without repeats.
    pub(crate) faults: Vec<Fault>,
    /// What must strike in enough rounds.
    pub(crate) due: Vec<Fault>,
    /// Notifications that were answered with 2xx.
    pub(crate) answered: u64,
    /// Events in the log.
    pub(crate) events: u64,
}

impl Survived {
    pub(crate) fn struck_by(&mut self, faults: Vec<Fault>) {
        for fault in faults {
            if !self.faults.contains(&fault) {
                self.faults.push(fault);
            }
        }
    }
}

/// Runs rounds, each with its share of the load, and compares the end with that of a calm run. In the last
/// round tags are pointed back.
pub(crate) async fn survive(
    mut fleet: Fleet,
    images: Arc<Images>,
    seed: u64,
    rounds: u64,
    calm: &Conclusions,
) -> Survived {
    let mut random = Random::of_seed(seed);
    let (count, last) = (images.count(), images.pointing_back());
    let load = Load::new(images, Arc::clone(&fleet.intake));
    let mut survived =
        Survived { rounds, due: Fault::due(&fleet.bus), answered: count, ..Survived::default() };
    for round in 0..rounds {
        let is_last = round + 1 == rounds;
        let share = |round: u64| last.start * round / (rounds - 1);
        let numbers = if is_last { last.clone() } else { share(round)..share(round + 1) };
        if is_last {
            told_of_overwritten_tags(&fleet, load.images()).await;
        }
        let before = log_position(&fleet).await;
        let first = Fault::of_round(seed.wrapping_mul(rounds).wrapping_add(round), &mut random, &fleet.bus);
        let struck = suffer(&mut fleet, &load, numbers, first, &mut random, seed, round).await;
        survived.struck_by(struck);
        let after = log_position(&fleet).await;
        assert!(after >= before, "the log had {before} entries and has {after}");
    }
    quiet(&mut fleet).await;
    let found = conclusions(&fleet).await;
    fleet.agent.stop().await.unwrap();
    fleet.correlator.stop().await.unwrap();
    // First, because what is lost shows in everything else.
    survived.events = check_log(&fleet, count).await;
    compare("verdicts", &calm.verdicts, &found.verdicts);
    compare("open cases", &calm.open_cases, &found.open_cases);
    compare("what people were told", &calm.told, &found.told);
    survived
}

/// The end of a run without faults.
pub(crate) async fn calm(mut fleet: Fleet, images: Arc<Images>) -> Conclusions {
    let (count, last) = (images.count(), images.pointing_back());
    let load = Load::new(images, Arc::clone(&fleet.intake));
    load.post(0..last.start, Random::of_seed(0)).await;
    told_of_overwritten_tags(&fleet, load.images()).await;
    load.post(last, Random::of_seed(0)).await;
    quiet(&mut fleet).await;
    let conclusions = conclusions(&fleet).await;
    fleet.agent.stop().await.unwrap();
    fleet.correlator.stop().await.unwrap();
    check_log(&fleet, count).await;
    conclusions
}

/// One round; tells what struck, apart from how hard.
async fn suffer(
    fleet: &mut Fleet,
    load: &Load,
    numbers: Range<u64>,
    first: Fault,
    random: &mut Random,
    seed: u64,
    round: u64,
) -> Vec<Fault> {
    let posting = tokio::spawn({
        let (load, random) = (load.clone(), random.clone());
        async move { load.post(numbers, random).await }
    });
    let mut chosen = vec![first];
    if random.one_in(TWO_FAULTS_ONE_IN) {
        chosen.push(Fault::any(random, &fleet.bus));
    }
    chosen.sort_by_key(|fault| !fault.needs_the_bus());
    let faults: Vec<Fault> = chosen.iter().map(|fault| fault.drawn(random, &fleet.bus)).collect();
    for fault in &faults {
        tokio::time::sleep(random.millis(0..300)).await;
        println!("seed {seed}, round {round}: {fault:?}");
        fault.strike(fleet).await;
    }
    for fault in &faults {
        tokio::time::sleep(fault.time(random)).await;
        fault.ends_before_whole(fleet);
    }
    fleet.make_whole().await;
    posting.await.unwrap();
    chosen
}

/// Every notification led to one push in the log, no report of the agent is missing, and no event is there twice. Tells how many events are there.
pub(crate) async fn check_log(fleet: &Fleet, count: u64) -> u64 {
    let logged = logged(fleet).await;
    let lost: Vec<u64> =
        (0..count).filter(|number| !logged.pushes.contains_key(&notification_id(*number))).collect();
    assert!(lost.is_empty(), "answered with 2xx and not in the log: {lost:?}");
    let twice: Vec<_> = logged.pushes.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "in the log more than once: {twice:?}");
    let twice: Vec<_> = logged.events.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "in the log more than once: {twice:?}");
    for (epoch, numbers) in &logged.reports {
        let missing: Vec<u64> =
            (1..=numbers.len() as u64).filter(|number| !numbers.contains(number)).collect();
        assert!(missing.is_empty(), "reports of the agent that began at {epoch} were lost: {missing:?}");
    }
    logged.events.len() as u64
}

fn compare(what: &str, calm: &BTreeSet<String>, found: &BTreeSet<String>) {
    let missing: Vec<_> = calm.difference(found).collect();
    let more: Vec<_> = found.difference(calm).collect();
    assert!(
        missing.is_empty() && more.is_empty(),
        "{what} are not those of a calm run: missing {missing:#?}, more {more:#?}"
    );
}
