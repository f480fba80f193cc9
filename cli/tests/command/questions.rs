//! Questions after a play: of the data folder, and of a process that runs.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::play::play;
use crate::{custody, err, out, run};

const GOOD: &str = "registry.acme.example/acme/payments-api:v1.0.0";

#[test]
fn a_data_folder_answers_when_nothing_runs() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    play(folder.path(), &data, &[]);
    let data = data.to_str().unwrap();
    let ask = |arguments: &[&str]| run(folder.path(), &[arguments, &["--data", data]].concat());

    let trace = ask(&["trace", GOOD]);
    assert_eq!(trace.status.code(), Some(0), "{}", err(&trace));
    let text = out(&trace);
    for expected in ["trusted", "● source", "approved by bob", "test-1/payments-api/Pod/api-1"] {
        assert!(text.contains(expected), "no {expected:?} in:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "colour without a terminal");

    let broken = ask(&["trace", "registry.acme.example/acme/invoice-mailer:v2"]);
    assert_eq!(broken.status.code(), Some(1));
    let text = out(&broken);
    for expected in ["untrusted", "✗ provenance", "wrong subject", "expected ", "found ", "broken-provenance"]
    {
        assert!(text.contains(expected), "no {expected:?} in:\n{text}");
    }

    let listed: Value = serde_json::from_str(&out(&ask(&["trace", GOOD, "--output", "json"]))).unwrap();
    let digest = listed["digest"].as_str().unwrap();
    for start in [&digest[..15], &digest[..40], &format!("{}…", &digest[..19])] {
        let short = ask(&["trace", start]);
        assert_eq!(out(&short).lines().next(), out(&ask(&["trace", digest])).lines().next(), "{start}");
        assert_eq!(short.status.code(), Some(0), "{start}: {}", err(&short));
        assert!(out(&ask(&["where", start])).contains("api-1"), "{start}");
    }
    for (start, said) in [(&digest[..14], "hex digits"), ("sha256:00000000", "begins with sha256:00000000")] {
        let refused = ask(&["where", start]);
        assert_eq!(refused.status.code(), Some(2), "{start}");
        assert!(err(&refused).contains(said), "{start}: {}", err(&refused));
    }

    let config = listed["contains"][0].as_str().unwrap();
    let part = ask(&["trace", config]);
    assert_eq!(part.status.code(), Some(1), "{}", err(&part));
    let said = format!("no verdict: it is the config of {digest}");
    assert!(out(&part).contains(&said), "no {said:?} in:\n{}", out(&part));

    let places = ask(&["where", GOOD, "--output", "json"]);
    let places: Value = serde_json::from_str(&out(&places)).unwrap();
    assert_eq!(places["places"][0]["name"], "api-1");

    let cases = ask(&["cases"]);
    assert_eq!(cases.status.code(), Some(1));
    assert!(out(&cases).contains("out-of-pipeline-deploy"));
    let listed: Value = serde_json::from_str(&out(&ask(&["cases", "--all", "--output", "json"]))).unwrap();
    let id = listed["cases"][0]["id"].as_str().unwrap();
    let one = ask(&["cases", &id[..14]]);
    assert!(out(&one).contains("runbook"), "{}", out(&one));
    assert_eq!(ask(&["cases", "case-none"]).status.code(), Some(2));

    assert_eq!(ask(&["deadletter", "list"]).status.code(), Some(0));
    for command in ["show", "replay"] {
        let missing = ask(&["deadletter", command, "99"]);
        assert_eq!(missing.status.code(), Some(2), "{command}: {}", out(&missing));
        assert!(err(&missing).contains("there is no dead letter 99"), "{command}: {}", err(&missing));
    }
    let baseline = ask(&["policy", "baseline", "--owner", "a", "--reason", "b", "--control", "c"]);
    assert_eq!(baseline.status.code(), Some(0), "{}", err(&baseline));
    let unknown = ask(&["trace", "registry.acme.example/acme/never-seen:v1"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", out(&unknown));
}

#[test]
fn letters_on_servers_are_not_looked_for_in_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let list = || run(folder.path(), &["deadletter", "list", "--data", data.to_str().unwrap()]);
    for part in ["correlator", "agents/registry"] {
        fs::create_dir_all(data.join(part)).unwrap();
        let output = list();
        assert_eq!(output.status.code(), Some(3), "{}", out(&output));
        assert!(err(&output).contains("NATS servers"), "{}", err(&output));
        assert!(!data.join("bus").exists(), "a bus was made where none was");
        fs::remove_dir_all(&data).unwrap();
    }
    play(folder.path(), &data, &[]);
    assert_eq!(list().status.code(), Some(0));
    fs::write(data.join("last-bus.json"), "{\"format\": 1, \"bus\": \"servers\"}").unwrap();
    let output = list();
    assert_eq!(output.status.code(), Some(3), "an old bus answered: {}", out(&output));
}

#[test]
fn a_running_process_is_asked_and_keeps_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let mut child = custody(folder.path())
        .args(["up", "--sample", "--data", data])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    wait_for(&mut lines, "Everything is judged");
    let child = Running(child);

    let trace = run(folder.path(), &["trace", GOOD, "--data", data]);
    assert_eq!(trace.status.code(), Some(0), "{}{}", out(&trace), err(&trace));
    let verified = run(folder.path(), &["log", "verify", "--data", data]);
    assert_eq!(verified.status.code(), Some(0), "{}{}", out(&verified), err(&verified));
    let doctor = run(folder.path(), &["doctor", "--data", data]);
    assert!(out(&doctor).contains("runs and answers"), "{}", out(&doctor));
    for command in ["show", "replay"] {
        let missing = run(folder.path(), &["deadletter", command, "99", "--data", data]);
        assert_eq!(missing.status.code(), Some(2), "{command}: {}", out(&missing));
    }

    let second = run(folder.path(), &["up", "--sample", "--once", "--data", data]);
    assert_eq!(second.status.code(), Some(3), "{}", err(&second));
    assert!(err(&second).contains("in use"), "{}", err(&second));
    let after = run(folder.path(), &["trace", GOOD, "--data", data]);
    assert_eq!(after.status.code(), Some(0), "the first went on: {}{}", out(&after), err(&after));
    assert_eq!(out(&after), out(&trace));
    let doctor = run(folder.path(), &["doctor", "--data", data]);
    assert!(out(&doctor).contains("runs and answers"), "{}", out(&doctor));
    drop(child);
}

fn wait_for(lines: &mut impl Iterator<Item = std::io::Result<String>>, text: &str) {
    for line in lines {
        if line.unwrap().contains(text) {
            return;
        }
    }
    panic!("the process ended without saying {text:?}");
}

/// Ends the process also when an assertion fails.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Starts a process that says in its first line, as JSON, how it began.
    pub(crate) fn start(command: &mut Command) -> (Running, Value) {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut running = Running(child);
        let mut line = String::new();
        BufReader::new(running.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let started = serde_json::from_str(&line).unwrap();
        (running, started)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
