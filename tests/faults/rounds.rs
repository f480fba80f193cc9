//! Rounds of faults on one fleet under load, and what must hold after them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use crate::conclusions::{Conclusions, conclusions, log_position, logged, quiet};
use crate::fault::Fault;
use crate::fleet::Fleet;
use crate::images::{Images, notification_id};
use crate::load::Load;
use crate::random::Random;

/// One round in so many suffers two faults at once.
const TWO_FAULTS_ONE_IN: u64 = 3;

/// What a fleet went through.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Survived {
    pub(crate) rounds: u64,
    /// Notifications that were answered with 2xx.
    pub(crate) answered: u64,
    /// Events in the log.
    pub(crate) events: u64,
}

/// Runs rounds, each with its share of the load, and compares the end with that of a calm run.
pub(crate) async fn survive(
    mut fleet: Fleet,
    images: Arc<Images>,
    seed: u64,
    rounds: u64,
    calm: &Conclusions,
) -> Survived {
    let mut random = Random::of_seed(seed);
    let (count, load) = (images.count(), Load::new(images, Arc::clone(&fleet.intake)));
    for round in 0..rounds {
        let numbers = count * round / rounds..count * (round + 1) / rounds;
        let before = log_position(&fleet).await;
        suffer(&mut fleet, &load, numbers, &mut random, seed, round).await;
        let after = log_position(&fleet).await;
        assert!(after >= before, "the log had {before} entries and has {after}");
    }
    quiet(&mut fleet).await;
    let found = conclusions(&fleet).await;
    fleet.agent.stop().await.unwrap();
    fleet.correlator.stop().await.unwrap();
    // First, because what is lost shows in everything else.
    let events = check_log(&fleet, count).await;
    compare("verdicts", &calm.verdicts, &found.verdicts);
    compare("open cases", &calm.open_cases, &found.open_cases);
    let untold: Vec<_> = calm.told.difference(&found.told).collect();
    assert!(untold.is_empty(), "nobody was told of {untold:#?}");
    Survived { rounds, answered: count, events }
}

/// The end of a run without faults.
pub(crate) async fn calm(mut fleet: Fleet, images: Arc<Images>) -> Conclusions {
    let (count, load) = (images.count(), Load::new(images, Arc::clone(&fleet.intake)));
    load.post(0..count, Random::of_seed(0)).await;
    quiet(&mut fleet).await;
    let conclusions = conclusions(&fleet).await;
    fleet.agent.stop().await.unwrap();
    fleet.correlator.stop().await.unwrap();
    check_log(&fleet, count).await;
    conclusions
}

async fn suffer(
    fleet: &mut Fleet,
    load: &Load,
    numbers: Range<u64>,
    random: &mut Random,
    seed: u64,
    round: u64,
) {
    let posting = tokio::spawn({
        let (load, random) = (load.clone(), random.clone());
        async move { load.post(numbers, random).await }
    });
    let mut faults = vec![Fault::choose(random, &fleet.bus)];
    if random.one_in(TWO_FAULTS_ONE_IN) {
        faults.push(Fault::choose(random, &fleet.bus));
    }
    faults.sort_by_key(|fault| !fault.needs_the_bus());
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
