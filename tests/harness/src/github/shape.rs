//! GitHub's JSON for the things of the model, with every field that its description requires.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::model::{Activity, Commit, Job, Model, Person, Pull, Repository, Review, Run};

pub fn person(model: &Model, person: &Person) -> Value {
    let Model { api, host, .. } = model;
    let (login, id) = (&person.login, person.id);
    let url = format!("{api}/users/{login}");
    json!({
        "login": login, "id": id, "node_id": node(id), "avatar_url": format!("https://{host}/u/{id}"),
        "gravatar_id": "", "url": url, "html_url": format!("https://{host}/{login}"),
        "followers_url": format!("{url}/followers"), "following_url": format!("{url}/following{{/other_user}}"),
        "gists_url": format!("{url}/gists{{/gist_id}}"), "starred_url": format!("{url}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{url}/subscriptions"), "organizations_url": format!("{url}/orgs"),
        "repos_url": format!("{url}/repos"), "events_url": format!("{url}/events{{/privacy}}"),
        "received_events_url": format!("{url}/received_events"), "type": person.kind, "site_admin": false,
    })
}

/// A repository as the API gives it.
pub fn repository(model: &Model, repository: &Repository) -> Value {
    let mut fields = repository_fields(model, repository);
    fields.insert("permissions".to_owned(), json!({ "admin": false, "push": false, "pull": true }));
    fields.insert("network_count".to_owned(), json!(0));
    fields.insert("subscribers_count".to_owned(), json!(0));
    Value::Object(fields)
}

/// A repository inside other things.
pub fn repository_inside(model: &Model, repository: &Repository) -> Value {
    Value::Object(repository_fields(model, repository))
}

