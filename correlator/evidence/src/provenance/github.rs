//! What GitHub Actions' builders write of a run: environment variables, web addresses.

use bus_schema::{ForgeId, RepositoryRef};
use correlator_core::facts::RunNumber;
use serde_json::Value;

use crate::provenance::draft::{Draft, fill, text_at};

/// Takes what the environment says and the draft does not know yet. Builders write `GITHUB_RUN_ID` or `github_run_id`.
pub(super) fn take_environment(draft: &mut Draft, environment: &Value) {
    let variable = |name: &str| {
        text_at(environment, &[&format!("GITHUB_{name}")])
            .or_else(|| text_at(environment, &[&format!("github_{}", name.to_ascii_lowercase())]))
    };
    let server = variable("SERVER_URL").unwrap_or_else(|| "https://github.com".to_owned());
    if draft.repository.is_none()
        && let Some(repository) = variable("REPOSITORY")
    {
        draft.repository = RepositoryRef::from_url(&format!("{server}/{repository}")).ok();
    }
    take_ids(draft, variable("REPOSITORY_ID"), variable("REPOSITORY_OWNER_ID"));
    fill(&mut draft.git_ref, variable("REF").and_then(|text| text.parse().ok()));
    let commit = variable("SHA").or_else(|| variable("SHA1"));
    fill(&mut draft.commit, commit.and_then(|text| text.parse().ok()));
    fill(&mut draft.trigger, variable("EVENT_NAME"));
    fill(&mut draft.run, run(variable("RUN_ID").as_deref(), variable("RUN_ATTEMPT").as_deref()));
    if draft.workflow.is_none()
        && let (Some(workflow), Some(repository)) = (variable("WORKFLOW_REF"), &draft.repository)
    {
        draft.workflow = format!("{}/{workflow}", repository.host).parse().ok();
    }
}

pub(super) fn take_ids(draft: &mut Draft, id: Option<String>, owner_id: Option<String>) {
    if let Some(repository) = draft.repository.take() {
        let parse = |text: Option<String>| text.and_then(|text| text.parse::<ForgeId>().ok());
        let (id, owner_id) =
            (parse(id).or(repository.id.clone()), parse(owner_id).or(repository.owner_id.clone()));
        draft.repository = Some(repository.with_ids(id, owner_id));
    }
}

/// `https://github.com/acme/api/actions/runs/123/attempts/1`
pub(crate) fn run_in_url(url: &str) -> Option<RunNumber> {
    let (_, rest) = url.split_once("/actions/runs/")?;
    let (id, attempt) = match rest.split_once("/attempts/") {
        Some((id, attempt)) => (id, Some(attempt)),
        None => (rest, None),
    };
    run(Some(id), attempt)
}

/// `123-1`, as the builders of v0.2 name an invocation.
pub(super) fn run_in_invocation(text: &str) -> Option<RunNumber> {
    let (id, attempt) = text.split_once('-')?;
    run(Some(id), Some(attempt))
}

fn run(id: Option<&str>, attempt: Option<&str>) -> Option<RunNumber> {
    let id = id?.parse().ok()?;
    let attempt = match attempt {
        Some(attempt) => attempt.parse().ok()?,
        None => 1,
    };
    Some(RunNumber { id, attempt })
}
