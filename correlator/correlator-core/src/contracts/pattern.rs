//! Patterns in contracts: whole-text globs, in which `*` stays inside a path segment and `**` does not.

use std::fmt;

use bus_schema::ImageRepository;
use serde::{Deserialize, Deserializer};

/// The longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 512;
/// The most wildcards in one pattern.
pub const WILDCARDS_MAX: usize = 8;

/// A glob over whole texts: `refs/tags/v*`, `prod-*`, `.github/**`. Everything but `*` stands for itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Glob(String);

impl Glob {
    pub fn parse(text: &str) -> Result<Glob, String> {
        if text.is_empty() || text.len() > PATTERN_BYTES_MAX {
            return Err(format!("a pattern has 1 to {PATTERN_BYTES_MAX} bytes"));
        }
        if text.matches('*').count() > WILDCARDS_MAX {
            return Err(format!("{text:?} has more than {WILDCARDS_MAX} asterisks"));
        }
        Ok(Glob(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        matches_glob(self.0.as_bytes(), text.as_bytes())
    }
}

/// Follows all places of the text that the pattern so far can end at: one pass over the text per byte of the pattern,
/// whatever the two are.
fn matches_glob(pattern: &[u8], text: &[u8]) -> bool {
    let mut ends = vec![false; text.len() + 1];
    ends[0] = true;
    let mut rest = pattern;
    loop {
        rest = match rest {
            [] => return ends[text.len()],
            [b'*', b'*', rest @ ..] => {
                extend(&mut ends, text, |_| true);
                rest
            }
            [b'*', rest @ ..] => {
                extend(&mut ends, text, |byte| byte != b'/');
                rest
            }
            [literal, rest @ ..] => {
                for at in (0..text.len()).rev() {
                    ends[at + 1] = ends[at] && text[at] == *literal;
                }
                ends[0] = false;
                rest
            }
        };
    }
}

/// Every place that is reached may be followed by any number of bytes that pass.
fn extend(ends: &mut [bool], text: &[u8], passes: impl Fn(u8) -> bool) {
    for (at, byte) in text.iter().enumerate() {
        ends[at + 1] |= ends[at] && passes(*byte);
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Glob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Glob, D::Error> {
        Glob::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Which image repositories a pipeline claims: one, or everything below a slash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ImagePattern {
    One(ImageRepository),
    /// The text before `**`, ending with a slash.
    Below(String),
}

impl ImagePattern {
    pub fn matches(&self, repository: &ImageRepository) -> bool {
        match self {
            ImagePattern::One(one) => one == repository,
            ImagePattern::Below(prefix) => repository.to_string().starts_with(prefix.as_str()),
        }
    }

    /// How specific it is: the longest entry wins, and a whole repository wins over everything below it.
    pub fn length(&self) -> (usize, bool) {
        match self {
            ImagePattern::One(one) => (one.to_string().len(), true),
            ImagePattern::Below(prefix) => (prefix.len(), false),
        }
    }
}

impl fmt::Display for ImagePattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImagePattern::One(one) => fmt::Display::fmt(one, formatter),
            ImagePattern::Below(prefix) => write!(formatter, "{prefix}**"),
        }
    }
}

impl<'de> Deserialize<'de> for ImagePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ImagePattern, D::Error> {
        let text = String::deserialize(deserializer)?;
        let refuse = |reason: String| serde::de::Error::custom(format!("image pattern {text:?}: {reason}"));
        match text.strip_suffix("**") {
            Some(prefix) if prefix.ends_with('/') && prefix.len() > 1 && !prefix.contains('*') => {
                // The prefix must be the beginning of a repository: a made-up last segment shows whether it is.
                let probe: ImageRepository = format!("{prefix}x")
                    .parse()
                    .map_err(|e: bus_schema::ParseError| refuse(e.to_string()))?;
                let probe = probe.to_string();
                Ok(ImagePattern::Below(probe[..probe.len() - 1].to_owned()))
            }
            Some(_) => Err(refuse("** stands for everything below a slash, at the end".to_owned())),
            None => {
                text.parse().map(ImagePattern::One).map_err(|e: bus_schema::ParseError| refuse(e.to_string()))
            }
        }
    }
}
