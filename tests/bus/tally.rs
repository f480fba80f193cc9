//! How many cases of the contract passed on one bus; said when the last of them has ended.

use std::sync::atomic::{AtomicUsize, Ordering};

use harness::said::say;

pub(crate) struct Tally {
    bus: &'static str,
    cases: usize,
    ended: AtomicUsize,
    passed: AtomicUsize,
}

impl Tally {
    pub(crate) const fn new(bus: &'static str, cases: usize) -> Tally {
        Tally { bus, cases, ended: AtomicUsize::new(0), passed: AtomicUsize::new(0) }
    }

    /// Runs a case and counts it.
    pub(crate) async fn count(&self, case: impl Future<Output = ()>) {
        let _ending = Ending(self);
        case.await;
        self.passed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Ends a case, also one that panics.
struct Ending<'a>(&'a Tally);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let Tally { bus, cases, ended, passed } = self.0;
        if ended.fetch_add(1, Ordering::Relaxed) + 1 == *cases {
            let passed = passed.load(Ordering::Relaxed);
            say("bus", &format!("the contract on {bus}: {passed} of {cases} cases passed"));
        }
    }
}
