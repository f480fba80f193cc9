//! Where a provenance predicate says something else than the certificate of its signer. The certificate wins; each
//! disagreement is a finding of its own.

use bus_schema::verdict::{Break, BreakReason};
use bus_schema::{CommitId, GitRef, RepositoryRef, WorkflowRef};
use correlator_core::facts::CertificateClaims;

use crate::builders;
use crate::provenance::{Normalised, run_in_url};
use crate::refusal::shown;

/// All disagreements, in the order of the certificate's extensions. What either side leaves open contradicts nothing.
pub(crate) fn between(claims: &CertificateClaims, said: &Normalised) -> Vec<Break> {
    [
        builder(claims, said),
        repository(claims, said),
        commit(claims, said),
        git_ref(claims, said),
        workflow(claims, said),
        trigger(claims, said),
        run(claims, said),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn builder(claims: &CertificateClaims, said: &Normalised) -> Option<Break> {
    let signer = claims.build_signer_uri.as_deref()?;
    builders::contradicts(&said.builder_id, claims)
        .then(|| disagree(BreakReason::WrongBuilder, signer, &said.builder_id))
}

fn repository(claims: &CertificateClaims, said: &Normalised) -> Option<Break> {
    let found = said.repository.as_ref()?;
    let uri = claims.source_repository_uri.as_deref()?;
    let Ok(certified) = RepositoryRef::from_url(uri) else {
        return Some(disagree(BreakReason::WrongRepository, uri, &found.path()));
    };
    let id = claims.source_repository_id.as_deref().and_then(|id| id.parse().ok());
    let owner_id = claims.source_repository_owner_id.as_deref().and_then(|id| id.parse().ok());
    let certified = certified.with_ids(id, owner_id);
    (!certified.is_same(found))
        .then(|| disagree(BreakReason::WrongRepository, &name(&certified), &name(found)))
}

fn commit(claims: &CertificateClaims, said: &Normalised) -> Option<Break> {
    let found = said.commit.as_ref()?;
    let certified = claims.source_repository_digest.as_deref()?;
    let same = certified.parse::<CommitId>().is_ok_and(|certified| certified == *found);
    (!same).then(|| disagree(BreakReason::WrongCommit, certified, &found.to_string()))
}

fn git_ref(claims: &CertificateClaims, said: &Normalised) -> Option<Break> {
    let found = said.git_ref.as_ref().map(GitRef::as_str)?;
    let certified = claims.source_repository_ref.as_deref()?;
    (certified != found).then(|| disagree(BreakReason::WrongRef, certified, found))
}

fn workflow(claims: &CertificateClaims, said: &Normalised) -> Option<Break> {
    let found = said.workflow.as_ref()?;
    let certified = claims.build_config_uri.as_deref()?;
    let same = WorkflowRef::from_url(certified).is_ok_and(|certified| certified.is_same_file(found));
    (!same).then(|| disagree(BreakReason::WrongWorkflow, certified, &found.to_string()))
}

fn trigger(claims: &CertificateClaims, said: &Normalised) -> Option<Break> {
    let found = said.trigger.as_deref()?;
    let certified = claims.build_trigger.as_deref()?;
    (certified != found).then(|| disagree(BreakReason::WrongTrigger, certified, found))
}

fn run(claims: &CertificateClaims, said: &Normalised) -> Option<Break> {
    let found = said.run?;
    let certified = claims.run_invocation_uri.as_deref()?;
    let number = run_in_url(certified)?;
    let shown_found = format!("run {} attempt {}", found.id, found.attempt);
    (number != found).then(|| disagree(BreakReason::RunContradicts, certified, &shown_found))
}

fn disagree(reason: BreakReason, expected: &str, found: &str) -> Break {
    Break { reason, expected: shown(expected), found: shown(found), commit: None }
}

fn name(repository: &RepositoryRef) -> String {
    match &repository.id {
        Some(id) => format!("{} (id {id})", repository.path()),
        None => repository.path(),
    }
}
