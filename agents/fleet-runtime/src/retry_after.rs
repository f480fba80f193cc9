//! `Retry-After` (RFC 9110, section 10.2.3): how long a server asks to be left alone.
//!
//! In: the header's text, and the time now. Out: the wait, never longer than the caller believes anybody.

use std::time::Duration;

use jiff::Timestamp;

/// The wait that seconds or a date name; nothing where the text is neither.
pub fn retry_after(text: &str, now: Timestamp, wait_max: Duration) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(wait_max));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let wait = Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO);
    Some(wait.min(wait_max))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_no_wait_is_longer_than_is_believed() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let check = |text: &str, expected: Option<u64>| {
            let wait = retry_after(text, now, Duration::from_secs(3600));
            assert_eq!(wait, expected.map(Duration::from_secs), "{text}");
        };
        check("7", Some(7));
        check(" 7 ", Some(7));
        check("99999999999", Some(3600));
        check("Sun, 01 Mar 2026 12:00:30 GMT", Some(30));
        check("Sun, 01 Mar 2026 11:00:00 GMT", Some(0));
        check("Sun, 01 Mar 2099 12:00:00 GMT", Some(3600));
        check("soon", None);
        check("-7", None);
        check("", None);
    }
}
