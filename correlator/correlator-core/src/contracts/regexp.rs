//! Regular expressions over whole texts: for those who bring theirs along from other verifiers. Contracts are better served by
//! globs.

use std::fmt;

use regex::{Regex, RegexBuilder};

/// The longest expression, in bytes.
pub const REGEXP_BYTES_MAX: usize = 1024;
/// The most that one may take up compiled, in bytes.
const COMPILED_BYTES_MAX: usize = 256 * 1024;

/// An expression that matches from the first character of a text to its last, or not at all. Matching takes time that is
/// linear in the text.
#[derive(Debug, Clone)]
pub struct WholeRegexp {
    text: String,
    compiled: Regex,
}

impl WholeRegexp {
    pub fn parse(text: &str) -> Result<WholeRegexp, String> {
        if text.is_empty() || text.len() > REGEXP_BYTES_MAX {
            return Err(format!("a regular expression has 1 to {REGEXP_BYTES_MAX} bytes"));
        }
        let compile = |text: &str| {
            RegexBuilder::new(text).size_limit(COMPILED_BYTES_MAX).build().map_err(|error| {
                let said = error.to_string();
                format!("no regular expression: {}", said.lines().last().unwrap_or_default().trim())
            })
        };
        // By itself first: one that closes more groups than it opens would otherwise leave the anchors around it.
        compile(text)?;
        let compiled = compile(&format!(r"\A(?:{text})\z"))?;
        Ok(WholeRegexp { text: text.to_owned(), compiled })
    }

    /// Whether the whole of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        self.compiled.is_match(text)
    }
}

impl PartialEq for WholeRegexp {
    fn eq(&self, other: &WholeRegexp) -> bool {
        self.text == other.text
    }
}

impl Eq for WholeRegexp {}

impl fmt::Display for WholeRegexp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn the_whole_text_matches_or_nothing_does() {
        let check = |regexp: &str, text: &str, expected: bool| {
            assert_eq!(WholeRegexp::parse(regexp).unwrap().matches(text), expected, "{regexp:?} {text:?}");
        };
        let subject = "https://github.com/acme/api/.github/workflows/r.yml@refs/heads/main";
        check(r"https://github\.com/acme/api/.*", subject, true);
        check(r"^https://github\.com/acme/api/.*$", subject, true);
        check(r"https://github\.com/acme/api/", subject, false);
        check(r"^https://github\.com/acme/", subject, false);
        check(r"refs/heads/main$", subject, false);
        check(r"nothing|https://github\.com/acme/", subject, false);
        check(r"https://github\.com/acme/|nothing", subject, false);
        check(r"(?i)HTTPS://.*", subject, true);
        check("a", "a\n", false);
        check("(?m)a$", "a\nb", false);
        check(".*", "a\nb", false);
        check("(?s).*", "a\nb", true);
    }

    #[test]
    fn what_would_leave_its_anchors_or_grow_too_large_is_refused() {
        for text in [
            "",
            "(",
            "a)|(?:b",
            ")(",
            "[",
            r"\A(?:a))|(?:(b",
            "(?x) a # b",
            &"a".repeat(2000),
            "(a{500}){500}",
        ] {
            assert!(WholeRegexp::parse(text).is_err(), "{text:?}");
        }
    }
}
