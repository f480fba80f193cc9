#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bus_schema::ci::{Conclusion, RunnerEnvironment, Trigger};
use bus_schema::{AgentId, Envelope, Event};
use github_client::report::Report;
use serde_json::{Value, json};

use super::*;

fn github() -> ForgeHost {
    "github.com".parse().unwrap()
}

fn check(event: &str, body: &Value) -> Vec<Event> {
    match translate(event, &github(), body.to_string().as_bytes()).unwrap() {
        Translated::Reports(reports) => reports.into_iter().map(|report| report.event).collect(),
        Translated::NothingToSay(_) => Vec::new(),
    }
}

fn refuse(event: &str, body: &Value) -> String {
    fleet_runtime::error_chain(&translate(event, &github(), body.to_string().as_bytes()).unwrap_err())
}

fn repository() -> Value {
    json!({ "id": 42, "name": "api", "owner": { "login": "acme", "id": 7 } })
}

fn run_event(action: &str) -> Value {
    json!({
        "action": action,
        "workflow_run": {
            "id": 900, "run_attempt": 2, "path": ".github/workflows/release.yml", "head_branch": "main",
            "head_sha": "c".repeat(40), "event": "push", "status": "completed", "conclusion": "success",
            "actor": { "login": "ann", "id": 10, "type": "User" },
            "triggering_actor": { "login": "bob", "id": 11, "type": "User" },
            "run_started_at": "2026-01-01T10:00:00Z", "created_at": "2026-01-01T09:00:00Z",
            "updated_at": "2026-01-01T10:05:00Z", "head_repository": repository(), "repository": repository(),
            "referenced_workflows": [
                { "path": "acme/shared/.github/workflows/build.yml@refs/tags/v1", "sha": "d".repeat(40), "ref": "refs/tags/v1" },
                { "path": "acme/shared/.github/workflows/sign.yml@v1", "sha": "e".repeat(40) },
                { "path": "nonsense", "sha": "x" },
            ],
        },
        "repository": repository(),
    })
}

