//! Durations as people write them: `250ms`, `90s`, `15m`, `1h30m`, `14d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

const SECONDS_MAX: u64 = 10 * 366 * 24 * 3600;

/// A duration in the settings.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurationText(pub Duration);

/// Why text is not a duration.
#[derive(Debug, thiserror::Error)]
#[error("expected a duration such as 90s, 15m or 1h30m (units ms, s, m, h, d; at most ten years)")]
pub struct DurationError;

impl DurationText {
    pub const fn seconds(count: u64) -> DurationText {
        DurationText(Duration::from_secs(count))
    }

    pub const fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for DurationText {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<DurationText, DurationError> {
        let mut rest = text;
        let mut total = Duration::ZERO;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let count: u64 = rest[..digits].parse().map_err(|_| DurationError)?;
            let after = &rest[digits..];
            let letters = after.bytes().take_while(u8::is_ascii_lowercase).count();
            let seconds =
                |unit: u64| count.checked_mul(unit).filter(|s| *s <= SECONDS_MAX).ok_or(DurationError);
            total += match &after[..letters] {
                "ms" if count <= SECONDS_MAX => Duration::from_millis(count),
                "s" => Duration::from_secs(seconds(1)?),
                "m" => Duration::from_secs(seconds(60)?),
                "h" => Duration::from_secs(seconds(3600)?),
                "d" => Duration::from_secs(seconds(24 * 3600)?),
                _ => return Err(DurationError),
            };
            rest = &after[letters..];
        }
        let is_right = !text.is_empty() && text.len() <= 64 && total.as_secs() <= SECONDS_MAX;
        is_right.then_some(DurationText(total)).ok_or(DurationError)
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u128, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
        let millis = self.0.as_millis();
        let largest = UNITS.into_iter().find(|(unit, _)| millis.is_multiple_of(*unit));
        match largest {
            _ if millis == 0 => f.write_str("0s"),
            Some((unit, name)) => write!(f, "{}{name}", millis / unit),
            None => write!(f, "{millis}ms"),
        }
    }
}

impl fmt::Debug for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DurationText, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn durations_are_read_and_printed() {
        let check = |text: &str, millis: u64, printed: &str| {
            let duration: DurationText = text.parse().unwrap();
            assert_eq!(duration.0, Duration::from_millis(millis), "{text}");
            assert_eq!(duration.to_string(), printed);
        };
        check("90s", 90_000, "90s");
        check("15m", 900_000, "15m");
        check("1h30m", 5_400_000, "90m");
        check("250ms", 250, "250ms");
        check("14d", 14 * 86_400_000, "14d");
        check("0s", 0, "0s");
    }

    #[test]
    fn other_text_is_refused() {
        for odd in [
            "",
            "90",
            "s",
            "-1s",
            "1.5s",
            "1 s",
            "1w",
            "99999999999999999999s",
            "4000000d",
            "1S",
            "\u{ff11}s",
        ] {
            assert!(odd.parse::<DurationText>().is_err(), "{odd:?}");
        }
    }
}
