//! What the heartbeats of all agents have in common.

use std::time::Duration;

/// The time between two reports as a report states it: whole seconds, never sooner than it comes.
pub fn interval_seconds(interval: Duration) -> u64 {
    interval.as_secs().saturating_add(u64::from(interval.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_stated_in_whole_seconds_and_never_shorter_than_it_is() {
        for (millis, stated) in [(0, 1), (50, 1), (1000, 1), (1001, 2), (30_000, 30)] {
            assert_eq!(interval_seconds(Duration::from_millis(millis)), stated, "{millis} ms");
        }
    }
}
