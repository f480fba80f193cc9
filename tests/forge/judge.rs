//! The judge of the stand-in's words is awake: what GitHub would not say is noticed.

use harness::fixtures::found;
use harness::github::{Delivery, openapi};
use harness::said::say;
use serde_json::json;

#[test]
fn bodies_that_github_would_not_send_are_noticed() {
    let Some(_) = found("github/openapi") else { return };
    let mut tried = 0;
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
        if !openapi::describes_answer(template) {
            continue;
        }
        tried += 1;
        assert!(!openapi::check_answer(template, &json!("no such answer")).is_empty(), "{template}");
    }
    for (event, action) in [
        ("push", None),
        ("pull_request", Some("closed")),
        ("workflow_run", Some("completed")),
        ("workflow_job", Some("completed")),
    ] {
        let body = action.map_or(json!({}), |action| json!({ "action": action }));
        let delivery = Delivery::new(event, body);
        if !openapi::describes_webhook(&delivery) {
            continue;
        }
        tried += 1;
        assert!(!openapi::check_webhook(&delivery).is_empty(), "{event}");
    }
    say("forge", &format!("{tried} kinds of bodies that GitHub would not send are noticed"));
}
