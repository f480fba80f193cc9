//! `kind: Exception`: a time-bound permission. Owner, reason, expiry and compensating control are all mandatory.

use bus_schema::verdict::LinkKind;
use bus_schema::{CommitId, Digest};
use jiff::Timestamp;
use serde::Deserialize;

use crate::contracts::pattern::Glob;
use crate::contracts::pipeline::parse_day;

/// A checked exception.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    pub name: String,
    pub owner: String,
    pub reason: String,
    pub expires: Timestamp,
    pub compensating_control: String,
    pub scope: Scope,
}

/// What an exception covers: everything that all the given parts agree on. At least one of digest, commit or link is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    pub pipeline: String,
    pub digests: Vec<Digest>,
    pub commits: Vec<CommitId>,
    pub links: Vec<LinkKind>,
    pub namespaces: Vec<Glob>,
}

impl Exception {
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        now < self.expires
    }

    /// Whether it covers a link of this digest, apart from commits and namespaces.
    pub fn covers_link(&self, pipeline: &str, digest: &Digest, link: LinkKind) -> bool {
        self.scope.pipeline == pipeline
            && (self.scope.digests.is_empty() || self.scope.digests.contains(digest))
            && (self.scope.links.is_empty() || self.scope.links.contains(&link))
    }
}

/// The document as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ExceptionSpec {
    owner: String,
    reason: String,
    expires: String,
    compensating_control: String,
    scope: ScopeSpec,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ScopeSpec {
    pipeline: String,
    #[serde(default)]
    digest: Option<Digest>,
    #[serde(default)]
    digests: Vec<Digest>,
    #[serde(default)]
    commit: Option<CommitId>,
    #[serde(default)]
    commits: Vec<CommitId>,
    #[serde(default)]
    link: Option<LinkKind>,
    #[serde(default)]
    links: Vec<LinkKind>,
    #[serde(default)]
    namespace: Option<Glob>,
    #[serde(default)]
    namespaces: Vec<Glob>,
}

impl ExceptionSpec {
    pub(crate) fn check(self, name: &str, problems: &mut Vec<String>) -> Exception {
        for (field, text) in [
            ("owner", &self.owner),
            ("reason", &self.reason),
            ("compensatingControl", &self.compensating_control),
        ] {
            if text.trim().is_empty() {
                problems.push(format!("{field}: it must say something"));
            }
        }
        let expires = parse_day(&self.expires).unwrap_or_else(|reason| {
            problems.push(format!("expires: {reason}"));
            Timestamp::MIN
        });
        let scope = Scope {
            pipeline: self.scope.pipeline,
            digests: self.scope.digest.into_iter().chain(self.scope.digests).collect(),
            commits: self.scope.commit.into_iter().chain(self.scope.commits).collect(),
            links: self.scope.link.into_iter().chain(self.scope.links).collect(),
            namespaces: self.scope.namespace.into_iter().chain(self.scope.namespaces).collect(),
        };
        if scope.digests.is_empty() && scope.commits.is_empty() && scope.links.is_empty() {
            problems.push(
                "scope: name a digest, a commit or a link; a whole pipeline cannot be excepted".to_owned(),
            );
        }
        Exception {
            name: name.to_owned(),
            owner: self.owner,
            reason: self.reason,
            expires,
            compensating_control: self.compensating_control,
            scope,
        }
    }
}
