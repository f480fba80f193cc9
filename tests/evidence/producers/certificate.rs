//! A predicate beside the certificate of its signer: it was read to say what the certificate proves, or it tells of another
//! build itself and every difference is listed.

use std::collections::BTreeSet;

use bus_schema::WorkflowRef;
use bus_schema::verdict::{Break, BreakReason};
use correlator_core::facts::{CertificateClaims, Provenance};
use serde_json::{Value, json};

use crate::producers::GENERATOR;

/// What both say of one thing.
struct Said {
    reason: BreakReason,
    /// As the predicate was read.
    found: Option<String>,
    certified: Option<String>,
    /// Texts by which a predicate that agrees may say it.
    forms: Vec<String>,
}

impl Said {
    fn new(reason: BreakReason, found: Option<String>, certified: &Option<String>) -> Said {
        Said { reason, found, certified: certified.clone(), forms: certified.iter().cloned().collect() }
    }

    /// Certificates of 2022 leave some of it open.
    fn differs(&self) -> bool {
        self.found.is_some() && self.certified.is_some() && self.found != self.certified
    }
}

/// Whether the predicate tells of another build than the certificate: each difference must be listed then, and nothing else.
/// A known producer leaves nothing out; what an unknown one leaves out nobody knows.
pub(crate) fn is_of_another_build(
    name: &str,
    predicate: &Value,
    found: &Provenance,
    claims: &CertificateClaims,
    is_known: bool,
) -> bool {
    let said = said(found, claims);
    for one in &said {
        // Not every producer names the workflow.
        let is_demanded = is_known && one.reason != BreakReason::WrongWorkflow;
        assert!(one.found.is_some() || !is_demanded, "{name}: nothing that could be {:?}", one.reason);
    }
    let expected = differing(predicate, &said, found, claims).unwrap_or_else(|why| panic!("{name}: {why}"));
    let listed: BTreeSet<BreakReason> = found.disagreements.iter().map(|one| one.reason.clone()).collect();
    assert_eq!(listed, expected, "{name}: {:?}", found.disagreements);
    let tag = claims.source_repository_ref.as_deref().and_then(|git_ref| git_ref.strip_prefix("refs/tags/"));
    if !expected.contains(&BreakReason::WrongRef) {
        assert_eq!(found.tag.as_deref(), tag.or(found.tag.as_deref()), "{name}");
    }
    !expected.is_empty()
}

fn said(found: &Provenance, claims: &CertificateClaims) -> [Said; 6] {
    let repository = found.repository.as_ref().map(|repository| format!("https://{}", repository.path()));
    let run = found.run.map(|run| {
        let repository = claims.source_repository_uri.as_deref().unwrap_or_default();
        format!("{repository}/actions/runs/{}/attempts/{}", run.id, run.attempt)
    });
    let file =
        |workflow: &WorkflowRef| format!("https://{}/{}", workflow.repository.path(), workflow.path.as_str());
    let started = claims.build_config_uri.as_deref().map(|uri| WorkflowRef::from_url(uri).unwrap());
    let mut said = [
        Said::new(BreakReason::WrongRepository, repository, &claims.source_repository_uri),
        Said::new(
            BreakReason::WrongCommit,
            found.commit.as_ref().map(ToString::to_string),
            &claims.source_repository_digest,
        ),
        Said::new(
            BreakReason::WrongRef,
            found.git_ref.as_ref().map(ToString::to_string),
            &claims.source_repository_ref,
        ),
        Said::new(BreakReason::WrongTrigger, found.trigger.clone(), &claims.build_trigger),
        Said::new(BreakReason::RunContradicts, run, &claims.run_invocation_uri),
        Said::new(BreakReason::WrongWorkflow, found.workflow.as_ref().map(file), &started.as_ref().map(file)),
    ];
    // Older predicates name a run by its numbers.
    if let Some((_, numbers)) = claims.run_invocation_uri.as_deref().and_then(|uri| uri.split_once("/runs/"))
    {
        said[4].forms.push(numbers.replace("/attempts/", "-"));
        let id = numbers.split('/').next().unwrap();
        said[4].forms.extend(found.run.filter(|own| own.id.to_string() != id).map(|_| id.to_owned()));
    }
    // All of them name a workflow by its path, which means another file in another repository.
    if !said[0].differs() {
        said[5].forms.extend(started.iter().map(|started| started.path.as_str().to_owned()));
    }
    said
}

