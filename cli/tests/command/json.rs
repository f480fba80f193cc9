//! What scripts read: one object with stable fields from every command that can be asked for one.

use std::fs;
use std::path::Path;

use bus_schema::Envelope;
use serde_json::{Value, json};

use crate::play::{copy_recording, play};
use crate::{err, out, run};

/// Runs a command on a data folder; its exit code and its one object.
pub(crate) fn ask(folder: &Path, data: &Path, arguments: &[&str]) -> (Option<i32>, Value) {
    let more = ["--output", "json", "--data", data.to_str().unwrap()];
    let output = run(folder, &[arguments, &more].concat());
    let text = out(&output);
    assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}{}", err(&output));
    (output.status.code(), serde_json::from_str(&text).unwrap())
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn letters_of_a_stranger_are_listed_shown_and_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("recording");
    copy_recording(&recording);
    add_a_stranger(&recording.join("events.jsonl"));
    let data = folder.path().join("data");
    play(folder.path(), &data, &["--recording", recording.to_str().unwrap()]);
    let ask = |arguments: &[&str]| ask(folder.path(), &data, arguments);

    let (code, listed) = ask(&["deadletter", "list"]);
    assert_eq!((code, keys(&listed)), (Some(0), vec!["letters"]));
    let letter = &listed["letters"][0];
    assert_eq!(listed["letters"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(letter["replayable"], true, "{letter}");
    assert!(letter["reason"].as_str().unwrap().starts_with("unknown_agent"), "{letter}");
    let number = letter["number"].as_u64().unwrap().to_string();
    let (code, shown) = ask(&["deadletter", "show", &number]);
    assert_eq!(code, Some(0));
    assert_eq!(shown["summary"], *letter);
    assert!(!shown["payloadBase64"].as_str().unwrap().is_empty(), "{shown}");
    let (code, replayed) = ask(&["deadletter", "replay", &number]);
    assert_eq!((code, &replayed["done"]), (Some(0), &json!(true)), "{replayed}");
    assert_eq!(ask(&["deadletter", "list"]).1, json!({ "letters": [] }));
}

/// One more event, of an agent that the recording's settings do not know.
fn add_a_stranger(events: &Path) {
    let mut text = fs::read_to_string(events).unwrap();
    let line = text.lines().find(|line| line.contains("dev.custody.registry.image.pushed.")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    let known = Envelope::from_json(line["envelope"].to_string().as_bytes()).unwrap();
    let stranger = Envelope::new("stranger".parse().unwrap(), known.occurred, known.seen, None, known.event);
    let envelope: Value = serde_json::from_slice(&stranger.to_json().unwrap()).unwrap();
    text.push_str(&json!({ "offsetMillis": line["offsetMillis"], "envelope": envelope }).to_string());
    text.push('\n');
    fs::write(events, text).unwrap();
}

#[test]
fn a_log_that_was_changed_is_a_finding_and_every_answer_is_one_object() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    play(folder.path(), &data, &[]);
    let ask = |arguments: &[&str]| ask(folder.path(), &data, arguments);

    let said = ["--owner", "a", "--reason", "b", "--control", "c"];
    let (code, baseline) = ask(&[&["policy", "baseline"], &said[..]].concat());
    assert_eq!((code, baseline), (Some(0), json!({ "exceptions": [] })));
    let (_, cases) = ask(&["cases", "--all"]);
    let id = cases["cases"][0]["id"].as_str().unwrap();
    let without = id.strip_prefix("case-").unwrap();
    for typed in [id, &id[..13], without, &without[..8]] {
        let (_, one) = ask(&["cases", typed]);
        assert_eq!(one["case"]["id"], id, "{typed}");
        assert!(one["covers"].is_array() && one["delivered"].is_boolean(), "{one}");
    }

    let (code, verified) = ask(&["log", "verify"]);
    assert_eq!((code, &verified["verified"]), (Some(0), &json!(true)), "{verified}");
    assert!(verified["entries"].as_u64().unwrap() > 20 && verified["signedHeads"].is_u64(), "{verified}");
    change_a_byte(&data.join("correlator/log"));
    let (code, verified) = ask(&["log", "verify"]);
    assert_eq!((code, &verified["verified"]), (Some(1), &json!(false)), "{verified}");
    assert!(verified["problem"].as_str().is_some_and(|problem| !problem.is_empty()), "{verified}");
}

/// Changes one letter in the middle of the log's one segment.
fn change_a_byte(log: &Path) {
    let paths = fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path());
    let segment =
        paths.into_iter().find(|path| path.extension().is_some_and(|end| end == "segment")).unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();
}
