#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bus_schema::source::{COMMIT_PATHS_MAX, ChangeMerged, CommitPushed, ReviewState, SourceTagMoved};
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
    let refusal = translate(event, &github(), body.to_string().as_bytes()).unwrap_err();
    fleet_runtime::error_chain(&refusal)
}

fn id(digit: char) -> String {
    digit.to_string().repeat(40)
}

fn push(git_ref: &str, before: &str, after: &str) -> Value {
    json!({
        "ref": git_ref, "before": before, "after": after,
        "created": false, "deleted": false, "forced": false,
        "commits": [
            { "id": id('b'), "timestamp": "2026-01-01T09:00:00Z",
              "author": { "name": "Ann", "email": "a@acme.example", "username": "ann" },
              "committer": { "name": "GitHub", "email": "noreply@github.com", "username": "web-flow" },
              "added": ["src/new.rs"], "modified": [], "removed": [] },
            { "id": after, "timestamp": "2026-01-01T10:00:00+01:00",
              "author": { "name": "Bob", "email": "b@acme.example" },
              "added": [], "modified": [".github/workflows/release.yml", "README.md"], "removed": [] },
        ],
        "head_commit": { "id": after, "timestamp": "2026-01-01T09:00:00Z", "added": [], "modified": [], "removed": [] },
        "repository": { "id": 42, "name": "api", "owner": { "login": "acme", "id": 7 },
                        "html_url": "https://github.com/acme/api", "pushed_at": 1_767_261_600 },
        "pusher": { "name": "bob", "email": "b@acme.example" },
        "sender": { "login": "bob", "id": 11, "type": "User" },
    })
}

