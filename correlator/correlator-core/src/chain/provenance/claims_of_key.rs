//! What a key's holder writes about the build, against the contract. A key says nothing about the repository: what the predicate
//! states must fit, and the CI agent must confirm the run. A contract that leaves refs or builders out is met only by what is
//! stated; one that writes none takes producers that state none (BuildKit, Tekton Chains).

use bus_schema::verdict::{Break, BreakReason, LinkKind};
use bus_schema::{RepositoryRef, WorkflowRef};

use super::{check_ref, is_revision, shown_builders, shown_repository};
use crate::chain::a_break;
use crate::contracts::pipeline::{Builder, Pipeline, SourceContract};
use crate::facts::{Provenance, Signer};

/// What provenance calls a run on GitHub's own runners.
const GITHUB_HOSTED_IDS: [&str; 2] =
    ["https://github.com/actions/runner", "https://github.com/actions/runner/github-hosted"];

pub(super) fn check(
    pipeline: &Pipeline,
    source: &SourceContract,
    signer: &Signer,
    provenance: &Provenance,
    breaks: &mut Vec<Break>,
) {
    check_repository(source, provenance, breaks);
    check_stated_ref(pipeline, source, provenance, breaks);
    // A key of Google's is that of its builder, and no contract has another name for it.
    if pipeline.provenance.names_builders && matches!(signer, Signer::Key { .. }) {
        check_stated_builder(pipeline, source, &provenance.builder_id, breaks);
    }
}

fn check_repository(source: &SourceContract, provenance: &Provenance, breaks: &mut Vec<Break>) {
    match &provenance.repository {
        Some(found) if source.repository.is_same(found) => {}
        found => {
            let found =
                found.as_ref().map_or_else(|| "no repository in the predicate".to_owned(), shown_repository);
            breaks.push(a_break(BreakReason::WrongRepository, shown_repository(&source.repository), found));
        }
    }
}

/// Where the source link is required, the forge says which refs the commit is on, and a statement without a ref needs none.
fn check_stated_ref(
    pipeline: &Pipeline,
    source: &SourceContract,
    provenance: &Provenance,
    breaks: &mut Vec<Break>,
) {
    let stated = match (&provenance.git_ref, &provenance.tag) {
        (Some(git_ref), _) => Some(git_ref.to_string()),
        (None, Some(tag)) => Some(format!("refs/tags/{tag}")),
        (None, None) => None,
    };
    let is_needed = source.restricts_refs && !pipeline.requires(LinkKind::Source);
    if stated.is_some() || is_needed {
        check_ref(source, stated.as_deref(), "no ref in the predicate", breaks);
    }
}

fn check_stated_builder(pipeline: &Pipeline, source: &SourceContract, found: &str, breaks: &mut Vec<Break>) {
    let workflow = WorkflowRef::from_url(found).ok();
    let fits = pipeline.provenance.builders.iter().any(|builder| match builder {
        Builder::GithubHosted => {
            GITHUB_HOSTED_IDS.contains(&found)
                || is_run_of(&source.repository, found)
                || workflow.as_ref().is_some_and(|found| source.repository.is_same(&found.repository))
        }
        Builder::Workflow { workflow: named, revision } => workflow.as_ref().is_some_and(|found| {
            named.is_same_file(found) && revision.as_ref().is_none_or(|glob| is_revision(glob, found))
        }),
    });
    if !fits {
        let found = if found.is_empty() { "no builder in the predicate" } else { found };
        breaks.push(a_break(BreakReason::WrongBuilder, shown_builders(pipeline), found));
    }
}

/// On a forge's runner, BuildKit names the run as its builder: `https://github.com/acme/api/actions/runs/123/attempts/1`.
fn is_run_of(repository: &RepositoryRef, builder: &str) -> bool {
    let location = builder.split_once("/actions/runs/").map(|(location, _)| location);
    location.and_then(|url| RepositoryRef::from_url(url).ok()).is_some_and(|found| repository.is_same(&found))
}
