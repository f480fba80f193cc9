//! Who a keyless signature must be by: demands on the claims of its certificate, beside the pipeline's source or instead of
//! it.
//!
//! A demand is over the whole text of one claim: equal to it, or matched by a pattern from its first to its last character.
//! A certificate that does not make the claim does not meet the demand.

use std::collections::BTreeMap;
use std::fmt;

use bus_schema::WorkflowPath;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::contracts::GITHUB_ISSUER;
use crate::contracts::pattern::Glob;
use crate::contracts::regexp::WholeRegexp;
use crate::facts::CertificateClaims;

/// The longest text of an exact demand, in bytes.
const TEXT_BYTES_MAX: usize = 2048;
/// The most annotations that one identity may demand.
const ANNOTATIONS_MAX: usize = 32;
/// The name for the issuer of the forge's own workflows.
const FORGE_ISSUER: &str = "github-actions";

/// A claim of a certificate, by its name in the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    Issuer,
    Subject,
    BuildSignerUri,
    BuildSignerDigest,
    RunnerEnvironment,
    SourceRepositoryUri,
    SourceRepositoryDigest,
    SourceRepositoryRef,
    SourceRepositoryId,
    SourceRepositoryOwnerUri,
    SourceRepositoryOwnerId,
    BuildConfigUri,
    BuildConfigDigest,
    BuildTrigger,
    RunInvocationUri,
    SourceRepositoryVisibility,
}

impl Claim {
    pub const ALL: [Claim; 16] = [
        Claim::Issuer,
        Claim::Subject,
        Claim::BuildSignerUri,
        Claim::BuildSignerDigest,
        Claim::RunnerEnvironment,
        Claim::SourceRepositoryUri,
        Claim::SourceRepositoryDigest,
        Claim::SourceRepositoryRef,
        Claim::SourceRepositoryId,
        Claim::SourceRepositoryOwnerUri,
        Claim::SourceRepositoryOwnerId,
        Claim::BuildConfigUri,
        Claim::BuildConfigDigest,
        Claim::BuildTrigger,
        Claim::RunInvocationUri,
        Claim::SourceRepositoryVisibility,
    ];

    /// Fulcio's name of it (fulcio/docs/oid-info.md), as fields are written.
    pub fn as_str(self) -> &'static str {
        match self {
            Claim::Issuer => "issuer",
            Claim::Subject => "subject",
            Claim::BuildSignerUri => "buildSignerUri",
            Claim::BuildSignerDigest => "buildSignerDigest",
            Claim::RunnerEnvironment => "runnerEnvironment",
            Claim::SourceRepositoryUri => "sourceRepositoryUri",
            Claim::SourceRepositoryDigest => "sourceRepositoryDigest",
            Claim::SourceRepositoryRef => "sourceRepositoryRef",
            Claim::SourceRepositoryId => "sourceRepositoryId",
            Claim::SourceRepositoryOwnerUri => "sourceRepositoryOwnerUri",
            Claim::SourceRepositoryOwnerId => "sourceRepositoryOwnerId",
            Claim::BuildConfigUri => "buildConfigUri",
            Claim::BuildConfigDigest => "buildConfigDigest",
            Claim::BuildTrigger => "buildTrigger",
            Claim::RunInvocationUri => "runInvocationUri",
            Claim::SourceRepositoryVisibility => "sourceRepositoryVisibility",
        }
    }

    /// What a certificate says of it.
    pub fn of(self, claims: &CertificateClaims) -> Option<&str> {
        match self {
            Claim::Issuer => claims.issuer.as_deref(),
            Claim::Subject => Some(claims.subject.as_str()),
            Claim::BuildSignerUri => claims.build_signer_uri.as_deref(),
            Claim::BuildSignerDigest => claims.build_signer_digest.as_deref(),
            Claim::RunnerEnvironment => claims.runner_environment.as_deref(),
            Claim::SourceRepositoryUri => claims.source_repository_uri.as_deref(),
            Claim::SourceRepositoryDigest => claims.source_repository_digest.as_deref(),
            Claim::SourceRepositoryRef => claims.source_repository_ref.as_deref(),
            Claim::SourceRepositoryId => claims.source_repository_id.as_deref(),
            Claim::SourceRepositoryOwnerUri => claims.source_repository_owner_uri.as_deref(),
            Claim::SourceRepositoryOwnerId => claims.source_repository_owner_id.as_deref(),
            Claim::BuildConfigUri => claims.build_config_uri.as_deref(),
            Claim::BuildConfigDigest => claims.build_config_digest.as_deref(),
            Claim::BuildTrigger => claims.build_trigger.as_deref(),
            Claim::RunInvocationUri => claims.run_invocation_uri.as_deref(),
            Claim::SourceRepositoryVisibility => claims.source_repository_visibility.as_deref(),
        }
    }
}

