//! Whether the forges answer, and whether the credential may read what the agents ask for.
//!
//! In: checked settings. Out: one finding for each owner or repository that is watched, and one for each permission, asked
//! of one repository of it. Nothing is changed there.

use github_client::api::{ApiClient, ApiFailure, Route};
use github_client::scope::Watched;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Finding;
use crate::settings::Forges;

const TOKEN_ADVICE: &str = "give a token that may read metadata, contents, pull requests, actions and attestations, and check the way \
                            to the forge";
/// A digest that nothing has: a permitted question for its attestations is answered with "not found".
const NO_DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// What the agents read of a repository: the permission's name, the path below the repository, and whether "not found" is an
/// answer of one who may read.
const READS: [(&str, &[&str], bool); 4] = [
    ("contents", &["commits"], false),
    ("pull requests", &["pulls"], false),
    ("actions", &["actions", "runs"], false),
    ("attestations", &["attestations", NO_DIGEST], true),
];

#[derive(Deserialize)]
struct Named {}

#[derive(Deserialize)]
struct Repository {
    name: String,
}

pub(super) async fn look(forges: &Forges) -> Vec<Finding> {
    let mut findings = Vec::new();
    for forge in &forges.forges {
        let host = &forge.scope.host;
        match ApiClient::new(forge.api.clone()) {
            Ok(client) => {
                for watched in &forge.scope.watched {
                    findings.extend(watched_look(&client, watched).await);
                }
            }
            Err(error) => {
                let reason = fleet_runtime::error_chain(&error);
                findings.push(Finding::fails(format!("forge {host}"), reason, "mend [[github]]"));
            }
        }
        if forge.webhooks.is_empty() {
            findings.push(Finding::lacks(
                format!("forge {host}, webhooks"),
                "no secret is set",
                "set [[github.webhooks]]: without them every review and run must be asked for",
            ));
        }
    }
    findings
}

async fn watched_look(client: &ApiClient, watched: &Watched) -> Vec<Finding> {
    let what = format!("forge {}, {watched}", client.host());
    let route = match watched {
        Watched::Owner(owner) => Route::new(["users", owner.as_str()]),
        Watched::Repository { owner, name } => Route::repository(owner, name, []),
    };
    let read = client.get::<Named>(&route).await;
    let mut findings = vec![match &read {
        Ok(Named {}) => Finding::works(&what, "can be read"),
        Err(failure) => Finding::fails(&what, fleet_runtime::error_chain(failure), TOKEN_ADVICE),
    }];
    if read.is_err() {
        return findings;
    }
    let (owner, name) = match watched {
        Watched::Repository { owner, name } => (owner, name.clone()),
        Watched::Owner(owner) => match a_repository_of(client, owner).await {
            Ok(Some(name)) => (owner, name),
            Ok(None) => {
                let reason = "this token sees no repository of it: its permissions could not be tried";
                findings.push(Finding::lacks(what, reason, TOKEN_ADVICE));
                return findings;
            }
            Err(failure) => {
                findings.push(Finding::fails(what, fleet_runtime::error_chain(&failure), TOKEN_ADVICE));
                return findings;
            }
        },
    };
    for (permission, path, not_found_is_an_answer) in READS {
        let route = Route::repository(owner, &name, path.iter().copied()).with("per_page", "1");
        let answer = client.get_page::<IgnoredAny>(&route).await.map(|_| ());
        findings.push(permission_finding(client, owner, &name, permission, &answer, not_found_is_an_answer));
    }
    findings
}

async fn a_repository_of(client: &ApiClient, owner: &str) -> Result<Option<String>, ApiFailure> {
    let route = Route::new(["users", owner, "repos"]).with("per_page", "1").with("sort", "pushed");
    let page = client.get_page::<Vec<Repository>>(&route).await?;
    Ok(page.value.into_iter().next().map(|repository| repository.name))
}

fn permission_finding(
    client: &ApiClient,
    owner: &str,
    name: &str,
    permission: &str,
    answer: &Result<(), ApiFailure>,
    not_found_is_an_answer: bool,
) -> Finding {
    let what = format!("forge {}, {owner}/{name}, {permission}", client.host());
    match answer {
        Ok(()) => Finding::works(what, "can be read"),
        Err(ApiFailure::NotFound) if not_found_is_an_answer => Finding::works(what, "can be read"),
        // An empty repository has no commits: who may not read is denied, or told that nothing is there.
        Err(ApiFailure::Refused { status: 409, .. }) => Finding::works(what, "can be read"),
        Err(failure @ (ApiFailure::NotFound | ApiFailure::Denied { .. })) => Finding::fails(
            what,
            fleet_runtime::error_chain(failure),
            format!("give the token the permission to read {permission}"),
        ),
        Err(failure) => Finding::fails(what, fleet_runtime::error_chain(failure), TOKEN_ADVICE),
    }
}
