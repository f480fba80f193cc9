//! Nothing lost, nothing twice: a fleet of real processes on a real bus, under load, suffers what a seed chooses.
//!
//! After all of it every notification that was answered with 2xx is in the evidence log once, verdicts and open cases are
//! those of a calm run, and each change of a case was told under one id. `CUSTODY_FAULT_SEED` and `CUSTODY_FAULT_ROUNDS`
//! choose where the seeds begin and how many rounds there are.

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
        let rounds = rounds.min(ROUNDS_PER_FLEET);
        fleets.spawn(async move {
            let _place = places.acquire().await.unwrap();
            let fleet = Fleet::on_one_server(Arc::clone(&images), OUTBOX_MIB_MAX).await;
            let survived = tokio::spawn(survive(fleet, images, seed, rounds, calm)).await;
            (seed, survived)
        });
    }
    let mut total = Survived::default();
    let mut failed = Vec::new();
    while let Some(ended) = fleets.join_next().await {
        match ended.unwrap() {
            (_, Ok(survived)) => total.add(survived),
            (seed, Err(_)) => failed.push(seed),
        }
    }
    for seed in &failed {
        let again = format!("CUSTODY_FAULT_SEED={seed} CUSTODY_FAULT_ROUNDS={ROUNDS_PER_FLEET}");
        say("faults", &format!("again: {again} tests/run faults"));
    }
    assert!(failed.is_empty(), "seeds {failed:?} did not survive");
    let (from, to) = (seeds.start, seeds.end - 1);
    total.say(&format!("one server, seeds {from} to {to}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_three_are_killed_and_nothing_is_lost() {
    let (images, calm) = load_and_calm().await;
    let fleet = Fleet::on_three_servers(Arc::clone(images)).await;
    let seed = given("CUSTODY_FAULT_SEED", SEED);
    let survived = survive(fleet, Arc::clone(images), seed, ROUNDS_OF_THREE_SERVERS, calm).await;
    survived.say(&format!("three servers, seed {seed}"));
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
    /// What was lost or there twice would have failed.
    fn say(&self, of: &str) {
        let Survived { rounds, answered, events } = self;
        let line = format!("{of}: {rounds} rounds survived, {answered} notifications, {events} events");
        say("faults", &format!("{line}; events lost 0, effects twice 0"));
    }

    fn add(&mut self, more: Survived) {
        self.rounds += more.rounds;
        self.answered += more.answered;
        self.events += more.events;
    }
}

fn given(variable: &str, usual: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given.map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}
