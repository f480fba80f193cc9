//! When a tick is due, and that a deadline that does not move is not ticked at without a pause.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::pause::Pauses;

/// A clock may be set: no sleep is longer than this.
const SLEEP_MAX: Duration = Duration::from_secs(30);
const STUCK_PAUSES: Pauses = Pauses { first: Duration::from_millis(10), max: Duration::from_secs(1) };
/// Ticks that get nothing out of the way and are nothing unusual.
const IDLE_TICKS_MAX: u32 = 4;

/// Watches the next deadline.
#[derive(Debug, Default)]
pub(super) struct Due {
    deadline: Option<Timestamp>,
    ticks: u32,
    not_before: Option<Instant>,
}

impl Due {
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.deadline
    }

    /// The next deadline after something was applied, and whether that got a deadline out of the way: of many units that
    /// are due at once each tick takes some.
    pub(super) fn set(&mut self, deadline: Option<Timestamp>, has_passed_one: bool) {
        if has_passed_one || deadline != self.deadline {
            self.deadline = deadline;
            self.ticks = 0;
            self.not_before = None;
        }
    }

    /// How long until a tick is due; nothing when no deadline is known.
    pub(super) fn wait(&self, now: Timestamp) -> Option<Duration> {
        let deadline = self.deadline?;
        let until = Duration::try_from(deadline.duration_since(now)).unwrap_or(Duration::ZERO);
        let pause = self.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()));
        Some(until.max(pause).min(SLEEP_MAX))
    }

    /// Whether to tick now; counts the tick.
    pub(super) fn take(&mut self, now: Timestamp) -> bool {
        let is_due = self.deadline.is_some_and(|deadline| deadline <= now)
            && self.not_before.is_none_or(|at| at <= Instant::now());
        if !is_due {
            return false;
        }
        self.ticks += 1;
        if self.ticks > IDLE_TICKS_MAX {
            self.not_before = Some(Instant::now() + STUCK_PAUSES.after(self.ticks - IDLE_TICKS_MAX));
        }
        if self.ticks == 64 {
            tracing::warn!(deadline = ?self.deadline, "ticks do not move the deadline on");
        }
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_deadline_is_ticked_at_when_it_is_due_and_not_without_end() {
        let now = Timestamp::now();
        let mut due = Due::default();
        assert!(!due.take(now) && due.wait(now).is_none());
        due.set(Some(now.checked_add(jiff::SignedDuration::from_secs(5)).unwrap()), false);
        assert!(!due.take(now));
        assert_eq!(due.wait(now), Some(Duration::from_secs(5)));
        due.set(Some(now), false);
        let at_once = (0..100).filter(|_| due.take(now)).count();
        assert_eq!(at_once, 5);
        assert!(due.wait(now).unwrap() > Duration::ZERO);
        due.set(Some(now), false);
        assert!(!due.take(now));
    }

    #[test]
    fn many_units_that_are_due_at_once_are_ticked_at_without_a_pause() {
        let now = Timestamp::now();
        let mut due = Due::default();
        for _ in 0..1000 {
            due.set(Some(now), true);
            assert!(due.take(now));
        }
    }
}
