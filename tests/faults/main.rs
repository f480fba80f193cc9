//! Nothing lost, nothing twice: a fleet of real processes on a real bus, under load, suffers what a seed chooses.
//!
//! After all of it every notification that was answered with 2xx is in the evidence log once, verdicts and
//! open cases are those of a calm run, people were told of the same, and each change of a case was told under
//! one id.
//!
//! `CUSTODY_FAULT_SEED` and `CUSTODY_FAULT_ROUNDS` choose where the seeds begin and how many rounds there are
//! on one server, in whole fleets; on three servers there are fewer by a fixed share.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod asked;
mod clock;
mod conclusions;
mod fault;
mod fleet;
mod full;
mod images;
mod load;
mod proxy;
mod random;
mod registry;
mod rounds;
mod traced;

use std::sync::Arc;

use harness::said::say;
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinSet;

use conclusions::Conclusions;
use fleet::Fleet;
use images::{IMAGES_PER_RELEASE, Images};
use rounds::{Survived, calm, survive};

const SEED: u64 = 1;
const ROUNDS: u64 = 104;
/// Rounds that one fleet goes through, with one seed.
const ROUNDS_PER_FLEET: u64 = 13;
const ROUNDS_OF_THREE_SERVERS: u64 = 4;
const FLEETS_AT_ONCE: usize = 4;
const OUTBOX_MIB_MAX: u64 = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_strikes_nothing_is_lost_and_nothing_is_there_twice() {
    let (first, rounds) = (given("CUSTODY_FAULT_SEED", SEED), given("CUSTODY_FAULT_ROUNDS", ROUNDS));
    let seeds = first..first + rounds.div_ceil(ROUNDS_PER_FLEET);
    let (images, calm) = load_and_calm().await;
    let places = Arc::new(Semaphore::new(FLEETS_AT_ONCE));
    let mut fleets = JoinSet::new();
    for seed in seeds.clone() {
        let (images, places) = (Arc::clone(images), Arc::clone(&places));
        fleets.spawn(async move {
            let _place = places.acquire().await.unwrap();
            let fleet = Fleet::on_one_server(Arc::clone(&images), OUTBOX_MIB_MAX).await;
            let survived = tokio::spawn(survive(fleet, images, seed, ROUNDS_PER_FLEET, calm)).await;
            (seed, survived.ok())
        });
    }
    let mut ended = Vec::new();
    while let Some(fleet) = fleets.join_next().await {
        ended.push(fleet.unwrap());
    }
    // Rounds that begin in the middle of an order of the faults need as many again.
    Survived::all_of("one server", ended, |due| 2 * due);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_three_are_killed_and_nothing_is_lost() {
    let (first, rounds) = (given("CUSTODY_FAULT_SEED", SEED), given("CUSTODY_FAULT_ROUNDS", ROUNDS));
    let (images, calm) = load_and_calm().await;
    let mut ended = Vec::new();
    for seed in first..first + rounds.div_ceil(ROUNDS) {
        let fleet = Fleet::on_three_servers(Arc::clone(images)).await;
        let survived = survive(fleet, Arc::clone(images), seed, ROUNDS_OF_THREE_SERVERS, calm);
        ended.push((seed, tokio::spawn(survived).await.ok()));
    }
    Survived::all_of("three servers", ended, |due| due);
}

/// The load of every fleet, and what a fleet comes to that suffers nothing.
async fn load_and_calm() -> (&'static Arc<Images>, &'static Conclusions) {
    static ONCE: OnceCell<(Arc<Images>, Conclusions)> = OnceCell::const_new();
    let (images, conclusions) = ONCE
        .get_or_init(|| async {
            let images = Arc::new(Images::make(IMAGES_PER_RELEASE * ROUNDS_PER_FLEET));
            let fleet = Fleet::on_one_server(Arc::clone(&images), OUTBOX_MIB_MAX).await;
            let conclusions = calm(fleet, Arc::clone(&images)).await;
            (images, conclusions)
        })
        .await;
    (images, conclusions)
}

impl Survived {
    /// Adds up what the fleets of the seeds went through, and says it. One that did not survive is a failure;
    /// in enough rounds it is one, too, when something never struck that must.
    fn all_of(bus: &str, fleets: Vec<(u64, Option<Survived>)>, enough: fn(u64) -> u64) {
        let failed: Vec<u64> =
            fleets.iter().filter(|(_, survived)| survived.is_none()).map(|(seed, _)| *seed).collect();
        for seed in &failed {
            let again = format!("CUSTODY_FAULT_SEED={seed} CUSTODY_FAULT_ROUNDS={ROUNDS_PER_FLEET}");
            say("faults", &format!("again: {again} tests/run faults"));
        }
        assert!(failed.is_empty(), "seeds {failed:?} did not survive");
        let mut total = Survived::default();
        let seeds = fleets.iter().map(|(seed, _)| *seed);
        let (from, to) = (seeds.clone().min().unwrap_or_default(), seeds.max().unwrap_or_default());
        for (_, survived) in fleets {
            total.add(survived.unwrap());
        }
        let Survived { rounds, faults, due, answered, events } = total;
        let line = format!(
            "{bus}, seeds {from} to {to}: {rounds} rounds survived, {} kinds of faults",
            faults.len()
        );
        let counts = format!("{answered} notifications, {events} events; events lost 0, effects twice 0");
        say("faults", &format!("{line}, {counts}"));
        let missing: Vec<_> = due.iter().filter(|fault| !faults.contains(fault)).collect();
        assert!(missing.is_empty() || rounds < enough(due.len() as u64), "never struck: {missing:?}");
    }

    fn add(&mut self, more: Survived) {
        self.rounds += more.rounds;
        self.struck_by(more.faults);
        self.due = more.due;
        self.answered += more.answered;
        self.events += more.events;
    }
}

fn given(variable: &str, usual: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given.map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}
