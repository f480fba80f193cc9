//! The log's clock: the machine's, except that it never runs backwards.
//!
//! In: the time of the last entry. Out: the time of the next. Where the machine's clock was set back, ours goes on at
//! half speed until the machine has caught up: windows last at most twice as long and still end.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// How far ahead of the machine's clock is worth a warning.
const AHEAD_WARNING: SignedDuration = SignedDuration::from_secs(5);

/// Makes the times at which entries are recorded.
#[derive(Debug)]
pub(crate) struct Clock {
    last: Timestamp,
    read_at: Instant,
    has_warned: bool,
}

impl Clock {
    /// A clock that goes on from the last entry of a log.
    pub(crate) fn new(last: Option<Timestamp>) -> Clock {
        Clock { last: last.unwrap_or(Timestamp::MIN), read_at: Instant::now(), has_warned: false }
    }

    /// The time now, never before what was read before.
    pub(crate) fn now(&mut self) -> Timestamp {
        let machine = whole_micros(Timestamp::now());
        let elapsed = self.read_at.elapsed();
        let now = later_of(machine, self.last, elapsed);
        let ahead = now.duration_since(machine);
        if ahead > AHEAD_WARNING && !self.has_warned {
            self.has_warned = true;
            tracing::warn!(
                ahead_seconds = ahead.as_secs(),
                "the machine's clock is behind the evidence log, the log's time goes on at half speed until it is not"
            );
        }
        if ahead <= AHEAD_WARNING {
            self.has_warned = false;
        }
        self.last = now;
        self.read_at = Instant::now();
        now
    }
}

fn later_of(machine: Timestamp, last: Timestamp, elapsed: Duration) -> Timestamp {
    let half = SignedDuration::try_from(elapsed / 2).unwrap_or(SignedDuration::ZERO);
    let slewed = last.checked_add(half).unwrap_or(last);
    machine.max(whole_micros(slewed).max(last))
}

/// Deadlines are kept in microseconds: a time with a finer part would be due a moment before it is.
fn whole_micros(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_clock_that_was_set_back_goes_on_at_half_speed() {
        let last: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let machine: Timestamp = "2026-03-01T11:00:00Z".parse().unwrap();
        let check = |machine: Timestamp, elapsed_seconds: u64, expected: &str| {
            let now = later_of(machine, last, Duration::from_secs(elapsed_seconds));
            assert_eq!(now, expected.parse::<Timestamp>().unwrap());
        };
        check(machine, 0, "2026-03-01T12:00:00Z");
        check(machine, 60, "2026-03-01T12:00:30Z");
        check("2026-03-01T12:00:40Z".parse().unwrap(), 60, "2026-03-01T12:00:40Z");
    }

    #[test]
    fn it_begins_at_the_last_entry_even_when_that_is_ahead() {
        let ahead = Timestamp::now().checked_add(SignedDuration::from_hours(1)).unwrap();
        let mut clock = Clock::new(Some(ahead));
        let one = clock.now();
        assert!(one >= ahead);
        assert!(clock.now() >= one);
    }
}
