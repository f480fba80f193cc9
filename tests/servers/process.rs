//! The leash: what a test starts never outlives it, and a server that dies is not waited for.

use std::time::{Duration, Instant};

use harness::servers::process::{Plan, Process};
use tempfile::tempdir;

fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn dropping_a_process_kills_the_program_itself() {
    let folder = tempdir().unwrap();
    let process = Process::start(Plan::new("sleeper", "sleep", folder.path()).arg("600")).unwrap();
    let pid = process.pid().unwrap();
    assert!(is_alive(pid));
    drop(process);
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn waiting_ends_when_the_process_does_and_shows_its_log() {
    let folder = tempdir().unwrap();
    let plan = Plan::new("failing", "sh", folder.path()).args(["-c", "echo flag not understood >&2; exit 3"]);
    let started = Instant::now();
    let error = Process::start(plan).unwrap().ready(|| async { false }).await.unwrap_err().to_string();
    assert!(error.contains("flag not understood"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn waiting_ends_at_its_deadline() {
    let folder = tempdir().unwrap();
    let mut process = Process::start(Plan::new("deaf", "sleep", folder.path()).arg("600")).unwrap();
    let error = process.ready_within(Duration::from_millis(200), || async { false }).await.unwrap_err();
    assert!(error.to_string().contains("not ready within"), "{error}");
}

#[tokio::test]
async fn a_stopped_process_can_be_started_again() {
    let folder = tempdir().unwrap();
    let mut process = Process::start(Plan::new("sleeper", "sleep", folder.path()).arg("600")).unwrap();
    let first = process.pid().unwrap();
    process.stop().await.unwrap();
    process.start_again().unwrap();
    assert_ne!(process.pid().unwrap(), first);
}
