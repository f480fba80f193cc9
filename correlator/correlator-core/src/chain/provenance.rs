//! The provenance link of one statement: it binds this digest, is signed by a trusted builder, and names the contract's
//! repository, ref and commit.

mod claims_of_key;

use bus_schema::WorkflowRef;
use bus_schema::ci::RunnerEnvironment;
use bus_schema::verdict::{Break, BreakReason};

use crate::chain::image_facts::BoundStatement;
use crate::chain::inquiry::Inquiry;
use crate::chain::signer::{CertificateIdentity, Purpose, SignerMatch, match_signer, unvouched};
use crate::chain::{Finding, a_break};
use crate::contracts::pattern::Glob;
use crate::contracts::pipeline::{Builder, Pipeline, SourceContract};
use crate::facts::{Provenance, Signer};

pub(crate) fn judge(
    inquiry: &Inquiry<'_>,
    pipeline: &Pipeline,
    source: &SourceContract,
    bound: &BoundStatement,
    provenance: &Provenance,
) -> Finding {
    let mut breaks = provenance.disagreements.clone();
    match &bound.statement.signer {
        Signer::Keyless(claims) => {
            let identity = CertificateIdentity::read(claims);
            let host = source.repository.host.as_str();
            breaks.extend(unvouched(inquiry.contracts, host, &bound.statement));
            check_origin(source, &identity, &mut breaks);
            check_builder(pipeline, source, &identity, provenance.delegate.as_ref(), &mut breaks);
        }
        Signer::Key { .. } | Signer::CloudBuild { .. } => {
            match match_signer(inquiry, pipeline, bound, Purpose::Attestation) {
                SignerMatch::Fits { .. } => {}
                SignerMatch::OutOfTime { since, what } => return Finding::Expired { since, what },
                SignerMatch::Revoked { since, what } => return Finding::Revoked { since, what },
                SignerMatch::Differs { expected, found } => {
                    breaks.push(a_break(BreakReason::WrongSigner, expected, found));
                }
            }
            claims_of_key::check(pipeline, source, &bound.statement.signer, provenance, &mut breaks);
        }
    }
    if provenance.slsa_level < pipeline.provenance.slsa_level {
        let expected = format!("SLSA build level {}", pipeline.provenance.slsa_level);
        let found = format!("level {} for builder {}", provenance.slsa_level, provenance.builder_id);
        breaks.push(a_break(BreakReason::LevelTooLow, expected, found));
    }
    if !breaks.is_empty() {
        breaks.sort();
        breaks.dedup();
        return Finding::Broken(breaks);
    }
    let commit = provenance.commit.as_ref().map_or("-", |commit| commit.as_str());
    Finding::proven(
        match bound.statement.signer {
            Signer::Keyless(_) => "certificate",
            Signer::Key { .. } => "key",
            Signer::CloudBuild { .. } => "cloud-build",
        },
        format!("built by {} from {} at {commit}", provenance.builder_id, source.repository),
    )
}

/// The certificate's repository and ref against the contract's.
fn check_origin(source: &SourceContract, identity: &CertificateIdentity, breaks: &mut Vec<Break>) {
    match &identity.repository {
        Some(_) if identity.comes_from(&source.repository) => {}
        found => {
            let found = found
                .as_ref()
                .map_or_else(|| "no repository in the certificate".to_owned(), shown_repository);
            breaks.push(a_break(BreakReason::WrongRepository, shown_repository(&source.repository), found));
        }
    }
    check_ref(
        source,
        identity.git_ref.as_ref().map(|git_ref| git_ref.as_str()),
        "no ref in the certificate",
        breaks,
    );
}

/// A ref against the contract's; `missing` says what was found where there is none.
fn check_ref(source: &SourceContract, found: Option<&str>, missing: &str, breaks: &mut Vec<Break>) {
    if found.is_some_and(|found| source.refs.iter().any(|glob| glob.matches(found))) {
        return;
    }
    let expected = source.refs.iter().map(|glob| glob.as_str()).collect::<Vec<_>>().join(" or ");
    breaks.push(a_break(BreakReason::WrongRef, expected, found.unwrap_or(missing)));
}

pub(crate) fn shown_repository(repository: &bus_schema::RepositoryRef) -> String {
    match &repository.id {
        Some(id) => format!("{repository} (id {id})"),
        None => repository.to_string(),
    }
}

/// The signer workflow (.9) against the contract's builders; where a delegator signed, the workflow that it signed for too.
fn check_builder(
    pipeline: &Pipeline,
    source: &SourceContract,
    identity: &CertificateIdentity,
    delegate: Option<&WorkflowRef>,
    breaks: &mut Vec<Break>,
) {
    let fits = pipeline.provenance.builders.iter().any(|builder| match builder {
        Builder::GithubHosted => {
            let signer = identity.signer_workflow.as_ref();
            let is_own = signer
                .zip(identity.caller_workflow.as_ref())
                .is_some_and(|(signer, caller)| caller.is_same_file(signer));
            is_own && identity.runner == Some(RunnerEnvironment::GithubHosted)
        }
        Builder::Workflow { workflow, revision } => {
            let names = |found: &WorkflowRef| {
                workflow.path == found.path && revision.as_ref().is_none_or(|glob| is_revision(glob, found))
            };
            let signed = |signer: &WorkflowRef| is_of_repository(source, identity, workflow, signer);
            identity.signer_workflow.as_ref().is_some_and(|signer| names(signer) && signed(signer))
                || delegate
                    .is_some_and(|found| names(found) && workflow.repository.is_same(&found.repository))
        }
    });
    if fits {
        return;
    }
    let expected = shown_builders(pipeline);
    let signer = identity
        .signer_workflow
        .as_ref()
        .map_or_else(|| "no signer workflow in the certificate".to_owned(), ToString::to_string);
    let runner = identity.runner.as_ref().map_or("unknown", |runner| runner.as_str());
    let on_behalf = delegate.map(|delegate| format!(" for {delegate}")).unwrap_or_default();
    let found = format!("{signer}{on_behalf} on a {runner} runner");
    breaks.push(a_break(BreakReason::WrongBuilder, expected, found));
}

fn shown_builders(pipeline: &Pipeline) -> String {
    pipeline.provenance.builders.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

/// Whether the signer workflow lies in the builder's repository. A builder in the contract's own repository is compared by
/// its id, like every use of that repository.
fn is_of_repository(
    source: &SourceContract,
    identity: &CertificateIdentity,
    builder: &WorkflowRef,
    signer: &WorkflowRef,
) -> bool {
    match source.repository.is_same(&builder.repository) {
        true => {
            identity.comes_from(&source.repository)
                && identity
                    .repository
                    .as_ref()
                    .is_some_and(|found| found.path().eq_ignore_ascii_case(&signer.repository.path()))
        }
        false => builder.repository.is_same(&signer.repository),
    }
}

fn is_revision(glob: &Glob, workflow: &WorkflowRef) -> bool {
    workflow.git_ref().is_some_and(|git_ref| {
        glob.matches(git_ref.as_str())
            || git_ref.as_tag().is_some_and(|tag| glob.matches(tag))
            || git_ref.as_branch().is_some_and(|branch| glob.matches(branch))
    })
}