/// What the whole text of a claim must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextDemand {
    Is(String),
    Matches(Glob),
    MatchesRegexp(WholeRegexp),
}

impl TextDemand {
    pub(crate) fn is_met_by(&self, text: &str) -> bool {
        match self {
            TextDemand::Is(expected) => text == expected,
            TextDemand::Matches(pattern) => pattern.matches(text),
            TextDemand::MatchesRegexp(pattern) => pattern.matches(text),
        }
    }
}

impl fmt::Display for TextDemand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TextDemand::Is(text) => formatter.write_str(text),
            TextDemand::Matches(pattern) => write!(formatter, "{pattern} (a pattern)"),
            TextDemand::MatchesRegexp(pattern) => write!(formatter, "{pattern} (a regular expression)"),
        }
    }
}

/// Demands on claims, all of which must be met.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdentityPolicy {
    demands: BTreeMap<Claim, TextDemand>,
}

impl IdentityPolicy {
    /// The first claim that does not meet its demand.
    pub fn unmet_by(&self, claims: &CertificateClaims) -> Option<Claim> {
        let unmet = |(claim, demand): &(&Claim, &TextDemand)| {
            !claim.of(claims).is_some_and(|text| demand.is_met_by(text))
        };
        self.demands.iter().find(unmet).map(|(claim, _)| *claim)
    }

    pub fn demand_on(&self, claim: Claim) -> Option<&TextDemand> {
        self.demands.get(&claim)
    }

    /// All demands in one line; empty without any.
    pub fn shown(&self) -> String {
        let each = self.demands.iter().map(|(claim, demand)| format!("{} {demand}", claim.as_str()));
        each.collect::<Vec<_>>().join(", ")
    }
}

/// A checked `keyless` entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeylessContract {
    /// The signer is a workflow of the pipeline's source: repository, ref and workflow follow the pipeline. Not so where a
    /// subject is named.
    pub of_source: bool,
    pub workflow: Option<WorkflowPath>,
    pub identity: IdentityPolicy,
    pub annotations: BTreeMap<String, String>,
}

impl KeylessContract {
    /// A workflow of the pipeline's source, and nothing more.
    pub(crate) fn workflow_of_source() -> KeylessContract {
        KeylessContract { of_source: true, ..KeylessContract::default() }
    }
}

/// The entry as it is written: `issuer`, `workflow`, `annotations`, and each claim as `<claim>`, `<claim>Pattern` or
/// `<claim>Regexp`.
#[derive(Debug, Default)]
pub(crate) struct KeylessSpec {
    forge_issuer: bool,
    workflow: Option<WorkflowPath>,
    identity: IdentityPolicy,
    annotations: BTreeMap<String, String>,
}

impl KeylessSpec {
    pub(crate) fn check(mut self, has_source: bool, problem: &mut impl FnMut(String)) -> KeylessContract {
        let names_subject = self.identity.demand_on(Claim::Subject).is_some();
        if names_subject && self.forge_issuer {
            self.identity.demands.insert(Claim::Issuer, TextDemand::Is(GITHUB_ISSUER.to_owned()));
        }
        if names_subject && self.identity.demand_on(Claim::Issuer).is_none() {
            problem("keyless: subject needs issuer: under another issuer it is somebody else".to_owned());
        }
        let of_source = !names_subject || self.workflow.is_some();
        if of_source && !has_source {
            problem(
                "keyless: without the section source an identity needs subject and issuer, and no workflow"
                    .to_owned(),
            );
        }
        check_annotations(&self.annotations, problem);
        KeylessContract {
            of_source,
            workflow: self.workflow,
            identity: self.identity,
            annotations: self.annotations,
        }
    }

    /// Takes one field that is a claim.
    fn take(&mut self, field: &str, text: String) -> Result<(), String> {
        let (name, form) = match (field.strip_suffix("Pattern"), field.strip_suffix("Regexp")) {
            (Some(name), _) => (name, Form::Pattern),
            (None, Some(name)) => (name, Form::Regexp),
            (None, None) => (field, Form::Exact),
        };
        let Some(claim) = Claim::ALL.into_iter().find(|claim| claim.as_str() == name) else {
            let known: Vec<&str> = Claim::ALL.iter().map(|claim| claim.as_str()).collect();
            return Err(format!(
                "unknown field {field:?}: workflow, annotations, or one of {}, each also with Pattern or Regexp behind",
                known.join(", ")
            ));
        };
        if claim == Claim::Issuer && form == Form::Exact && text == FORGE_ISSUER {
            self.forge_issuer = true;
            return Ok(());
        }
        let misread = |reason: String| format!("{field}: {reason}");
        let demand = match form {
            Form::Pattern if text.bytes().all(|byte| byte == b'*') => {
                return Err(format!("{field}: a pattern that fits everything demands nothing"));
            }
            Form::Pattern => TextDemand::Matches(Glob::parse(&text).map_err(misread)?),
            Form::Regexp => TextDemand::MatchesRegexp(WholeRegexp::parse(&text).map_err(misread)?),
            Form::Exact if text.is_empty() || text.len() > TEXT_BYTES_MAX => {
                return Err(format!("{field}: 1 to {TEXT_BYTES_MAX} bytes"));
            }
            Form::Exact => TextDemand::Is(text),
        };
        match self.identity.demands.insert(claim, demand) {
            None => Ok(()),
            Some(_) => Err(format!("the forms of {name} exclude each other")),
        }
    }
}

