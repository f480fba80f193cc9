//! Subjects, the patterns that select them, and the keys of buckets.
//!
//! The alphabet is a part of what NATS takes, so that what is right here is right there.

use std::fmt;
use std::str::FromStr;

use super::BusError;

/// The longest subject, pattern or key.
pub(super) const SUBJECT_BYTES_MAX: usize = 512;

/// A selection of subjects: `*` stands for exactly one token, a last `>` for one or more.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(String);

impl Pattern {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn matches(&self, subject: &str) -> bool {
        let mut tokens = subject.split('.');
        for wanted in self.0.split('.') {
            let Some(token) = tokens.next() else { return false };
            match wanted {
                ">" => return true,
                "*" => {}
                exact if exact == token => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }
}

impl FromStr for Pattern {
    type Err = BusError;

    fn from_str(text: &str) -> Result<Pattern, BusError> {
        let refused = || BusError::Subject { subject: shown(text) };
        if text.len() > SUBJECT_BYTES_MAX {
            return Err(refused());
        }
        let tokens: Vec<&str> = text.split('.').collect();
        for (index, token) in tokens.iter().enumerate() {
            let is_right = match *token {
                "*" => true,
                ">" => index + 1 == tokens.len(),
                plain => is_token(plain),
            };
            if !is_right {
                return Err(refused());
            }
        }
        Ok(Pattern(text.to_owned()))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({})", self.0)
    }
}

/// Refuses a subject that a message may not carry: empty tokens, wildcards, other characters.
pub fn check_subject(subject: &str) -> Result<(), BusError> {
    if subject.len() <= SUBJECT_BYTES_MAX && subject.split('.').all(is_token) {
        return Ok(());
    }
    Err(BusError::Subject { subject: shown(subject) })
}

/// Refuses a key (or bucket name) that some bus would refuse.
pub fn check_key(key: &str) -> Result<(), BusError> {
    let is_plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-/_=.".contains(&byte));
    let dots_are_inside = !key.starts_with('.') && !key.ends_with('.') && !key.contains("..");
    if !key.is_empty() && key.len() <= SUBJECT_BYTES_MAX && is_plain && dots_are_inside {
        return Ok(());
    }
    Err(BusError::Key { key: shown(key) })
}

fn is_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Refused text as an error may show it: short, and without control characters.
fn shown(text: &str) -> String {
    text.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn wildcards_match_tokens_not_text() {
        let check = |pattern: &str, subject: &str, expected: bool| {
            let pattern: Pattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(subject), expected, "{pattern} {subject}");
        };
        check("custody.in.>", "custody.in.a", true);
        check("custody.in.>", "custody.in.a.b.c", true);
        check("custody.in.>", "custody.in", false);
        check("custody.*.a", "custody.in.a", true);
        check("custody.*.a", "custody.in.b.a", false);
        check("custody.in.a", "custody.in.a", true);
        check("custody.in.a", "custody.in.ab", false);
        check("custody.in.a", "custody.in.a.b", false);
    }

    #[test]
    fn odd_subjects_patterns_and_keys_are_refused() {
        for odd in ["", ".", "a..b", "a.", ".a", "a b", "a.*", "a.>", "ä", "a\n"] {
            assert!(check_subject(odd).is_err(), "{odd:?}");
        }
        for odd in ["", "a.>.b", "a.x*", "a..b", ">."] {
            assert!(odd.parse::<Pattern>().is_err(), "{odd:?}");
        }
        for odd in ["", ".a", "a.", "a..b", "a b", "a*", "ä"] {
            assert!(check_key(odd).is_err(), "{odd:?}");
        }
        assert!(check_key("verdict/sha256-ab.c=").is_ok());
    }
}