fn pushed(events: &[Event]) -> &CommitPushed {
    match &events[0] {
        Event::CommitPushed(pushed) => pushed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_push_lists_its_commits_oldest_first_and_says_which_workflows_changed() {
    let events = check("push", &push("refs/heads/main", &id('a'), &id('c')));
    let pushed = pushed(&events);
    assert_eq!(pushed.repository.id.as_ref().unwrap().as_str(), "42");
    assert_eq!(pushed.pusher.as_ref().unwrap().id.as_ref().unwrap().as_str(), "11");
    assert_eq!(pushed.pushed_at.to_string(), "2026-01-01T10:00:00Z");
    assert_eq!(pushed.commits[0].paths, Some(vec!["src/new.rs".to_owned()]));
    assert_eq!(pushed.commits[0].author.as_ref().unwrap().name, "ann");
    assert_eq!(pushed.commits[1].id.as_str(), id('c'));
    assert!(!pushed.commits_cut && !pushed.forced);
    let Event::WorkflowChanged(changed) = &events[1] else { panic!("{events:?}") };
    assert_eq!(changed.paths, [".github/workflows/release.yml"]);
    assert_eq!(changed.commit.as_str(), id('c'));
    assert_eq!(events.len(), 2);
}

#[test]
fn the_same_body_gives_the_same_event_and_a_move_back_another_one() {
    let agent: AgentId = "source-github".parse().unwrap();
    let event_id = |body: &Value| {
        let event = check("push", body).remove(0);
        let at = "2026-01-01T10:00:00Z".parse().unwrap();
        Envelope::new(agent.clone(), at, at, None, event).id
    };
    let first = push("refs/heads/main", &id('a'), &id('c'));
    let back = push("refs/heads/main", &id('c'), &id('a'));
    assert_eq!(event_id(&first), event_id(&first.clone()));
    assert_ne!(event_id(&first), event_id(&back));
}

#[test]
fn a_list_that_does_not_reach_the_new_head_is_cut() {
    let mut body = push("refs/heads/main", &id('a'), &id('c'));
    body["commits"].as_array_mut().unwrap().pop();
    assert!(pushed(&check("push", &body)).commits_cut);
    body["commits"] = json!([]);
    assert!(pushed(&check("push", &body)).commits_cut);
    body["forced"] = json!(true);
    assert!(!pushed(&check("push", &body)).commits_cut);
    let many: Vec<Value> = (1..=2048).map(|n| json!({ "id": format!("{n:040x}") })).collect();
    body["commits"] = json!(many);
    body["after"] = json!(format!("{:040x}", 2048));
    assert!(pushed(&check("push", &body)).commits_cut);
}

#[test]
fn a_changed_workflow_is_said_however_many_other_files_a_commit_changes() {
    let mut body = push("refs/heads/main", &id('a'), &id('c'));
    let others: Vec<String> = (0..COMMIT_PATHS_MAX).map(|n| format!("src/{n}.rs")).collect();
    body["commits"][1]["added"] = json!(others);
    let changed = |body: &Value| match check("push", body).as_slice() {
        [Event::CommitPushed(pushed), Event::WorkflowChanged(changed)] => {
            (pushed.commits[1].paths_cut, changed.paths.clone())
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(changed(&body), (true, vec![".github/workflows/release.yml".to_owned()]));
    // Longer than any file system takes, and more than one message holds.
    let long = "x".repeat(4000);
    let actions: Vec<String> = (0..1000).map(|n| format!(".github/actions/{n}/{long}")).collect();
    body["commits"][1]["added"] = json!(actions);
    let (_, paths) = changed(&body);
    assert!(!paths.is_empty() && serde_json::to_vec(&paths).unwrap().len() < 256 * 1024, "{}", paths.len());
}

#[test]
fn a_commit_whose_files_are_not_told_may_have_changed_a_workflow() {
    let mut body = push("refs/heads/main", &id('a'), &id('c'));
    body["commits"][0].as_object_mut().unwrap().remove("removed");
    let events = check("push", &body);
    let [_, Event::WorkflowChanged(unknown), Event::WorkflowChanged(known)] = &events[..] else {
        panic!("{events:?}")
    };
    assert!(unknown.paths.is_empty() && !known.paths.is_empty());
}

#[test]
fn a_commit_without_any_path_touches_everything() {
    let mut body = push("refs/heads/main", &id('a'), &id('c'));
    body["commits"][1]["modified"] = json!([]);
    body["commits"][0].as_object_mut().unwrap().remove("removed");
    let events = check("push", &body);
    assert!(pushed(&events).commits.iter().all(|commit| commit.paths.is_none()), "{events:?}");
}

#[test]
fn a_created_and_a_deleted_branch_have_one_end() {
    let mut created = push("refs/heads/side", &id('0'), &id('c'));
    created["created"] = json!(true);
    assert_eq!(pushed(&check("push", &created)).before, None);
    let mut deleted = push("refs/heads/side", &id('a'), &id('0'));
    deleted["deleted"] = json!(true);
    deleted["commits"] = json!([]);
    deleted["head_commit"] = Value::Null;
    let events = check("push", &deleted);
    assert_eq!((pushed(&events).after.as_ref(), pushed(&events).commits_cut), (None, false));
}

#[test]
fn an_annotated_tags_commit_is_the_head_commits() {
    let mut body = push("refs/tags/v1", &id('0'), &id('d'));
    body["created"] = json!(true);
    body["head_commit"]["id"] = json!(id('c'));
    body["commits"] = json!([]);
    let events = check("push", &body);
    let [Event::SourceTagMoved(SourceTagMoved { before, after, commit, .. })] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(before, &None);
    assert_eq!(after.as_ref().unwrap().as_str(), id('d'));
    assert_eq!(commit.as_ref().unwrap().as_str(), id('c'));
}

#[test]
fn the_time_of_a_push_is_the_bodys_in_either_form() {
    let at = |change: &dyn Fn(&mut Value)| {
        let mut body = push("refs/heads/main", &id('a'), &id('c'));
        change(&mut body);
        pushed(&check("push", &body)).pushed_at.to_string()
    };
    assert_eq!(
        at(&|body| body["repository"]["pushed_at"] = json!("2026-02-03T04:05:06Z")),
        "2026-02-03T04:05:06Z"
    );
    assert_eq!(at(&|body| body["repository"]["pushed_at"] = Value::Null), "2026-01-01T09:00:00Z");
    let mut timeless = push("refs/heads/main", &id('a'), &id('c'));
    timeless["repository"]["pushed_at"] = Value::Null;
    timeless["head_commit"] = Value::Null;
    assert!(refuse("push", &timeless).contains("repository.pushed_at is missing"));
}

#[test]
fn a_body_that_contradicts_itself_is_refused() {
    let mut both_zero = push("refs/heads/main", &id('0'), &id('0'));
    assert!(refuse("push", &both_zero).contains("both are zero"));
    both_zero["after"] = json!("c0ffee");
    assert!(refuse("push", &both_zero).contains("after is refused"));
    let mut created = push("refs/heads/main", &id('a'), &id('c'));
    created["created"] = json!(true);
    assert!(refuse("push", &created).contains("created or deleted"));
    assert!(refuse("push", &push("main", &id('a'), &id('c'))).contains("ref is refused"));
    assert!(refuse("push", &json!({})).contains("the body of push cannot be read"));
}

#[test]
fn refs_that_are_neither_branch_nor_tag_say_nothing() {
    assert!(check("push", &push("refs/notes/commits", &id('a'), &id('c'))).is_empty());
}

fn pull(action: &str) -> Value {
    json!({
        "action": action,
        "number": 5,
        "pull_request": {
            "number": 5, "merged": true, "merged_at": "2026-01-01T10:00:00Z", "merge_commit_sha": id('c'),
            "head": { "ref": "fix", "sha": id('b'), "repo": { "id": 99, "name": "api", "owner": { "login": "eve", "id": 13 } } },
            "base": { "ref": "main", "sha": id('a'), "repo": { "id": 42, "name": "api", "owner": { "login": "acme", "id": 7 } } },
            "user": { "login": "eve", "id": 13, "type": "User" },
            "merged_by": { "login": "ann", "id": 10, "type": "User" },
            "commits": 3, "updated_at": "2026-01-01T10:00:01Z",
        },
        "repository": { "id": 42, "name": "api", "owner": { "login": "acme", "id": 7 } },
    })
}

#[test]
fn a_merged_pull_request_is_a_merged_change() {
    let events = check("pull_request", &pull("closed"));
    let [Event::ChangeMerged(merged)] = &events[..] else { panic!("{events:?}") };
    let ChangeMerged { number, base, commit_count, looked_up, head_repository, last_pusher, .. } = merged;
    assert_eq!((*number, base.as_str(), *commit_count, *looked_up), (5, "refs/heads/main", 3, false));
    assert_eq!(head_repository.as_ref().unwrap().path(), "github.com/eve/api");
    assert_eq!(last_pusher, &None);
}

#[test]
fn a_pull_request_that_is_not_merged_says_nothing_and_an_unknown_action_is_refused() {
    let mut unmerged = pull("closed");
    unmerged["pull_request"]["merged"] = json!(false);
    assert!(check("pull_request", &unmerged).is_empty());
    assert!(check("pull_request", &pull("synchronize")).is_empty());
    let refusal = refuse("pull_request", &pull("exploded\u{1b}[2J"));
    assert_eq!(refusal, "the action \"exploded[2J\" of pull_request is unknown");
}

#[test]
fn a_review_without_a_look_up_has_no_permission() {
    let body = json!({
        "action": "submitted",
        "review": { "id": 77, "user": { "login": "ann", "id": 10, "type": "User" }, "state": "APPROVED",
                    "commit_id": id('b'), "submitted_at": "2026-01-01T09:30:00Z" },
        "pull_request": { "number": 5 },
        "repository": { "id": 42, "name": "api", "owner": { "login": "acme", "id": 7 } },
    });
    let events = check("pull_request_review", &body);
    let [Event::ChangeReviewed(review)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((review.state.clone(), review.permission.clone()), (ReviewState::Approved, None));
    assert_eq!(review.head.as_ref().unwrap().as_str(), id('b'));
    let mut unknown = body.clone();
    unknown["action"] = json!("exploded");
    assert!(refuse("pull_request_review", &unknown).contains("is unknown"));
}

#[test]
fn a_dismissal_is_one_whatever_state_it_comes_with() {
    for state in ["dismissed", "approved", "changes_requested"] {
        let body = json!({
            "action": "dismissed",
            "review": { "id": 77, "user": { "login": "ann", "id": 10, "type": "User" }, "state": state,
                        "commit_id": id('b'), "submitted_at": "2026-01-01T09:30:00Z" },
            "pull_request": { "number": 5 },
            "repository": { "id": 42, "name": "api", "owner": { "login": "acme", "id": 7 } },
        });
        let events = check("pull_request_review", &body);
        let [Event::ChangeReviewed(review)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(review.state, ReviewState::Dismissed, "{state}");
    }
}

#[test]
fn a_body_that_lacks_any_part_is_translated_or_refused() {
    let mut refused = 0;
    for (event, body) in [
        ("push", push("refs/heads/main", &id('a'), &id('c'))),
        ("push", push("refs/tags/v1", &id('a'), &id('c'))),
        ("pull_request", pull("closed")),
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
    let agent: AgentId = "source-github".parse().unwrap();
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
