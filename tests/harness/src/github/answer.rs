//! Which answer belongs to which path.

use serde_json::{Value, json};

use super::model::{Model, Pull, Repository};
use super::{compare, shape};

/// What a path leads to.
pub(super) enum Found {
    /// An object, with the template of its route in GitHub's description.
    One(&'static str, Value),
    /// A listing: the key that holds the entries, if any, and whether the total stands beside them.
    Many(&'static str, Option<&'static str>, Vec<Value>),
    Nothing,
    /// 422: no commit of this id.
    NoCommit,
}

/// Which page is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageAsked {
    pub(super) per_page: usize,
    pub(super) page: usize,
}

pub(super) fn find(
    model: &Model,
    segments: &[String],
    query: &[(String, String)],
    asked: PageAsked,
) -> Found {
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ["repos", owner, name, rest @ ..] = segments.as_slice() else { return Found::Nothing };
    // Names are not told apart by case.
    let found = model.repositories.values().find(|repository| {
        repository.owner.login.eq_ignore_ascii_case(owner) && repository.name.eq_ignore_ascii_case(name)
    });
    match found {
        Some(repository) => within(model, repository, rest, query, asked),
        None => Found::Nothing,
    }
}

fn within(
    model: &Model,
    repository: &Repository,
    rest: &[&str],
    query: &[(String, String)],
    asked: PageAsked,
) -> Found {
    match rest {
        [] => Found::One("/repos/{owner}/{repo}", shape::repository(model, repository)),
        ["commits", sha] => match repository.commits.get(*sha) {
            Some(commit) => Found::One(
                "/repos/{owner}/{repo}/commits/{ref}",
                shape::commit(model, repository, commit, true),
            ),
            None => Found::NoCommit,
        },
        ["commits", sha, "pulls"] => pulls_of(model, repository, sha),
        ["pulls", number, more @ ..] => {
            match number.parse().ok().and_then(|number: u64| repository.pulls.get(&number)) {
                Some(pull) => pull_parts(model, repository, pull, more),
                None => Found::Nothing,
            }
        }
        ["collaborators", login, "permission"] => permission(model, repository, login),
        ["compare", basehead] => {
            let template = "/repos/{owner}/{repo}/compare/{basehead}";
            compare::compare(model, repository, basehead, asked.per_page, asked.page)
                .map_or(Found::Nothing, |comparison| Found::One(template, comparison))
        }
        ["git", "ref", name @ ..] => git_ref(model, repository, &format!("refs/{}", name.join("/"))),
        ["git", "tags", sha] => tag_object(model, repository, sha),
        ["activity"] => activity(model, repository, query),
        ["actions", "runs", id, "attempts", attempt, more @ ..] => {
            let key = id.parse().ok().zip(attempt.parse().ok());
            match key.and_then(|key| repository.runs.get(&key)) {
                Some(run) => match more {
                    [] => Found::One(
                        "/repos/{owner}/{repo}/actions/runs/{run_id}/attempts/{attempt_number}",
                        shape::run(model, repository, run),
                    ),
                    ["jobs"] => Found::Many(
                        "/repos/{owner}/{repo}/actions/runs/{run_id}/attempts/{attempt_number}/jobs",
                        Some("jobs"),
                        run.jobs.iter().map(|job| shape::job(model, repository, run, job)).collect(),
                    ),
                    _ => Found::Nothing,
                },
                None => Found::Nothing,
            }
        }
        ["attestations", digest] => match repository.attestations.get(*digest) {
            Some(bundles) => Found::Many(
                "/repos/{owner}/{repo}/attestations/{subject_digest}",
                Some("attestations"),
                bundles.iter().map(|bundle| attestation(repository, bundle)).collect(),
            ),
            None => Found::Nothing,
        },
        _ => Found::Nothing,
    }
}

