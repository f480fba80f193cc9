//! Times as GitHub writes them: RFC 3339 text, or seconds since 1970 in some webhooks.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

/// A time in either of GitHub's forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForgeTime(pub Timestamp);

impl<'de> Deserialize<'de> for ForgeTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ForgeTime, D::Error> {
        deserializer.deserialize_any(EitherForm).map(ForgeTime)
    }
}

struct EitherForm;

impl Visitor<'_> for EitherForm {
    type Value = Timestamp;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an RFC 3339 time or seconds since 1970")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Timestamp, E> {
        text.parse().map_err(|_| E::custom("not an RFC 3339 time"))
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Timestamp, E> {
        Timestamp::from_second(seconds).map_err(|_| E::custom("seconds out of range"))
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Timestamp, E> {
        let seconds = i64::try_from(seconds).map_err(|_| E::custom("seconds out of range"))?;
        self.visit_i64(seconds)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn both_forms_of_a_time_are_the_same_time() {
        let number: ForgeTime = serde_json::from_str("1557933657").unwrap();
        let zulu: ForgeTime = serde_json::from_str("\"2019-05-15T15:20:57Z\"").unwrap();
        let offset: ForgeTime = serde_json::from_str("\"2019-05-15T17:20:57+02:00\"").unwrap();
        assert_eq!((number, zulu), (zulu, offset));
        for wrong in ["\"yesterday\"", "true", "9999999999999999", "null", "1.5"] {
            assert!(serde_json::from_str::<ForgeTime>(wrong).is_err(), "{wrong}");
        }
    }
}
