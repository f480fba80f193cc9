//! Which repositories of a registry are meant: one, everything below a slash, or all.

use std::fmt;
use std::str::FromStr;

use bus_schema::{ImageRepository, ParseError};

/// `acme/app`, `acme/**` or `**`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepositoryPattern {
    One(String),
    /// Everything below `prefix/`.
    Below(String),
    All,
}

impl RepositoryPattern {
    /// Whether the registry's own list of repositories is needed to know what is meant.
    pub(crate) fn needs_catalog(&self) -> bool {
        !matches!(self, RepositoryPattern::One(_))
    }

    pub(crate) fn matches(&self, repository: &ImageRepository) -> bool {
        match self {
            RepositoryPattern::One(name) => repository.name() == name,
            RepositoryPattern::Below(prefix) => {
                repository.name().strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('/'))
            }
            RepositoryPattern::All => true,
        }
    }
}

impl FromStr for RepositoryPattern {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<RepositoryPattern, ParseError> {
        if text == "**" {
            return Ok(RepositoryPattern::All);
        }
        let name = text.strip_suffix("/**").unwrap_or(text);
        // The host does not matter here: only the name is checked.
        ImageRepository::new("registry.example", name)?;
        match name.len() == text.len() {
            true => Ok(RepositoryPattern::One(name.to_owned())),
            false => Ok(RepositoryPattern::Below(name.to_owned())),
        }
    }
}

impl fmt::Display for RepositoryPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RepositoryPattern::One(name) => formatter.write_str(name),
            RepositoryPattern::Below(prefix) => write!(formatter, "{prefix}/**"),
            RepositoryPattern::All => formatter.write_str("**"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_pattern_means_one_repository_or_all_below_a_slash() {
        let check = |pattern: &str, name: &str, expected: bool| {
            let pattern: RepositoryPattern = pattern.parse().unwrap();
            let repository = ImageRepository::new("r.example", name).unwrap();
            assert_eq!(pattern.matches(&repository), expected, "{pattern} {name}");
        };
        check("acme/app", "acme/app", true);
        check("acme/app", "acme/app/x", false);
        check("acme/**", "acme/app/x", true);
        check("acme/**", "acme", false);
        check("acme/**", "acmee/app", false);
        check("**", "any/thing", true);
        for odd in ["", "*", "acme/*", "**/app", "Acme/app", "acme//app", "/**"] {
            assert!(odd.parse::<RepositoryPattern>().is_err(), "{odd:?}");
        }
    }
}
