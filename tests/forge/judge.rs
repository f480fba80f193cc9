//! The judge of the stand-in's words is awake: what GitHub would not say is noticed.

use harness::github::{Delivery, openapi};
use serde_json::json;

#[test]
fn bodies_that_github_would_not_send_are_noticed() {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/fixtures");
    let root = std::env::var("CUSTODY_FIXTURES").unwrap_or_else(|_| default.to_owned());
    if !std::path::Path::new(&root).join("github/openapi").is_dir() {
        crate::say_skipped(&std::path::Path::new(&root).join("github/openapi"));
        return;
    }
    for template in [
        "/repos/{owner}/{repo}",
        "/repos/{owner}/{repo}/commits/{ref}",
        "/repos/{owner}/{repo}/commits/{commit_sha}/pulls",
        "/repos/{owner}/{repo}/pulls/{pull_number}",
        "/repos/{owner}/{repo}/pulls/{pull_number}/commits",
        "/repos/{owner}/{repo}/pulls/{pull_number}/reviews",
        "/repos/{owner}/{repo}/collaborators/{username}/permission",
        "/repos/{owner}/{repo}/compare/{basehead}",
        "/repos/{owner}/{repo}/git/ref/{ref}",
        "/repos/{owner}/{repo}/git/tags/{tag_sha}",
        "/repos/{owner}/{repo}/actions/runs/{run_id}/attempts/{attempt_number}",
        "/repos/{owner}/{repo}/actions/runs/{run_id}/attempts/{attempt_number}/jobs",
        "/repos/{owner}/{repo}/attestations/{subject_digest}",
    ] {
        assert!(!openapi::check_answer(template, &json!("no such answer")).is_empty(), "{template}");
    }
    for (event, action) in [
        ("push", None),
        ("pull_request", Some("closed")),
        ("workflow_run", Some("completed")),
        ("workflow_job", Some("completed")),
    ] {
        let body = action.map_or(json!({}), |action| json!({ "action": action }));
        assert!(!openapi::check_webhook(&Delivery::new(event, body)).is_empty(), "{event}");
    }
}
