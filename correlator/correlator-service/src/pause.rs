//! Growing pauses between attempts, with a share of chance so that many do not come back at one moment.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// Pauses that double from `first` to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pauses {
    pub(crate) first: Duration,
    pub(crate) max: Duration,
}

impl Pauses {
    /// The pause after this many failures, counted from 1, without chance.
    pub(crate) fn after(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        self.first.saturating_mul(1 << doublings).min(self.max)
    }

    /// The same, between half of it and the whole.
    pub(crate) fn with_jitter(&self, failures: u32) -> Duration {
        let pause = self.after(failures);
        // A hasher with random keys is all the chance that this needs.
        let chance = RandomState::new().build_hasher().finish() % 1000;
        pause / 2 + pause.mul_f64(0.5 * chance as f64 / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_bound_and_jitter_stays_in_the_upper_half() {
        let pauses = Pauses { first: Duration::from_millis(100), max: Duration::from_secs(1) };
        let whole: Vec<u128> = (1..=6).map(|failures| pauses.after(failures).as_millis()).collect();
        assert_eq!(whole, [100, 200, 400, 800, 1000, 1000]);
        for failures in 1..=40 {
            let pause = pauses.with_jitter(failures);
            assert!(pause >= pauses.after(failures) / 2 && pause <= pauses.after(failures), "{pause:?}");
        }
    }
}
