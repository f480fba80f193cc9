//! Which agent may speak about what.

use bus_schema::AgentKind;
use correlator_core::contracts::pattern::Glob;

/// What one agent may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentGrant {
    pub kind: AgentKind,
    /// Patterns over image repositories, forge repositories or cluster ids, in lower case.
    scopes: Vec<Glob>,
}

impl AgentGrant {
    /// The grant for an agent of a kind, with patterns such as `ghcr.io/acme/**`. The error names the pattern that is none.
    pub fn new<'a>(kind: AgentKind, scopes: impl IntoIterator<Item = &'a str>) -> Result<AgentGrant, String> {
        let scopes =
            scopes.into_iter().map(|text| Glob::parse(&text.to_lowercase())).collect::<Result<_, _>>()?;
        Ok(AgentGrant { kind, scopes })
    }

    /// The grant for everything of a kind.
    pub fn everything(kind: AgentKind) -> AgentGrant {
        AgentGrant::new(kind, ["**"]).unwrap_or(AgentGrant { kind, scopes: Vec::new() })
    }

    /// Whether it may speak about this repository or cluster.
    pub fn holds(&self, scope: &str) -> bool {
        let scope = scope.to_lowercase();
        self.scopes.iter().any(|glob| glob.matches(&scope))
    }

    /// Whether it may state coverage of this scope, which may be wider than single repositories: a host, or an owner.
    pub fn touches(&self, scope: &str) -> bool {
        let scope = scope.to_lowercase();
        let below = format!("{scope}/");
        self.scopes.iter().any(|glob| glob.matches(&scope) || glob.as_str().starts_with(&below))
            || self.holds(&format!("{scope}/any"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_grant_holds_what_its_patterns_match_and_nothing_beside_it() {
        let grant = AgentGrant::new(AgentKind::Registry, ["ghcr.io/Acme/**", "other.example/one"]).unwrap();
        for (scope, expected) in [
            ("ghcr.io/acme/api", true),
            ("GHCR.io/ACME/api/deep", true),
            ("ghcr.io/acmeevil/api", false),
            ("ghcr.io/evil", false),
            ("other.example/one", true),
            ("other.example/one/two", false),
        ] {
            assert_eq!(grant.holds(scope), expected, "{scope}");
        }
        for (scope, expected) in
            [("ghcr.io", true), ("ghcr.io/acme", true), ("ghcr.io/evil", false), ("evil.example", false)]
        {
            assert_eq!(grant.touches(scope), expected, "{scope}");
        }
        assert!(AgentGrant::everything(AgentKind::Cluster).holds("any-uid"));
    }
}
