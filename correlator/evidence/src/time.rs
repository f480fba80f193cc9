//! Times that a signed predicate states: between 1970 and 2100, or none.

use correlator_core::facts::{Refusal, RefusalReason};
use jiff::Timestamp;

use crate::refusal::{malformed, refusal};

/// What Go writes for a time that nobody set.
const UNSET: &str = "0001-01-01T00:00:00Z";
/// 2101-01-01T00:00:00Z
const END_SECONDS: i64 = 4_133_980_800;

/// Reads a time (RFC 3339). Nothing, an empty text and Go's unset time are none.
pub(crate) fn read(what: &str, text: Option<&str>) -> Result<Option<Timestamp>, Refusal> {
    let Some(text) = text.filter(|text| !text.is_empty() && *text != UNSET) else {
        return Ok(None);
    };
    let time: Timestamp =
        text.parse().map_err(|_| malformed(format!("{what} as a time of RFC 3339"), text))?;
    if (0..END_SECONDS).contains(&time.as_second()) {
        return Ok(Some(time));
    }
    Err(refusal(RefusalReason::BadTime, format!("{what} between 1970 and 2100"), text))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn only_times_of_this_age_are_read() {
        let reason = |text: &str| read("it", Some(text)).map_err(|refused| refused.reason);
        assert_eq!(reason("2022-08-15T22:43:34.366498Z").unwrap().unwrap().as_second(), 1_660_603_414);
        assert!(reason("1970-01-01T00:00:00Z").unwrap().is_some());
        assert!(reason("2100-12-31T23:59:59Z").unwrap().is_some());
        assert_eq!(reason(""), Ok(None));
        assert_eq!(reason(UNSET), Ok(None));
        assert_eq!(read("it", None), Ok(None));
        assert_eq!(reason("1969-12-31T23:59:59Z"), Err(RefusalReason::BadTime));
        assert_eq!(reason("2101-01-01T00:00:00Z"), Err(RefusalReason::BadTime));
        assert_eq!(reason("yesterday"), Err(RefusalReason::Malformed));
    }
}
