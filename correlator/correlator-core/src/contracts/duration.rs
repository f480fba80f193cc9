//! Durations in contracts: a whole number and a unit, `90s`, `15m`, `24h`, `14d`.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest duration in a contract: ten years, in seconds.
pub const SECONDS_MAX: u64 = 10 * 366 * 24 * 3600;

/// A duration in whole milliseconds, so that tests can scale windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    millis: u64,
}

impl Span {
    pub const fn from_secs(seconds: u64) -> Span {
        Span { millis: seconds * 1000 }
    }

    pub const fn from_hours(hours: u64) -> Span {
        Span::from_secs(hours * 3600)
    }

    pub const fn as_millis(self) -> u64 {
        self.millis
    }

    /// The time this much later, or the last one there is.
    pub fn after(self, start: Timestamp) -> Timestamp {
        let span = SignedDuration::from_millis(i64::try_from(self.millis).unwrap_or(i64::MAX));
        start.checked_add(span).unwrap_or(Timestamp::MAX)
    }

    /// The time this much earlier, or the first one there is.
    pub fn before(self, end: Timestamp) -> Timestamp {
        let span = SignedDuration::from_millis(i64::try_from(self.millis).unwrap_or(i64::MAX));
        end.checked_sub(span).unwrap_or(Timestamp::MIN)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..digits_end]
            .parse()
            .map_err(|_| format!("{text:?} is not a duration such as 90s, 15m, 24h or 14d"))?;
        let unit_millis = match &text[digits_end..] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(format!("{text:?} has no unit ms, s, m, h or d")),
        };
        match number.checked_mul(unit_millis) {
            Some(millis) if millis <= SECONDS_MAX * 1000 => Ok(Span { millis }),
            _ => Err(format!("{text:?} is longer than ten years")),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.millis {
            millis if millis % 1000 != 0 => write!(formatter, "{millis}ms"),
            millis if millis % 86_400_000 == 0 && millis > 0 => write!(formatter, "{}d", millis / 86_400_000),
            millis if millis % 3_600_000 == 0 && millis > 0 => write!(formatter, "{}h", millis / 3_600_000),
            millis if millis % 60_000 == 0 && millis > 0 => write!(formatter, "{}m", millis / 60_000),
            millis => write!(formatter, "{}s", millis / 1000),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