/// How a demand is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Exact,
    Pattern,
    Regexp,
}

/// Bounds of demanded annotations, for identities of either kind.
pub(crate) fn check_annotations(annotations: &BTreeMap<String, String>, problem: &mut impl FnMut(String)) {
    if annotations.len() > ANNOTATIONS_MAX {
        problem(format!("annotations: {} of them, the limit is {ANNOTATIONS_MAX}", annotations.len()));
    }
    if annotations.iter().any(|(key, value)| key.is_empty() || key.len() + value.len() > TEXT_BYTES_MAX) {
        problem(format!("annotations: each has a name, and at most {TEXT_BYTES_MAX} bytes"));
    }
}

impl<'de> Deserialize<'de> for KeylessSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<KeylessSpec, D::Error> {
        deserializer.deserialize_map(KeylessVisitor)
    }
}

struct KeylessVisitor;

impl<'de> Visitor<'de> for KeylessVisitor {
    type Value = KeylessSpec;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the fields of a keyless identity")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<KeylessSpec, A::Error> {
        let mut spec = KeylessSpec::default();
        while let Some(field) = map.next_key::<String>()? {
            match field.as_str() {
                "workflow" => spec.workflow = Some(map.next_value()?),
                "annotations" => spec.annotations = map.next_value()?,
                claim => spec.take(claim, map.next_value()?).map_err(de::Error::custom)?,
            }
        }
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde_json::{Value, json};

    use super::*;

    /// A certificate that says `<claim> of a certificate/and more` of each claim.
    fn claims() -> CertificateClaims {
        let mut claims = CertificateClaims::default();
        for claim in Claim::ALL {
            set(&mut claims, claim, Some(said(claim)));
        }
        claims
    }

    fn said(claim: Claim) -> String {
        format!("{} of a certificate/and more", claim.as_str())
    }

    fn set(claims: &mut CertificateClaims, claim: Claim, text: Option<String>) {
        let field = match claim {
            Claim::Issuer => &mut claims.issuer,
            Claim::Subject => return claims.subject = text.unwrap_or_default(),
            Claim::BuildSignerUri => &mut claims.build_signer_uri,
            Claim::BuildSignerDigest => &mut claims.build_signer_digest,
            Claim::RunnerEnvironment => &mut claims.runner_environment,
            Claim::SourceRepositoryUri => &mut claims.source_repository_uri,
            Claim::SourceRepositoryDigest => &mut claims.source_repository_digest,
            Claim::SourceRepositoryRef => &mut claims.source_repository_ref,
            Claim::SourceRepositoryId => &mut claims.source_repository_id,
            Claim::SourceRepositoryOwnerUri => &mut claims.source_repository_owner_uri,
            Claim::SourceRepositoryOwnerId => &mut claims.source_repository_owner_id,
            Claim::BuildConfigUri => &mut claims.build_config_uri,
            Claim::BuildConfigDigest => &mut claims.build_config_digest,
            Claim::BuildTrigger => &mut claims.build_trigger,
            Claim::RunInvocationUri => &mut claims.run_invocation_uri,
            Claim::SourceRepositoryVisibility => &mut claims.source_repository_visibility,
        };
        *field = text;
    }

    fn policy(field: &str, text: &str) -> IdentityPolicy {
        read(json!({ field: text })).unwrap().identity
    }

    fn read(spec: Value) -> Result<KeylessSpec, String> {
        serde_json::from_value(spec).map_err(|error| error.to_string())
    }

    fn checked(spec: Value, has_source: bool) -> Result<KeylessContract, Vec<String>> {
        let mut problems = Vec::new();
        let contract = read(spec).unwrap().check(has_source, &mut |text| problems.push(text));
        if problems.is_empty() { Ok(contract) } else { Err(problems) }
    }

    #[test]
    fn each_claim_must_be_the_whole_of_what_is_demanded() {
        for claim in Claim::ALL {
            let (name, said) = (claim.as_str(), said(claim));
            assert_eq!(policy(name, &said).unmet_by(&claims()), None, "{name}");
            let others = [
                said[..said.len() - 1].to_owned(),
                said[1..].to_owned(),
                format!("{said}x"),
                said.to_uppercase(),
                format!("{} of a certificate/*", name),
            ];
            for other in others {
                assert_eq!(policy(name, &other).unmet_by(&claims()), Some(claim), "{other:?}");
            }
        }
    }

