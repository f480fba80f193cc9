//! W3C Trace Context (`traceparent`, level 1), carried from intake to alert.

use std::fmt;
use std::str::FromStr;

use crate::ParseError;

/// `00-<trace id>-<parent id>-<flags>`, in lower-case hexadecimal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceParent(String);

impl TraceParent {
    /// The text as the header carries it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 32 hex digits that all spans of one trace share.
    pub fn trace_id(&self) -> &str {
        &self.0[3..35]
    }

    /// The 16 hex digits of the span that others lie below.
    pub fn parent_id(&self) -> &str {
        &self.0[36..52]
    }

    /// A trace for something that has an id of its own, so that replays give the same trace.
    pub fn derive<'a>(fields: impl IntoIterator<Item = &'a str>) -> TraceParent {
        let hash = crate::hash::hash_fields(std::iter::once("trace").chain(fields));
        TraceParent(format!("00-{}-{}-01", hex::encode(&hash[..16]), hex::encode(&hash[16..24])))
    }
}

impl FromStr for TraceParent {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<TraceParent, ParseError> {
        let refuse =
            |position, reason: &'static str| Err(ParseError::new("traceparent", text, position, reason));
        if text.len() != 55 {
            return refuse(text.len().min(55), "it is not 55 bytes long");
        }
        for (index, byte) in text.bytes().enumerate() {
            let fits = match index {
                2 | 35 | 52 => byte == b'-',
                _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            };
            if !fits {
                return refuse(index, "not version-trace-parent-flags in lower-case hexadecimal");
            }
        }
        if !text.starts_with("00-") {
            return refuse(0, "a version other than 00");
        }
        let is_zero = |range: std::ops::Range<usize>| text[range].bytes().all(|byte| byte == b'0');
        if is_zero(3..35) {
            return refuse(3, "a trace id of all zeros");
        }
        match is_zero(36..52) {
            true => refuse(36, "a parent id of all zeros"),
            false => Ok(TraceParent(text.to_owned())),
        }
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

text_identity!(TraceParent, "TraceParent", "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$", "a W3C traceparent");
