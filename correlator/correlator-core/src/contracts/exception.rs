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

/// What an exception covers: everything that all the given parts agree on. A part that is not given agrees with everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    pub pipeline: String,
    pub digests: Vec<Digest>,
    pub commits: Vec<CommitId>,
    pub links: Vec<LinkKind>,
    pub namespaces: Vec<Glob>,
}

/// An objection that an exception may cover, as far as it is known what it is about.
#[derive(Debug, Clone, Copy)]
pub struct Objected<'a> {
    pub pipeline: &'a str,
    pub link: LinkKind,
    /// The digest and what lists it; empty where the objection is to no image.
    pub digests: &'a [Digest],
    /// The commit, where the objection is to the review of one.
    pub commit: Option<&'a CommitId>,
    /// The namespace, where only what runs there is asked about.
    pub namespace: Option<&'a str>,
}

impl Exception {
    /// The one evaluator of exceptions: it is in force, and every part that its scope names agrees. A part that the scope
    /// names and the objection is not about does not agree: less is covered rather than more.
    pub fn covers(&self, objected: &Objected<'_>, now: Timestamp) -> bool {
        let Scope { pipeline, digests, commits, links, namespaces } = &self.scope;
        now < self.expires
            && pipeline == objected.pipeline
            && (links.is_empty() || links.contains(&objected.link))
            && (digests.is_empty() || digests.iter().any(|digest| objected.digests.contains(digest)))
            && (commits.is_empty() || objected.commit.is_some_and(|commit| commits.contains(commit)))
            && (namespaces.is_empty()
                || objected
                    .namespace
                    .is_some_and(|namespace| namespaces.iter().any(|glob| glob.matches(namespace))))
    }

    /// It covers every link of every image of its pipeline.
    pub fn is_for_everything(&self) -> bool {
        let Scope { pipeline: _, digests, commits, links, namespaces } = &self.scope;
        digests.is_empty() && commits.is_empty() && links.is_empty() && namespaces.is_empty()
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
        // A commit is reviewed or not, wherever its images run; and nothing but the source link asks for a review.
        if !scope.commits.is_empty() && !scope.namespaces.is_empty() {
            problems.push(
                "scope: a commit's review is judged for all namespaces at once; name the commit or the namespace"
                    .to_owned(),
            );
        }
        if !scope.commits.is_empty() && !scope.links.is_empty() && !scope.links.contains(&LinkKind::Source) {
            problems.push("scope: a commit is excepted from its review, which is the link source".to_owned());
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
