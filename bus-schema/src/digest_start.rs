//! The beginning of a digest, as people type it or copy it from a screen.

use std::fmt;
use std::str::FromStr;

use crate::{Digest, ParseError};

/// Fewer digits name too many digests to be worth a look.
pub const HEX_DIGITS_MIN: usize = 8;

/// An algorithm and the first digits of a digest: `sha256:4c1d77a0`. Printed as it begins every digest that it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestStart(String);

impl DigestStart {
    /// The text with which the digests begin.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the digest begins so.
    pub fn begins(&self, digest: &Digest) -> bool {
        digest.to_string().starts_with(&self.0)
    }
}

impl FromStr for DigestStart {
    type Err = ParseError;

    /// Dots at the end, as of a text that was cut for a screen, are left off.
    fn from_str(text: &str) -> Result<DigestStart, ParseError> {
        let start = text.trim_end_matches(['…', '.']);
        let refuse =
            |position, reason: String| ParseError::new("beginning of a digest", text, position, reason);
        let (algorithm, length) = match start {
            _ if start.starts_with("sha256:") => ("sha256:", 64),
            _ if start.starts_with("sha512:") => ("sha512:", 128),
            _ => return Err(refuse(0, "it begins with neither sha256: nor sha512:".to_owned())),
        };
        let digits = &start[algorithm.len()..];
        if let Some(offset) = digits.bytes().position(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(refuse(algorithm.len() + offset, "not a lower-case hex digit".to_owned()));
        }
        if !(HEX_DIGITS_MIN..=length).contains(&digits.len()) {
            let reason = format!("{} hex digits, not {HEX_DIGITS_MIN} to {length}", digits.len());
            return Err(refuse(start.len().min(algorithm.len() + length), reason));
        }
        Ok(DigestStart(start.to_owned()))
    }
}

impl fmt::Display for DigestStart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_beginning_is_eight_digits_or_more_and_may_end_in_dots() {
        let digest = Digest::sha256_of(b"one");
        let whole = digest.to_string();
        for text in [
            &whole[..15],
            &whole[..30],
            &whole,
            &format!("{}…", &whole[..15]),
            &format!("{}...", &whole[..19]),
        ] {
            let start: DigestStart = text.parse().unwrap();
            assert!(start.begins(&digest) && !start.begins(&Digest::sha256_of(b"two")), "{text}");
        }
        for text in [
            "",
            "sha256:",
            &whole[..14],
            &whole[7..20],
            "sha1:0123456789",
            "sha256:0123456G",
            "sha256:01234567…8",
        ] {
            assert!(text.parse::<DigestStart>().is_err(), "{text}");
        }
        assert!(format!("{whole}0").parse::<DigestStart>().is_err());
    }
}