#[test]
fn a_run_starts_and_ends_as_one_attempt() {
    for action in ["requested", "in_progress"] {
        let events = check("workflow_run", &run_event(action));
        let [Event::RunStarted(started)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(started.run.run.to_string(), "github.com/42/900/2");
        assert_eq!(started.run.started_at.to_string(), "2026-01-01T10:00:00Z");
    }
    let events = check("workflow_run", &run_event("completed"));
    let [Event::RunFinished(finished)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(
        (finished.conclusion.clone(), finished.run.trigger.clone()),
        (Conclusion::Success, Trigger::Push)
    );
    assert_eq!(finished.run.triggering_actor.as_ref().unwrap().name, "bob");
    assert_eq!(finished.run.from_fork(), Some(false));
    let called: Vec<String> = finished.run.called_workflows.iter().map(ToString::to_string).collect();
    let expected = [
        "github.com/acme/shared/.github/workflows/build.yml@refs/tags/v1".to_owned(),
        format!("github.com/acme/shared/.github/workflows/sign.yml@{}", "e".repeat(40)),
    ];
    assert_eq!(called, expected);
}

#[test]
fn a_ref_is_stated_only_where_the_trigger_leaves_no_doubt() {
    let of = |trigger: &str, branch: Value| {
        let mut body = run_event("requested");
        body["workflow_run"]["event"] = json!(trigger);
        body["workflow_run"]["head_branch"] = branch;
        match check("workflow_run", &body).remove(0) {
            Event::RunStarted(started) => started.run.git_ref.map(|git_ref| git_ref.to_string()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(of("push", json!("main")), None);
    assert_eq!(of("pull_request", json!("main")), None);
    assert_eq!(of("schedule", json!("main")).as_deref(), Some("refs/heads/main"));
    assert_eq!(of("release", json!("v1")).as_deref(), Some("refs/tags/v1"));
    assert_eq!(of("schedule", Value::Null), None);
}

#[test]
fn a_fork_is_seen_by_its_id_and_a_lost_fork_is_unknown() {
    let mut body = run_event("completed");
    body["workflow_run"]["head_repository"]["id"] = json!(99);
    let Event::RunFinished(finished) = check("workflow_run", &body).remove(0) else { panic!() };
    assert_eq!(finished.run.from_fork(), Some(true));
    body["workflow_run"]["head_repository"] = Value::Null;
    let Event::RunFinished(finished) = check("workflow_run", &body).remove(0) else { panic!() };
    assert_eq!(finished.run.from_fork(), None);
}

#[test]
fn a_run_of_another_repository_an_unknown_action_and_a_missing_conclusion_are_refused() {
    let mut body = run_event("completed");
    body["workflow_run"]["repository"]["id"] = json!(43);
    assert!(refuse("workflow_run", &body).contains("the run is said to be of repository"));
    assert!(refuse("workflow_run", &run_event("exploded")).contains("is unknown"));
    let mut body = run_event("completed");
    body["workflow_run"]["conclusion"] = Value::Null;
    assert_eq!(refuse("workflow_run", &body), "conclusion is missing");
    let mut body = run_event("completed");
    body["workflow_run"]["run_attempt"] = json!(0);
    assert!(refuse("workflow_run", &body).contains("run_attempt"));
}

fn job_event(labels: &[&str], group: Value, runner_id: Value) -> Value {
    json!({
        "action": "completed",
        "workflow_job": {
            "id": 5, "run_id": 900, "run_attempt": 2, "name": "build", "status": "completed",
            "conclusion": "success", "labels": labels, "runner_id": runner_id, "runner_group_name": group,
            "started_at": "2026-01-01T10:00:00Z", "completed_at": "2026-01-01T10:04:00Z",
        },
        "repository": repository(),
    })
}

#[test]
fn a_runner_is_githubs_only_when_it_surely_is() {
    let of = |labels: &[&str], group: Value, runner_id: Value| match check(
        "workflow_job",
        &job_event(labels, group, runner_id),
    )
    .remove(0)
    {
        Event::JobFinished(job) => job.runner,
        other => panic!("{other:?}"),
    };
    let (hosted, own) = (Some(RunnerEnvironment::GithubHosted), Some(RunnerEnvironment::SelfHosted));
    assert_eq!(of(&["ubuntu-latest"], json!("GitHub Actions"), json!(5)), hosted);
    assert_eq!(of(&["self-hosted", "linux"], json!("GitHub Actions"), json!(5)), own);
    assert_eq!(of(&["ubuntu-latest"], json!("Default"), json!(5)), own);
    assert_eq!(of(&["ubuntu-24.04"], Value::Null, json!(5)), hosted);
    assert_eq!(of(&["ubuntu-24.04", "gpu"], Value::Null, json!(5)), own);
    assert_eq!(of(&["ubuntu-latest"], Value::Null, Value::Null), None);
}

#[test]
fn a_label_that_is_null_is_left_out_of_its_job() {
    let mut body = job_event(&[], Value::Null, json!(5));
    body["workflow_job"]["labels"] = json!([null, "ubuntu-latest", null]);
    let Event::JobFinished(job) = check("workflow_job", &body).remove(0) else { panic!() };
    assert_eq!(job.runner_labels, ["ubuntu-latest"]);
    assert_eq!(job.runner, Some(RunnerEnvironment::GithubHosted));
    body["workflow_job"]["labels"] = json!([null]);
    let Event::JobFinished(job) = check("workflow_job", &body).remove(0) else { panic!() };
    assert_eq!((job.runner_labels, job.runner), (Vec::new(), None));
}

#[test]
fn a_job_that_has_not_ended_says_nothing() {
    let mut body = job_event(&["ubuntu-latest"], Value::Null, Value::Null);
    for action in ["queued", "in_progress", "waiting"] {
        body["action"] = json!(action);
        assert!(check("workflow_job", &body).is_empty());
    }
    body["action"] = json!("exploded");
    assert!(refuse("workflow_job", &body).contains("is unknown"));
}

#[test]
fn a_body_that_lacks_any_part_is_translated_or_refused() {
    let mut refused = 0;
    for (event, body) in [
        ("workflow_run", run_event("completed")),
        ("workflow_job", job_event(&["ubuntu-latest"], json!("GitHub Actions"), json!(5))),
    ] {
        without_each_part(&body, 3, &mut |changed| {
            refused += usize::from(translate(event, &github(), changed.to_string().as_bytes()).is_err());
        });
    }
    assert!(refused > 20, "{refused}");
}

/// Calls `check` with every version of `whole` that lacks one of its parts, down to a depth.
fn without_each_part(whole: &Value, depth: usize, check: &mut dyn FnMut(&Value)) {
    let keys: Vec<String> = match whole {
        Value::Object(fields) => fields.keys().cloned().collect(),
        _ => return,
    };
    for key in keys {
        for replacement in [None, Some(Value::Null), Some(json!(7)), Some(json!(["\u{1b}[2J"]))] {
            let mut changed = whole.clone();
            match replacement {
                None => drop(changed.as_object_mut().unwrap().remove(&key)),
                Some(value) => changed[&key] = value,
            }
            check(&changed);
        }
        if depth > 0 {
            without_each_part(&whole[&key], depth - 1, &mut |part| {
                let mut changed = whole.clone();
                changed[&key] = part.clone();
                check(&changed);
            });
        }
    }
}

/// Every recorded payload of the events that this agent reads, found by listing the folders.
#[test]
fn recorded_payloads_are_events_or_nothing_to_say() {
    // A relative folder is meant from the repository's root.
    let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let fixtures = std::env::var_os("CUSTODY_FIXTURES").unwrap_or_else(|| "../shared/fixtures".into());
    let webhooks = repository.join(fixtures).join("github/webhooks");
    let Ok(folders) = std::fs::read_dir(&webhooks) else {
        say_skipped(&webhooks);
        return;
    };
    let agent: AgentId = "ci-github".parse().unwrap();
    let mut reported = 0;
    for folder in folders.map(Result::unwrap).filter(|entry| entry.path().is_dir()) {
        let event = folder.file_name().into_string().unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
            let body = std::fs::read(file.path()).unwrap();
            let name = file.path().display().to_string();
            match translate(&event, &github(), &body).unwrap_or_else(|refusal| panic!("{name}: {refusal:?}"))
            {
                Translated::NothingToSay(why) => {
                    let is_read = READ_EVENTS.contains(&event.as_str());
                    assert_eq!(is_read, why != "this agent does not read the event", "{name}: {why}");
                }
                Translated::Reports(reports) => {
                    assert!(READ_EVENTS.contains(&event.as_str()) && !reports.is_empty(), "{name}");
                    for Report { occurred, event } in reports {
                        let envelope = Envelope::new(agent.clone(), occurred, occurred, None, event);
                        let again = Envelope::from_json(&envelope.to_json().unwrap()).unwrap();
                        assert_eq!(again, envelope, "{name}");
                        reported += 1;
                    }
                }
            }
        }
    }
    println!("{reported} events from {}", webhooks.display());
}

/// Says so past the capture of test output: `tests/run` counts it as skipped, not as passed.
fn say_skipped(missing: &std::path::Path) {
    use std::io::Write as _;
    let (thread, package) = (std::thread::current(), env!("CARGO_PKG_NAME"));
    let test = thread.name().unwrap_or("?");
    let line = format!("skipped: {package} {test}: fixtures absent: {}", missing.display());
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