    #[test]
    fn each_regular_expression_is_anchored_at_both_ends() {
        for claim in Claim::ALL {
            let (field, name) = (format!("{}Regexp", claim.as_str()), claim.as_str());
            for fits in
                [format!("{name} of a .*"), format!("(?:other|{name}).*more"), ".+/and more".to_owned()]
            {
                assert_eq!(policy(&field, &fits).unmet_by(&claims()), None, "{field} {fits:?}");
            }
            for other in [name.to_owned(), format!("^{name} of"), "and more$".to_owned(), format!("x|{name}")]
            {
                assert_eq!(policy(&field, &other).unmet_by(&claims()), Some(claim), "{field} {other:?}");
            }
        }
        for (text, why) in
            [("(", "no regular expression"), ("a)|(?:b", "no regular expression"), ("", "1 to 1024")]
        {
            let refused = read(json!({ "subjectRegexp": text })).unwrap_err();
            assert!(refused.contains("subjectRegexp") && refused.contains(why), "{refused}");
        }
        let both = read(json!({ "subjectPattern": "a*", "subjectRegexp": "a.*" })).unwrap_err();
        assert!(both.contains("exclude each other"), "{both}");
    }

    #[test]
    fn each_pattern_is_anchored_at_both_ends() {
        for claim in Claim::ALL {
            let field = format!("{}Pattern", claim.as_str());
            let name = claim.as_str();
            for fits in [format!("{name} of a certificate/*"), format!("{name}**"), "**/and more".to_owned()]
            {
                assert_eq!(policy(&field, &fits).unmet_by(&claims()), None, "{field} {fits:?}");
            }
            let others = [
                name.to_owned(),
                format!("{name} of a certificate/"),
                "and more".to_owned(),
                format!("{name}*"),
            ];
            for other in others {
                assert_eq!(policy(&field, &other).unmet_by(&claims()), Some(claim), "{field} {other:?}");
            }
        }
    }

    #[test]
    fn a_claim_that_the_certificate_does_not_make_meets_nothing() {
        for claim in Claim::ALL {
            let mut without = claims();
            set(&mut without, claim, None);
            assert_eq!(policy(claim.as_str(), &said(claim)).unmet_by(&without), Some(claim));
            let pattern = policy(&format!("{}Pattern", claim.as_str()), "*a*");
            assert_eq!(pattern.unmet_by(&without), Some(claim));
        }
    }

    #[test]
    fn every_demand_must_be_met() {
        let both = read(json!({ "subject": said(Claim::Subject), "buildTrigger": "push" })).unwrap().identity;
        assert_eq!(both.unmet_by(&claims()), Some(Claim::BuildTrigger));
    }

    #[test]
    fn fields_that_say_nothing_or_twice_are_refused() {
        let wrong = [
            (json!({ "subjectPattern": "**" }), "demands nothing"),
            (json!({ "subject": "" }), "1 to 2048 bytes"),
            (json!({ "subject": "a", "subjectPattern": "a*" }), "exclude each other"),
            (json!({ "subjects": "a" }), "unknown field"),
            (json!({ "workflowPattern": "a*" }), "unknown field"),
            (json!({ "subject": ["a"] }), "string"),
        ];
        for (spec, reason) in wrong {
            let refused = read(spec.clone()).unwrap_err();
            assert!(refused.contains(reason), "{spec}: {refused}");
        }
    }

    #[test]
    fn an_identity_needs_a_source_or_a_subject_with_its_issuer() {
        let google = "https://accounts.google.com";
        let person = checked(json!({ "subject": "a@acme.example", "issuer": google }), false).unwrap();
        assert!(!person.of_source);
        assert!(checked(json!({ "subject": "a@acme.example" }), true).is_err());
        assert!(checked(json!({ "issuer": google }), false).is_err());
        assert!(
            checked(
                json!({ "subject": "a", "issuer": google, "workflow": ".github/workflows/a.yml" }),
                false
            )
            .is_err()
        );
        assert!(checked(json!({ "issuer": "github-actions" }), true).unwrap().of_source);
        let workflow = checked(
            json!({ "subjectPattern": "https://github.com/acme/**", "issuer": "github-actions" }),
            false,
        );
        let issuer = workflow.unwrap().identity.demand_on(Claim::Issuer).cloned();
        assert_eq!(issuer, Some(TextDemand::Is(GITHUB_ISSUER.to_owned())));
        let many: BTreeMap<String, String> =
            (0..=ANNOTATIONS_MAX).map(|n| (n.to_string(), String::new())).collect();
        assert!(checked(json!({ "annotations": many }), true).is_err());
    }
}
