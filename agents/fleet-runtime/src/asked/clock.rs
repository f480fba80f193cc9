//! Whether an agent's clock may say that a question is out of time: until when an answer counts is told by another clock.
//!
//! In: when the bus kept each message, by the bus's clock, and the agent's own times. An agent whose clock is ahead would pass
//! over everything that it is asked. A message that comes at once shows how far it is ahead; one that waited shows nothing. So a
//! clock has no say before a message came whose time fits it, and none after it was set.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// A clock that is ahead by less is right: a message is on its way for a while, and clocks differ a little.
const RIGHT_WITHIN: SignedDuration = SignedDuration::from_secs(60);

/// A moment by the clock that can be set and by the one that cannot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) time: Timestamp,
    pub(super) steady: Instant,
}

impl Moment {
    pub(super) fn now() -> Moment {
        Moment { time: Timestamp::now(), steady: Instant::now() }
    }

    /// Whether the clock was set between an earlier moment and this one.
    fn is_set_since(self, earlier: Moment) -> bool {
        let passed = SignedDuration::try_from(self.steady.saturating_duration_since(earlier.steady));
        let passed = passed.unwrap_or(SignedDuration::MAX);
        let told = self.time.duration_since(earlier.time);
        told.checked_sub(passed).is_none_or(|apart| apart.abs() > RIGHT_WITHIN)
    }
}

/// What the messages so far show of the agent's clock.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// When a message came whose time fits it.
    right_at: Option<Moment>,
}

impl Clock {
    /// Takes note of a message that the bus kept at `kept_at`, and tells whether `until` is over for certain.
    pub(super) fn is_over(&mut self, until: Timestamp, kept_at: Timestamp, now: Moment) -> bool {
        self.right_at = self.right_at.filter(|right_at| !now.is_set_since(*right_at));
        if now.time.duration_since(kept_at) <= RIGHT_WITHIN {
            self.right_at = Some(now);
        }
        self.right_at.is_some() && until < now.time
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;

    const HOUR: i64 = 3600;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_772_000_000 + second).unwrap()
    }

    /// A moment `second` seconds after the first, by a clock that is ahead.
    fn moment(first: Instant, second: u64, ahead: i64) -> Moment {
        let time = at(i64::try_from(second).unwrap() + ahead);
        Moment { time, steady: first + Duration::from_secs(second) }
    }

    #[test]
    fn a_clock_that_is_right_passes_over_what_is_over() {
        let (first, mut clock) = (Instant::now(), Clock::default());
        assert!(!clock.is_over(at(900), at(0), moment(first, 1, 0)));
        // After the bus was away: what waited since.
        assert!(clock.is_over(at(1000), at(100), moment(first, 5000, 0)));
        assert!(!clock.is_over(at(5400), at(4500), moment(first, 5000, 0)));
    }

    #[test]
    fn a_clock_that_is_ahead_passes_over_nothing() {
        let (first, mut clock) = (Instant::now(), Clock::default());
        for second in [0, 100, 5000] {
            let kept_at = at(i64::try_from(second).unwrap());
            let until = kept_at.checked_add(SignedDuration::from_secs(900)).unwrap();
            assert!(!clock.is_over(until, kept_at, moment(first, second, HOUR)));
        }
    }

    #[test]
    fn a_clock_that_is_behind_is_right() {
        let (first, mut clock) = (Instant::now(), Clock::default());
        assert!(!clock.is_over(at(900), at(0), moment(first, 1, -HOUR)));
        assert!(clock.is_over(at(900), at(0), moment(first, 5000, -HOUR)));
    }

    #[test]
    fn a_clock_that_is_set_has_to_fit_again() {
        let (first, mut clock) = (Instant::now(), Clock::default());
        assert!(!clock.is_over(at(900), at(0), moment(first, 1, 0)));
        assert!(!clock.is_over(at(910), at(10), moment(first, 10, HOUR)));
        assert!(!clock.is_over(at(920), at(20), moment(first, 20, 0)));
        assert!(clock.is_over(at(920), at(20), moment(first, 1000, 0)));
    }

    #[test]
    fn what_waited_before_the_process_began_is_answered() {
        let (first, mut clock) = (Instant::now(), Clock::default());
        assert!(!clock.is_over(at(900), at(0), moment(first, 5000, 0)));
        assert!(!clock.is_over(at(5899), at(4999), moment(first, 5000, 0)));
        assert!(clock.is_over(at(900), at(0), moment(first, 5000, 0)));
    }
}
