//! One process of the fleet: `custody …`, started again after it was killed, with the addresses that it told last.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use harness::servers::process::{Plan, Process};
use serde_json::Value;

/// How long a start may take while everything that it needs is there.
const STARTED_WITHIN: Duration = Duration::from_secs(60);
/// A write beyond the limit of `prlimit` fails, as on a full disk, and does not end the process.
const WITHOUT_THE_SIGNAL: &str = r#"trap '' XFSZ; exec "$@""#;

pub(crate) struct Program {
    process: Process,
    /// The length of the log before the last start.
    log_bytes: usize,
    started: Value,
}

impl Program {
    /// Starts it; its log is in the folder.
    pub(crate) fn start(name: &'static str, folder: &Path, arguments: &[&str]) -> Program {
        let plan = Plan::new(name, "sh", folder).args(["-c", WITHOUT_THE_SIGNAL, name]);
        let plan = plan.arg(binary()).args(arguments).args(["--output", "json"]);
        let process = Process::start(plan).unwrap();
        Program { process, log_bytes: 0, started: Value::Null }
    }

    /// Waits until it says where it answers; tells whether it did. False when it ended instead.
    pub(crate) async fn started(&mut self) -> bool {
        let (log, before) = (self.process.log_file(), self.log_bytes);
        let started = || std::future::ready(told(&log, before).is_some());
        let waited = self.process.ready_within(STARTED_WITHIN, started).await;
        if !self.is_running() {
            return false;
        }
        waited.unwrap();
        self.started = told(&log, before).unwrap();
        true
    }

    /// An address that it told: `webhooks`, `api` or `operations`.
    pub(crate) fn address(&self, of: &str) -> &str {
        self.started[of].as_str().unwrap_or("http://127.0.0.1:9")
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Limits the size of files that it writes, in bytes, or no more.
    pub(crate) fn limit_files(&mut self, bytes_max: Option<u64>) {
        if !self.is_running() {
            return;
        }
        let soft = bytes_max.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let mut command = Command::new("prlimit");
        command.arg("--pid").arg(self.process.pid().unwrap().to_string());
        let status = command.arg(format!("--fsize={soft}:unlimited")).status().unwrap();
        assert!(status.success() || !self.is_running(), "prlimit: {status}");
    }

    pub(crate) async fn stop(&mut self) {
        self.process.stop().await.unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.exit_status().unwrap().is_none()
    }

    pub(crate) fn start_again(&mut self) {
        self.log_bytes = fs::read(self.process.log_file()).unwrap_or_default().len();
        self.process.start_again().unwrap();
    }
}

fn told(log: &Path, before: usize) -> Option<Value> {
    let log = fs::read(log).ok()?;
    let text = String::from_utf8_lossy(log.get(before..)?).into_owned();
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    lines.filter_map(|line| serde_json::from_str::<Value>(line).ok()).find(|line| line["event"] == "started")
}

/// Cargo puts the program beside the folder of the test programs; `tests/run` builds it first.
pub(crate) fn binary() -> PathBuf {
    let this = std::env::current_exe().expect("this program has a path");
    let folder = this.parent().and_then(Path::parent).expect("it lies in a folder of cargo's");
    let binary = folder.join("custody");
    assert!(binary.exists(), "{} is not there: cargo build --bin custody", binary.display());
    binary
}
