//! The recording: what it must come to, that kills change nothing, and that changed evidence is refused by name.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{custody, err, out, run};

/// The time that the issue of a recording may take.
const TIME_MAX: Duration = Duration::from_secs(60);
const KILLS: u64 = 4;

/// What a play came to, without times.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Came {
    pub(crate) verdicts: BTreeSet<String>,
    pub(crate) cases: BTreeSet<String>,
}

/// Plays to the end and reads the last line.
pub(crate) fn play(folder: &Path, data: &Path, more: &[&str]) -> (Came, Value) {
    let data = data.to_str().unwrap();
    let mut arguments = vec!["up", "--sample", "--once", "--output", "json", "--data", data];
    arguments.extend(more);
    let began = Instant::now();
    let output = run(folder, &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(began.elapsed() < TIME_MAX, "it took {:?}", began.elapsed());
    let last: Value = serde_json::from_str(out(&output).lines().last().unwrap()).unwrap();
    (came(&last), last)
}

fn came(report: &Value) -> Came {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let verdicts = report["verdicts"].as_array().unwrap().iter().map(|verdict| {
        let links = verdict["links"].as_array().unwrap().iter();
        let links: Vec<String> =
            links.map(|link| format!("{} {}", text(&link["kind"]), text(&link["state"]))).collect();
        let [digest, image, state] = ["digest", "image", "verdict"].map(|field| text(&verdict[field]));
        format!("{digest} {image} {state}: {}", links.join(", "))
    });
    let cases = report["cases"].as_array().unwrap().iter().map(|case| {
        let [rule, subject, state] = ["rule", "subject", "state"].map(|field| text(&case[field]));
        format!("{rule} {subject} {state}")
    });
    Came { verdicts: verdicts.collect(), cases: cases.collect() }
}

#[test]
fn the_recording_comes_to_trusted_releases_and_a_case_for_each_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let (came, report) = play(folder.path(), &folder.path().join("data"), &[]);
    let trusted = came.verdicts.iter().filter(|verdict| verdict.contains(" trusted: ")).count();
    assert!(trusted >= 2, "{came:#?}");
    for rule in [
        "out-of-pipeline-deploy",
        "tag-overwritten",
        "broken-provenance",
        "workflow-changed-unreviewed",
        "unreviewed-commit-released",
        "push-outside-ci",
    ] {
        let is_open = |case: &String| case.starts_with(&format!("{rule} ")) && case.ends_with(" open");
        assert!(came.cases.iter().any(is_open), "no open {rule} in {came:#?}");
    }
    assert!(report["verdicts"].as_array().unwrap().iter().all(|verdict| verdict["links"].is_array()));
}

#[test]
fn kills_at_any_moment_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let killed = folder.path().join("killed");
    let (expected, _) = play(folder.path(), &whole, &[]);
    for round in 0..KILLS {
        let mut child = custody(folder.path())
            .args(["up", "--sample", "--once", "--output", "json", "--data", killed.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Spread over the play; where exactly a kill hits is the machine's chance.
        std::thread::sleep(Duration::from_millis(150 + round * 1_700));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let (found, _) = play(folder.path(), &killed, &[]);
    assert_eq!(found, expected);
    let verified = run(folder.path(), &["log", "verify", "--data", killed.to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(0), "{}{}", out(&verified), err(&verified));
}

#[test]
fn evidence_with_flipped_bytes_is_refused_by_name_and_proves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("recording");
    let flipped = copy_with_flipped_evidence(&recording);
    let data = folder.path().join("data");
    let (came, _) = play(folder.path(), &data, &["--recording", recording.to_str().unwrap()]);
    assert!(!came.verdicts.iter().any(|verdict| verdict.contains(" trusted: ")), "{came:#?}");
    let trace = run(
        folder.path(),
        &[
            "trace",
            "registry.acme.example/acme/payments-api:v1.0.0",
            "--output",
            "json",
            "--data",
            data.to_str().unwrap(),
        ],
    );
    let trace: Value = serde_json::from_str(&out(&trace)).unwrap();
    let evidence = trace["evidence"].as_array().unwrap();
    assert!(!evidence.is_empty());
    for one in evidence {
        assert!(flipped.contains(one["id"].as_str().unwrap()), "{one}");
        assert_eq!(one["state"], "refused", "{one}");
        assert!(!one["reason"].as_str().unwrap().is_empty(), "{one}");
    }
}

/// Copies the project's recording with one byte of each signature changed, under the digest of the changed bytes. Answers
/// those digests.
fn copy_with_flipped_evidence(to: &Path) -> BTreeSet<String> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample");
    for part in ["contracts", "blobs"] {
        fs::create_dir_all(to.join(part)).unwrap();
    }
    for entry in fs::read_dir(from.join("contracts")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join("contracts").join(path.file_name().unwrap())).unwrap();
    }
    let mut events = fs::read_to_string(from.join("events.jsonl")).unwrap();
    let mut flipped = BTreeSet::new();
    for entry in fs::read_dir(from.join("blobs")).unwrap() {
        let path = entry.unwrap().path();
        let mut text = fs::read_to_string(&path).unwrap();
        let at = text.find("\"sig\":\"").expect("an envelope's signature") + "\"sig\":\"".len() + 20;
        let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
        text.replace_range(at..=at, other);
        let digest = bus_schema::Digest::sha256_of(text.as_bytes());
        fs::write(to.join("blobs").join(digest.hex()), &text).unwrap();
        events = events.replace(path.file_name().unwrap().to_str().unwrap(), &digest.hex());
        flipped.insert(digest.to_string());
    }
    fs::write(to.join("events.jsonl"), events).unwrap();
    flipped
}
