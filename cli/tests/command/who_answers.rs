//! A folder is answered for by the process that has it: not by one of another folder, and by none that is gone or hangs.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::fleet::{NOBODY, finding, write_settings};
use crate::json::ask;
use crate::questions::Running;
use crate::{custody, err, out, run};

/// A process on a data folder of its own.
struct Up {
    folder: tempfile::TempDir,
    running: Running,
    started: Value,
}

impl Up {
    fn begin() -> Up {
        let folder = tempfile::tempdir().unwrap();
        write_settings(folder.path(), NOBODY, NOBODY);
        let mut up = custody(folder.path());
        let data = folder.path().join("data");
        let (running, started) =
            Running::start(up.args(["up", "--output", "json", "--data", data.to_str().unwrap()]));
        Up { folder, running, started }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn ask(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        ask(self.folder.path(), &self.data(), arguments)
    }

    fn signal(&self, signal: &str) {
        let number = self.running.0.id().to_string();
        assert!(Command::new("kill").args([signal, &number]).status().unwrap().success());
    }
}

fn note(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("running.json")).unwrap()).unwrap()
}

fn write_note(folder: &Path, note: &Value) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("running.json"), note.to_string()).unwrap();
}

#[test]
fn a_copy_of_a_folder_is_not_answered_for_by_the_process_of_the_first() {
    let up = Up::begin();
    let copy = up.folder.path().join("copy");
    // What is written and gone while it is copied is no matter.
    Command::new("cp").arg("-r").arg(up.data()).arg(&copy).status().unwrap();
    assert_eq!(note(&copy), note(&up.data()));
    let (_, doctor) = ask(up.folder.path(), &copy, &["doctor"]);
    let process = finding(&doctor, "process");
    assert_eq!(process["detail"], "nothing runs on this data folder");
    let fleet = run(up.folder.path(), &["fleet", "--data", copy.to_str().unwrap()]);
    assert_eq!(fleet.status.code(), Some(3), "{}", out(&fleet));
    assert!(err(&fleet).contains("no correlator runs"), "{}", err(&fleet));
    assert_eq!(finding(&up.ask(&["doctor"]).1, "process")["state"], "works");
}

#[test]
fn another_process_at_the_address_is_not_taken_for_the_one_that_has_the_folder() {
    let (first, second) = (Up::begin(), Up::begin());
    let mut noted = note(&first.data());
    noted["api"] = second.started["api"].clone();
    write_note(&first.data(), &noted);
    for question in [&["fleet"][..], &["cases"], &["log", "verify"], &["deadletter", "list"]] {
        let data = first.data();
        let output = run(first.folder.path(), &[question, &["--data", data.to_str().unwrap()]].concat());
        assert_eq!(output.status.code(), Some(3), "{question:?}: {}", out(&output));
        let number = first.running.0.id();
        let said = format!("process {number} has the folder, and another one answers");
        assert!(err(&output).contains(&said), "{question:?}: {}", err(&output));
    }
    let (code, doctor) = first.ask(&["doctor"]);
    assert_eq!((code, &finding(&doctor, "process")["state"]), (Some(1), &json!("fails")));
}

#[test]
fn a_process_that_hangs_has_its_folder_still() {
    let up = Up::begin();
    up.signal("-STOP");
    let (code, doctor) = up.ask(&["doctor"]);
    let process = finding(&doctor, "process").clone();
    let data = up.data();
    let cases = run(up.folder.path(), &["cases", "--data", data.to_str().unwrap()]);
    up.signal("-CONT");
    assert_eq!((code, &process["state"]), (Some(1), &json!("fails")), "{process}");
    assert!(process["detail"].as_str().unwrap().contains("does not answer"), "{process}");
    assert_eq!(cases.status.code(), Some(3), "{}", err(&cases));
    assert!(err(&cases).contains("has the folder, and does not answer"), "{}", err(&cases));
}

#[test]
fn an_agent_is_known_by_its_own_answer() {
    let up = Up::begin();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let own = note(&up.data())["instance"].clone();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let nobody = json!(format!("http://{NOBODY}"));
    for (operations, instance, state, said) in [
        (&up.started["operations"], &own, "", "runs and answers"),
        (&up.started["operations"], &json!("7-1"), "lacks", "another one answers"),
        (&nobody, &own, "lacks", "does no more"),
        (&json!(silent), &own, "fails", "does not answer"),
    ] {
        let noted = json!({ "process": 7, "operations": operations, "instance": instance });
        write_note(&data.join("agents/registry"), &noted);
        let (_, doctor) = ask(folder.path(), &data, &["doctor"]);
        let agent = finding(&doctor, "agent registry");
        assert!(state.is_empty() || agent["state"] == state, "{agent}");
        assert!(agent["detail"].as_str().unwrap().contains(said), "{agent}");
    }
}