fn repository_fields(model: &Model, repository: &Repository) -> Map<String, Value> {
    let full_name = format!("{}/{}", repository.owner.login, repository.name);
    let url = format!("{}/repos/{full_name}", model.api);
    let page = format!("https://{}/{full_name}", model.host);
    let pushed_at = time(repository.pushed_at);
    let mut plain = json!({
        "id": repository.id, "node_id": node(repository.id), "name": repository.name, "full_name": full_name,
        "private": repository.private, "owner": person(model, &repository.owner), "html_url": page,
        "description": null, "fork": false, "url": url, "created_at": "2025-01-01T00:00:00Z",
        "updated_at": pushed_at, "pushed_at": pushed_at, "git_url": format!("git://{}/{full_name}.git", model.host),
        "ssh_url": format!("git@{}:{full_name}.git", model.host), "clone_url": format!("{page}.git"),
        "svn_url": page, "homepage": null, "size": 1, "stargazers_count": 0, "watchers_count": 0,
    });
    let more = json!({
        "language": "Rust", "has_issues": true, "has_projects": true, "has_downloads": true, "has_wiki": false,
        "has_pages": false, "has_discussions": false, "forks_count": 0, "mirror_url": null, "archived": false,
        "disabled": false, "open_issues_count": 0, "license": null, "allow_forking": true, "is_template": false,
        "web_commit_signoff_required": false, "topics": [], "forks": 0, "open_issues": 0, "watchers": 0,
        "visibility": if repository.private { "private" } else { "public" }, "default_branch": "main",
    });
    extend(&mut plain, more);
    let mut fields = match plain {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for (field, path) in [
        ("archive_url", "/{archive_format}{/ref}"),
        ("assignees_url", "/assignees{/user}"),
        ("blobs_url", "/git/blobs{/sha}"),
        ("branches_url", "/branches{/branch}"),
        ("collaborators_url", "/collaborators{/collaborator}"),
        ("comments_url", "/comments{/number}"),
        ("commits_url", "/commits{/sha}"),
        ("compare_url", "/compare/{base}...{head}"),
        ("contents_url", "/contents/{+path}"),
        ("contributors_url", "/contributors"),
        ("deployments_url", "/deployments"),
        ("downloads_url", "/downloads"),
        ("events_url", "/events"),
        ("forks_url", "/forks"),
        ("git_commits_url", "/git/commits{/sha}"),
        ("git_refs_url", "/git/refs{/sha}"),
        ("git_tags_url", "/git/tags{/sha}"),
        ("hooks_url", "/hooks"),
        ("issue_comment_url", "/issues/comments{/number}"),
        ("issue_events_url", "/issues/events{/number}"),
        ("issues_url", "/issues{/number}"),
        ("keys_url", "/keys{/key_id}"),
        ("labels_url", "/labels{/name}"),
        ("languages_url", "/languages"),
        ("merges_url", "/merges"),
        ("milestones_url", "/milestones{/number}"),
        ("notifications_url", "/notifications{?since,all,participating}"),
        ("pulls_url", "/pulls{/number}"),
        ("releases_url", "/releases{/id}"),
        ("stargazers_url", "/stargazers"),
        ("statuses_url", "/statuses/{sha}"),
        ("subscribers_url", "/subscribers"),
        ("subscription_url", "/subscription"),
        ("tags_url", "/tags"),
        ("teams_url", "/teams"),
        ("trees_url", "/git/trees{/sha}"),
    ] {
        fields.insert(field.to_owned(), json!(format!("{url}{path}")));
    }
    fields
}

/// A commit as the API gives it; with its files when it was asked for alone.
pub fn commit(model: &Model, repository: &Repository, commit: &Commit, with_files: bool) -> Value {
    let url = format!("{}/commits/{}", api_of(model, repository), commit.sha);
    let page = format!("{}/commit/{}", page_of(model, repository), commit.sha);
    let parent = |sha: &String| {
        let url = format!("{}/commits/{sha}", api_of(model, repository));
        json!({ "sha": sha, "url": url, "html_url": format!("{}/commit/{sha}", page_of(model, repository)) })
    };
    let mut body = json!({
        "sha": commit.sha, "node_id": node(1), "url": url, "html_url": page,
        "comments_url": format!("{url}/comments"),
        "commit": {
            "author": git_person(&commit.author, commit.at), "committer": git_person(&commit.committer, commit.at),
            "message": commit.message, "tree": { "sha": commit.sha, "url": url }, "url": url, "comment_count": 0,
            "verification": {
                "verified": commit.verified, "reason": if commit.verified { "valid" } else { "unsigned" },
                "payload": null, "signature": null, "verified_at": null,
            },
        },
        "author": person(model, &commit.author), "committer": person(model, &commit.committer),
        "parents": commit.parents.iter().map(parent).collect::<Vec<_>>(),
    });
    if with_files {
        body["stats"] = json!({ "additions": 1, "deletions": 0, "total": 1 });
        body["files"] =
            commit.files.iter().map(|path| file(&page, &url, path, &"a".repeat(40), "modified")).collect();
    }
    body
}

/// A changed file: the blob that the path holds now, and what was done.
pub(super) fn file(page: &str, url: &str, path: &str, blob: &str, status: &str) -> Value {
    json!({
        "sha": blob, "filename": path, "status": status, "additions": 1, "deletions": 0, "changes": 1,
        "blob_url": format!("{page}/blob"), "raw_url": format!("{page}/raw"), "contents_url": format!("{url}/contents"),
        "patch": "@@ -1 +1 @@",
    })
}

fn git_person(person: &Person, at: Timestamp) -> Value {
    json!({ "name": person.login, "email": format!("{}@users.noreply.example", person.login), "date": time(at) })
}

/// A pull request; lists leave out what only the single answer has.
pub fn pull(model: &Model, repository: &Repository, pull: &Pull, is_single: bool) -> Value {
    let url = format!("{}/pulls/{}", api_of(model, repository), pull.number);
    let issue = format!("{}/issues/{}", api_of(model, repository), pull.number);
    let page = format!("{}/pull/{}", page_of(model, repository), pull.number);
    let link = |href: &str| json!({ "href": href });
    let statuses = format!("{}/statuses/{}", api_of(model, repository), pull.head);
    let merged_at = pull.merged.as_ref().map(|merged| time(merged.at));
    let base = repository.refs.get(&format!("refs/heads/{}", pull.base_branch)).cloned().unwrap_or_default();
    let mut body = json!({
        "id": pull.number + 1_000_000, "node_id": node(pull.number), "url": url, "html_url": page,
        "diff_url": format!("{page}.diff"), "patch_url": format!("{page}.patch"), "issue_url": issue,
        "commits_url": format!("{url}/commits"), "review_comments_url": format!("{url}/comments"),
        "review_comment_url": format!("{}/pulls/comments{{/number}}", api_of(model, repository)),
        "comments_url": format!("{issue}/comments"), "statuses_url": statuses, "number": pull.number,
        "state": if pull.merged.is_some() { "closed" } else { "open" }, "locked": false,
        "title": format!("Change {}", pull.number), "user": person(model, &pull.author), "body": null,
        "labels": [], "milestone": null, "active_lock_reason": null, "created_at": time(pull.opened_at),
        "updated_at": merged_at.clone().unwrap_or_else(|| time(pull.opened_at)), "closed_at": merged_at,
        "merged_at": merged_at, "merge_commit_sha": pull.merged.as_ref().map(|merged| &merged.commit),
        "assignee": null, "assignees": [], "requested_reviewers": [], "requested_teams": [],
        "head": end(model, repository, pull.head_repository.as_ref(), &pull.head_branch, &pull.head),
        "base": end(model, repository, None, &pull.base_branch, &base),
        "_links": {
            "self": link(&url), "html": link(&page), "issue": link(&issue), "comments": link(&issue),
            "review_comments": link(&url), "review_comment": link(&url), "commits": link(&url),
            "statuses": link(&statuses),
        },
        "author_association": "MEMBER", "auto_merge": null, "draft": false,
    });
    if is_single {
        let more = json!({
            "merged": pull.merged.is_some(), "mergeable": null, "rebaseable": null, "mergeable_state": "unknown",
            "merged_by": pull.merged.as_ref().map(|merged| person(model, &merged.by)), "comments": 0,
            "review_comments": 0, "maintainer_can_modify": false, "commits": pull.commits.len(), "additions": 1,
            "deletions": 0, "changed_files": 1,
        });
        extend(&mut body, more);
    }
    body
}

fn end(
    model: &Model,
    repository: &Repository,
    other: Option<&(String, String)>,
    branch: &str,
    sha: &str,
) -> Value {
    let repository = other.and_then(|key| model.repositories.get(key)).unwrap_or(repository);
    json!({
        "label": format!("{}:{branch}", repository.owner.login), "ref": branch, "sha": sha,
        "user": person(model, &repository.owner), "repo": repository_inside(model, repository),
    })
}

pub fn review(model: &Model, repository: &Repository, pull: &Pull, review: &Review) -> Value {
    let url = format!("{}/pulls/{}", api_of(model, repository), pull.number);
    let page = format!("{}/pull/{}#pullrequestreview-{}", page_of(model, repository), pull.number, review.id);
    json!({
        "id": review.id, "node_id": node(review.id), "user": person(model, &review.reviewer), "body": "",
        "state": review.state, "html_url": page, "pull_request_url": url, "author_association": "MEMBER",
        "_links": { "html": { "href": page }, "pull_request": { "href": url } },
        "submitted_at": time(review.at), "commit_id": review.commit,
    })
}

pub fn activity(model: &Model, activity: &Activity) -> Value {
    json!({
        "id": activity.id, "node_id": node(activity.id), "before": activity.before, "after": activity.after,
        "ref": activity.git_ref, "timestamp": time(activity.at), "activity_type": activity.kind,
        "actor": person(model, &activity.actor),
    })
}

pub fn run(model: &Model, repository: &Repository, run: &Run) -> Value {
    let url = format!("{}/actions/runs/{}", api_of(model, repository), run.id);
    let head = run.head_repository.as_ref().and_then(|key| model.repositories.get(key)).unwrap_or(repository);
    let called =
        run.called.iter().map(|(path, git_ref, sha)| json!({ "path": path, "ref": git_ref, "sha": sha }));
    let ended = run.ended.as_ref();
    json!({
        "id": run.id, "name": "Release", "node_id": node(run.id), "head_branch": run.head_branch,
        "head_sha": run.head_sha, "path": run.workflow, "display_title": "Release", "run_number": 1,
        "event": run.event, "status": if ended.is_some() { "completed" } else { "in_progress" },
        "conclusion": ended.map(|(_, conclusion)| conclusion), "workflow_id": 77, "check_suite_id": 78,
        "check_suite_node_id": node(78), "url": url,
        "html_url": format!("{}/actions/runs/{}", page_of(model, repository), run.id), "pull_requests": [],
        "created_at": time(run.started_at), "updated_at": time(ended.map_or(run.started_at, |(at, _)| *at)),
        "actor": person(model, &run.actor), "run_attempt": run.attempt,
        "referenced_workflows": called.collect::<Vec<_>>(), "run_started_at": time(run.started_at),
        "triggering_actor": person(model, &run.actor), "jobs_url": format!("{url}/jobs"),
        "logs_url": format!("{url}/logs"), "check_suite_url": format!("{}/check-suites/78", api_of(model, repository)),
        "artifacts_url": format!("{url}/artifacts"), "cancel_url": format!("{url}/cancel"),
        "rerun_url": format!("{url}/rerun"), "previous_attempt_url": null,
        "workflow_url": format!("{}/actions/workflows/77", api_of(model, repository)),
        "head_commit": {
            "id": run.head_sha, "tree_id": run.head_sha, "message": "Change", "timestamp": time(run.started_at),
            "author": { "name": "someone", "email": "someone@users.noreply.example" },
            "committer": { "name": "someone", "email": "someone@users.noreply.example" },
        },
        "repository": repository_inside(model, repository), "head_repository": repository_inside(model, head),
    })
}

pub fn job(model: &Model, repository: &Repository, run: &Run, job: &Job) -> Value {
    let url = format!("{}/actions/jobs/{}", api_of(model, repository), job.id);
    let ended = job.ended.as_ref();
    let is_githubs = job.runner_group.is_some();
    json!({
        "id": job.id, "run_id": run.id, "workflow_name": "Release", "head_branch": run.head_branch,
        "run_url": format!("{}/actions/runs/{}", api_of(model, repository), run.id), "run_attempt": run.attempt,
        "node_id": node(job.id), "head_sha": run.head_sha, "url": url,
        "html_url": format!("{}/actions/runs/{}/job/{}", page_of(model, repository), run.id, job.id),
        "status": if ended.is_some() { "completed" } else { "in_progress" },
        "conclusion": ended.map(|(_, conclusion)| conclusion), "created_at": time(job.started_at),
        "started_at": time(job.started_at), "completed_at": ended.map(|(at, _)| time(*at)), "name": job.name,
        "steps": [], "check_run_url": format!("{}/check-runs/{}", api_of(model, repository), job.id),
        "labels": job.labels, "runner_id": is_githubs.then_some(5), "runner_name": is_githubs.then_some("GitHub Actions 5"),
        "runner_group_id": is_githubs.then_some(2), "runner_group_name": job.runner_group,
    })
}

/// The body of a `push`: `ends` are before and after, `commits` the listed ones and the head.
pub fn push(
    model: &Model,
    repository: &Repository,
    git_ref: &str,
    ends: (&str, &str),
    is_forced: bool,
    commits: (&[&Commit], Option<&Commit>),
    actor: &Person,
) -> Value {
    let mut of = repository_fields(model, repository);
    // In this one event the times of the repository are numbers.
    of.insert("created_at".to_owned(), json!(1_735_689_600));
    of.insert("pushed_at".to_owned(), json!(repository.pushed_at.as_second()));
    let listed: Vec<Value> =
        commits.0.iter().map(|commit| pushed_commit(model, repository, commit)).collect();
    let is_zero = |sha: &str| sha.bytes().all(|byte| byte == b'0');
    json!({
        "ref": git_ref, "before": ends.0, "after": ends.1, "created": is_zero(ends.0), "deleted": is_zero(ends.1),
        "forced": is_forced, "base_ref": null,
        "compare": format!("{}/compare/{}...{}", page_of(model, repository), ends.0, ends.1),
        "commits": listed, "head_commit": commits.1.map(|head| pushed_commit(model, repository, head)),
        "repository": of, "organization": organization(model, &repository.owner),
        "pusher": { "name": actor.login, "email": format!("{}@users.noreply.example", actor.login) },
        "sender": person(model, actor),
    })
}

fn pushed_commit(model: &Model, repository: &Repository, commit: &Commit) -> Value {
    let git_person = |person: &Person| {
        let email = format!("{}@users.noreply.example", person.login);
        json!({ "name": person.login, "email": email, "username": person.login })
    };
    json!({
        "id": commit.sha, "tree_id": commit.sha, "distinct": true, "message": commit.message,
        "timestamp": time(commit.at), "url": format!("{}/commit/{}", page_of(model, repository), commit.sha),
        "author": git_person(&commit.author), "committer": git_person(&commit.committer),
        "added": [], "removed": [], "modified": commit.files,
    })
}

pub fn pull_event(model: &Model, repository: &Repository, of: &Pull, action: &str, sender: &Person) -> Value {
    json!({
        "action": action, "number": of.number, "pull_request": pull(model, repository, of, true),
        "repository": repository_inside(model, repository), "organization": organization(model, &repository.owner),
        "sender": person(model, sender),
    })
}

pub fn review_event(model: &Model, repository: &Repository, of: &Pull, what: &Review) -> Value {
    let mut said = review(model, repository, of, what);
    // Webhooks write the state in lower case.
    said["state"] = json!(what.state.to_ascii_lowercase());
    let action = if what.state == "DISMISSED" { "dismissed" } else { "submitted" };
    json!({
        "action": action, "review": said, "pull_request": pull(model, repository, of, false),
        "repository": repository_inside(model, repository), "organization": organization(model, &repository.owner),
        "sender": person(model, &what.reviewer),
    })
}

pub fn run_event(model: &Model, repository: &Repository, of: &Run, action: &str) -> Value {
    let mut said = run(model, repository, of);
    if action == "requested" {
        said["status"] = json!("queued");
    }
    let workflow = json!({
        "id": 77, "node_id": node(77), "name": "Release", "path": of.workflow, "state": "active",
        "created_at": "2025-01-01T00:00:00Z", "updated_at": "2025-01-01T00:00:00Z",
        "url": format!("{}/actions/workflows/77", api_of(model, repository)),
        "html_url": format!("{}/blob/main/{}", page_of(model, repository), of.workflow),
        "badge_url": format!("{}/workflows/Release/badge.svg", page_of(model, repository)),
    });
    json!({
        "action": action, "workflow_run": said, "workflow": workflow,
        "repository": repository_inside(model, repository), "organization": organization(model, &repository.owner),
        "sender": person(model, &of.actor),
    })
}

pub fn job_event(model: &Model, repository: &Repository, of: &Run, what: &Job, action: &str) -> Value {
    json!({
        "action": action, "workflow_job": job(model, repository, of, what),
        "repository": repository_inside(model, repository), "organization": organization(model, &repository.owner),
        "sender": person(model, &of.actor),
    })
}

fn organization(model: &Model, owner: &Person) -> Value {
    let url = format!("{}/orgs/{}", model.api, owner.login);
    json!({
        "login": owner.login, "id": owner.id, "node_id": node(owner.id), "url": url, "repos_url": format!("{url}/repos"),
        "events_url": format!("{url}/events"), "hooks_url": format!("{url}/hooks"),
        "issues_url": format!("{url}/issues"), "members_url": format!("{url}/members{{/member}}"),
        "public_members_url": format!("{url}/public_members{{/member}}"),
        "avatar_url": format!("https://{}/u/{}", model.host, owner.id), "description": null,
    })
}

pub(super) fn extend(body: &mut Value, more: Value) {
    if let (Value::Object(body), Value::Object(more)) = (body, more) {
        body.extend(more);
    }
}

pub(super) fn api_of(model: &Model, repository: &Repository) -> String {
    format!("{}/repos/{}/{}", model.api, repository.owner.login, repository.name)
}

pub(super) fn page_of(model: &Model, repository: &Repository) -> String {
    format!("https://{}/{}/{}", model.host, repository.owner.login, repository.name)
}

fn node(id: u64) -> String {
    format!("MDQ6{id}")
}

/// GitHub's times have no fractions of a second.
pub(super) fn time(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}