/// In what the predicate differs from the certificate, or what of it was read wrong: it differs only where its text says
/// nowhere what is certified.
fn differing(
    predicate: &Value,
    said: &[Said],
    found: &Provenance,
    claims: &CertificateClaims,
) -> Result<BTreeSet<BreakReason>, String> {
    let texts = texts(predicate);
    let mut differing = BTreeSet::new();
    for one in said.iter().filter(|one| one.differs()) {
        if one.forms.iter().any(|form| texts.contains(form.as_str())) {
            return Err(format!("{:?}: read as {:?}, is {:?}", one.reason, one.found, one.certified));
        }
        differing.insert(one.reason.clone());
    }
    let signer = claims.build_signer_uri.as_deref().unwrap_or_default();
    // A delegator signs for the workflow that called it.
    let is_delegator = signer.starts_with(&format!("{GENERATOR}.github/workflows/delegator_"));
    let is_workflow = found.builder_id.contains("/.github/workflows/");
    let is_signer = found.builder_id == signer || Some(found.builder_id.as_str()) == signer.split('@').next();
    if is_workflow && !is_signer && !is_delegator && !signer.is_empty() {
        differing.insert(BreakReason::WrongBuilder);
    }
    Ok(differing)
}

/// Every text in a predicate, and the halves of one that joins a place and its revision.
fn texts(value: &Value) -> BTreeSet<&str> {
    match value {
        Value::String(text) => {
            let place = text.strip_prefix("git+").unwrap_or(text);
            std::iter::once(place).chain(place.split('@')).collect()
        }
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(members) => members.values().flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => BTreeSet::new(),
    }
}

#[test]
fn a_predicate_of_another_build_is_told_by_its_disagreements_alone() {
    let commits = ["a", "b"].map(|digit| digit.repeat(40));
    let of = |commit: &str| json!({ "resolvedDependencies": [{ "digest": { "gitCommit": commit } }] });
    let found = Provenance { commit: Some(commits[0].parse().unwrap()), ..Provenance::default() };
    let claims = CertificateClaims {
        source_repository_digest: Some(commits[1].clone()),
        ..CertificateClaims::default()
    };
    let expected = |predicate: Value| differing(&predicate, &said(&found, &claims), &found, &claims);
    assert_eq!(expected(of(&commits[0])), Ok([BreakReason::WrongCommit].into()));
    // What the predicate says itself was read wrong, whatever is said of it.
    assert!(expected(of(&commits[1])).is_err());
    let disagreement = Break {
        reason: BreakReason::WrongCommit,
        expected: commits[1].clone(),
        found: commits[0].clone(),
        commit: None,
    };
    let listed = Provenance { disagreements: vec![disagreement], ..found.clone() };
    assert!(is_of_another_build("listed", &of(&commits[0]), &listed, &claims, false));
    let silent =
        std::panic::catch_unwind(|| is_of_another_build("silent", &of(&commits[0]), &found, &claims, false));
    assert!(silent.is_err(), "it is not listed");
    let same = CertificateClaims { source_repository_digest: Some(commits[0].clone()), ..claims.clone() };
    assert!(!is_of_another_build("same", &of(&commits[0]), &found, &same, false));
}

#[test]
fn a_workflow_of_the_same_path_in_another_repository_is_another() {
    let workflow: WorkflowRef = "github.com/acme/api/.github/workflows/release.yml".parse().unwrap();
    let predicate =
        json!({ "repository": "https://github.com/acme/api", "path": ".github/workflows/release.yml" });
    let found = Provenance {
        repository: Some(workflow.repository.clone()),
        workflow: Some(workflow),
        ..Provenance::default()
    };
    let of = |repository: &str, file: &str| {
        let claims = CertificateClaims {
            source_repository_uri: Some(format!("https://github.com/acme/{repository}")),
            build_config_uri: Some(format!("https://github.com/acme/{file}@refs/heads/main")),
            ..CertificateClaims::default()
        };
        differing(&predicate, &said(&found, &claims), &found, &claims)
    };
    assert_eq!(of("api", "api/.github/workflows/release.yml"), Ok([].into()));
    assert_eq!(of("api", "api/.github/workflows/x.yml"), Ok([BreakReason::WrongWorkflow].into()));
    let both = [BreakReason::WrongRepository, BreakReason::WrongWorkflow];
    assert_eq!(of("other", "other/.github/workflows/release.yml"), Ok(both.into()));
}
