//! What an agent, a credential or a webhook's secret may speak for: whole owners, or single repositories.

use std::fmt;
use std::str::FromStr;

use bus_schema::{ForgeHost, RepositoryRef};

/// One entry of a list in the settings: `acme` (an owner with all repositories) or `acme/api` (one repository).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watched {
    Owner(String),
    Repository { owner: String, name: String },
}

/// Why an entry of a scope is refused.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is neither an owner nor owner/repository")]
pub struct WatchedError {
    text: String,
}

impl FromStr for Watched {
    type Err = WatchedError;

    fn from_str(text: &str) -> Result<Watched, WatchedError> {
        let refuse = || WatchedError { text: text.chars().take(80).collect() };
        // The names are checked by the one parser of repositories; GitHub's owners do not nest.
        let parse = |path: &str| format!("github.com/{path}").parse::<RepositoryRef>().map_err(|_| refuse());
        match text.split_once('/') {
            None => Ok(Watched::Owner(parse(&format!("{text}/any"))?.owner)),
            Some((_, name)) if name.contains('/') => Err(refuse()),
            Some(_) => {
                let RepositoryRef { owner, name, .. } = parse(text)?;
                Ok(Watched::Repository { owner, name })
            }
        }
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Watched::Owner(owner) => formatter.write_str(owner),
            Watched::Repository { owner, name } => write!(formatter, "{owner}/{name}"),
        }
    }
}

/// A list of owners and repositories on one forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeScope {
    pub host: ForgeHost,
    pub watched: Vec<Watched>,
}

impl ForgeScope {
    /// Whether the repository lies in the scope. Forges ignore case in names.
    pub fn holds(&self, repository: &RepositoryRef) -> bool {
        repository.host == self.host
            && self.watched.iter().any(|watched| match watched {
                Watched::Owner(owner) => owner.eq_ignore_ascii_case(&repository.owner),
                Watched::Repository { owner, name } => {
                    owner.eq_ignore_ascii_case(&repository.owner)
                        && name.eq_ignore_ascii_case(&repository.name)
                }
            })
    }

    /// Whether something that concerns an owner as a whole lies in the scope.
    pub fn holds_owner(&self, owner: &str) -> bool {
        self.watched
            .iter()
            .any(|watched| matches!(watched, Watched::Owner(mine) if mine.eq_ignore_ascii_case(owner)))
    }

    /// Whether everything of `other` lies in this scope.
    pub fn holds_all(&self, other: &ForgeScope) -> bool {
        self.host == other.host
            && other.watched.iter().all(|watched| match watched {
                Watched::Owner(owner) => self.holds_owner(owner),
                Watched::Repository { owner, name } => {
                    self.holds_owner(owner)
                        || self.watched.iter().any(|mine| {
                            matches!(mine, Watched::Repository { owner: o, name: n }
                                if o.eq_ignore_ascii_case(owner) && n.eq_ignore_ascii_case(name))
                        })
                }
            })
    }

    /// The owners that the scope names, alone or with a repository.
    pub fn owners(&self) -> impl Iterator<Item = &str> {
        self.watched.iter().map(|watched| match watched {
            Watched::Owner(owner) | Watched::Repository { owner, .. } => owner.as_str(),
        })
    }

    /// The scopes as coverage states them, in lower case: `github.com/acme`, or `github.com/acme/api` for a single
    /// repository.
    pub fn coverage_scopes(&self) -> Vec<String> {
        self.watched.iter().map(|watched| format!("{}/{watched}", self.host).to_ascii_lowercase()).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn scope(entries: &[&str]) -> ForgeScope {
        let watched = entries.iter().map(|entry| entry.parse().unwrap()).collect();
        ForgeScope { host: "github.com".parse().unwrap(), watched }
    }

    #[test]
    fn a_scope_holds_its_owners_and_repositories_on_its_host_only() {
        let check = |repository: &str, expected: bool| {
            let repository: RepositoryRef = repository.parse().unwrap();
            assert_eq!(scope(&["acme", "other/one"]).holds(&repository), expected, "{repository}");
        };
        check("github.com/acme/api", true);
        check("github.com/ACME/Api", true);
        check("github.com/other/One", true);
        check("github.com/other/two", false);
        check("github.com/acme-evil/api", false);
        check("git.acme.example/acme/api", false);
    }

    #[test]
    fn a_scope_can_be_compared_with_another() {
        assert!(scope(&["acme"]).holds_all(&scope(&["acme/api", "Acme"])));
        assert!(!scope(&["acme/api"]).holds_all(&scope(&["acme"])));
    }

    #[test]
    fn an_entry_that_is_not_a_name_is_refused() {
        for text in ["", "/", "acme/", "/api", "acme/api/more", "ac me", "../x", "*"] {
            assert!(text.parse::<Watched>().is_err(), "{text:?}");
        }
    }
}
