//! An agent's outbox, a bus and a correlator in one runtime whose time a test moves on: the real core, the real embedded bus and
//! the real outbox, on disks in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bus_schema::Digest;
use correlator_core::facts::Outcome;
use fleet_runtime::bus::{Bus as _, ConsumerStanding, Stream};
use jiff::{SignedDuration, Timestamp};
use scenarios::steps::Answers;

use crate::correlator::{self, Correlator};
use crate::world::World;

/// A database does so many writes where the correlator does one.
const OPERATIONS_PER_WRITE: usize = 40;
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Looks until everything has to be done: more than an hour.
const LOOKS_MAX: usize = 40_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) world: Arc<World>,
    correlator: Arc<Mutex<Correlator>>,
}

impl Fleet {
    /// Starts its processes. One write in so many is the last of its process.
    pub(crate) fn begin(
        seed: u64,
        crash_one_in: usize,
        now: Timestamp,
        answers: Answers,
        outcomes: BTreeMap<Digest, Outcome>,
    ) -> Fleet {
        let world = World::new(seed, now, crash_one_in * OPERATIONS_PER_WRITE);
        let correlator = Correlator::new(Arc::clone(&world), crash_one_in, answers, outcomes);
        let correlator = Arc::new(Mutex::new(correlator));
        tokio::spawn(Arc::clone(&world).run_bus());
        tokio::spawn(Arc::clone(&world).run_agent());
        tokio::spawn(correlator::run(Arc::clone(&world), Arc::clone(&correlator)));
        Fleet { world, correlator }
    }

    pub(crate) fn correlator(&self) -> MutexGuard<'_, Correlator> {
        self.correlator.lock().unwrap()
    }

    /// Nothing goes wrong any more, everything is done, and every window passes until a time.
    pub(crate) async fn come_to_rest(&mut self, windows: SignedDuration) {
        self.world.calm();
        let end = self.world.now().checked_add(windows).unwrap();
        loop {
            self.rest().await;
            let due = self.correlator().next_deadline().filter(|due| *due <= end);
            let Some(due) = due else { return };
            let left = Duration::try_from(due.duration_since(self.world.now())).unwrap();
            tokio::time::advance(left).await;
        }
    }

    async fn rest(&self) {
        for _ in 0..LOOKS_MAX {
            if self.is_at_rest().await {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        panic!("what was taken is not done: {:?}", self.world.take_trace());
    }

    /// The outbox is empty, everything on the bus is settled, and the correlator has nothing to do.
    async fn is_at_rest(&self) -> bool {
        let (Some(outbox), Some(bus)) = (self.world.outbox(), self.world.bus()) else { return false };
        if outbox.waiting_messages() > 0 || !self.correlator().is_at_rest() {
            return false;
        }
        // After a write that failed, the bus opens its database again.
        let Ok(standing) = bus.standing().await else { return false };
        let events = standing.streams.into_iter().find(|one| one.stream == Stream::Events).unwrap();
        let is_settled = |one: &ConsumerStanding| (one.waiting, one.unsettled) == (0, 0);
        events.consumers.len() == 1 && events.consumers.iter().all(is_settled)
    }
}