fn pulls_of(model: &Model, repository: &Repository, sha: &str) -> Found {
    if !repository.commits.contains_key(sha) {
        return Found::NoCommit;
    }
    let brings = |pull: &&Pull| {
        let brought = pull.merged.as_ref().map_or(&[][..], |merged| merged.brought.as_slice());
        pull.commits.iter().chain(brought).any(|commit| commit == sha)
    };
    let pulls =
        repository.pulls.values().filter(brings).map(|pull| shape::pull(model, repository, pull, false));
    Found::Many("/repos/{owner}/{repo}/commits/{commit_sha}/pulls", None, pulls.collect())
}

fn pull_parts(model: &Model, repository: &Repository, pull: &Pull, more: &[&str]) -> Found {
    match more {
        [] => Found::One(
            "/repos/{owner}/{repo}/pulls/{pull_number}",
            shape::pull(model, repository, pull, true),
        ),
        ["commits"] => {
            let commits = pull.commits.iter().filter_map(|sha| repository.commits.get(sha));
            let commits = commits.map(|commit| shape::commit(model, repository, commit, false)).collect();
            Found::Many("/repos/{owner}/{repo}/pulls/{pull_number}/commits", None, commits)
        }
        ["reviews"] => {
            let reviews = pull.reviews.iter().map(|review| shape::review(model, repository, pull, review));
            Found::Many("/repos/{owner}/{repo}/pulls/{pull_number}/reviews", None, reviews.collect())
        }
        _ => Found::Nothing,
    }
}

fn permission(model: &Model, repository: &Repository, login: &str) -> Found {
    let Some(permission) = repository.permissions.get(login) else { return Found::Nothing };
    let shown = match permission.as_str() {
        "maintain" => "write",
        "triage" => "read",
        other => other,
    };
    let mut user = shape::person(model, &super::Person::user(login, 1));
    shape::extend(&mut user, json!({ "role_name": permission }));
    let body = json!({ "permission": shown, "role_name": permission, "user": user });
    Found::One("/repos/{owner}/{repo}/collaborators/{username}/permission", body)
}

fn git_ref(model: &Model, repository: &Repository, name: &str) -> Found {
    let Some(object) = repository.refs.get(name) else { return Found::Nothing };
    let kind = if repository.tag_objects.contains_key(object) { "tag" } else { "commit" };
    let url = format!("{}/git/{name}", shape::api_of(model, repository));
    let body = json!({
        "ref": name, "node_id": "MDM6", "url": url,
        "object": { "type": kind, "sha": object, "url": format!("{}/git/{kind}s/{object}", shape::api_of(model, repository)) },
    });
    Found::One("/repos/{owner}/{repo}/git/ref/{ref}", body)
}

fn tag_object(model: &Model, repository: &Repository, sha: &str) -> Found {
    let Some(commit) = repository.tag_objects.get(sha) else { return Found::Nothing };
    let url = format!("{}/git/tags/{sha}", shape::api_of(model, repository));
    let body = json!({
        "node_id": "MDM6", "sha": sha, "url": url, "tag": "v", "message": "",
        "tagger": { "name": "someone", "email": "someone@users.noreply.example", "date": "2026-01-01T00:00:00Z" },
        "object": { "sha": commit, "type": "commit", "url": url },
    });
    Found::One("/repos/{owner}/{repo}/git/tags/{tag_sha}", body)
}

/// Newest first. GitHub's description in the fixtures does not have this route.
fn activity(model: &Model, repository: &Repository, query: &[(String, String)]) -> Found {
    let git_ref = query.iter().find(|(name, _)| name == "ref").map(|(_, value)| value.as_str());
    let entries = repository.activity.iter().rev();
    let of_ref = entries.filter(|entry| git_ref.is_none_or(|git_ref| git_ref == entry.git_ref));
    let entries = of_ref.map(|entry| shape::activity(model, entry)).collect();
    Found::Many("/repos/{owner}/{repo}/activity", None, entries)
}

/// A test may keep an attestation whose bundle lies elsewhere, by its address.
fn attestation(repository: &Repository, bundle: &Value) -> Value {
    match bundle {
        Value::String(address) => json!({ "repository_id": repository.id, "bundle_url": address }),
        bundle => json!({ "repository_id": repository.id, "bundle": bundle, "bundle_url": "" }),
    }
}
