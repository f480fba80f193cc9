//! One process of the fleet: `custody …`, started again after it was killed, with the addresses that it told last.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::provision;
use crate::servers::process::{Plan, Process};

/// How long a start may take while everything that it needs is there.
const STARTED_WITHIN: Duration = Duration::from_secs(60);
/// A write beyond the limit of `prlimit` fails, as on a full disk, and does not end the process.
const WITHOUT_THE_SIGNAL: &str = r#"trap '' XFSZ; exec "$@""#;
/// Where nothing answers.
const NOWHERE: &str = "http://127.0.0.1:9";

/// A process that may be killed.
#[derive(Debug)]
pub struct Custody {
    process: Process,
    /// The length of the log before the last start.
    log_bytes: usize,
    started: Value,
}

impl Custody {
    /// Starts it in the folder, where its log is too.
    pub fn start(name: &'static str, folder: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        Self::start_with(name, folder, arguments, &[])
    }

    /// The same with more variables in its environment.
    pub fn start_with(
        name: &'static str,
        folder: &Path,
        arguments: &[&str],
        environment: &[(&str, &Path)],
    ) -> anyhow::Result<Self> {
        let plan = Plan::new(name, "sh", folder).args(["-c", WITHOUT_THE_SIGNAL, name]);
        let mut plan = plan.arg(provision::program()?).args(arguments).args(["--output", "json"]);
        for (name, value) in environment {
            plan = plan.env(name, value);
        }
        // One of the same name may have written there before.
        let log_bytes = fs::read(plan.log_file()).unwrap_or_default().len();
        Ok(Self { process: Process::start(plan)?, log_bytes, started: Value::Null })
    }

    /// Waits until it says where it answers; tells whether it did. False when it ended instead.
    pub async fn started(&mut self) -> anyhow::Result<bool> {
        self.started_within(STARTED_WITHIN).await
    }

    /// The same with a time of the caller's choice.
    pub async fn started_within(&mut self, limit: Duration) -> anyhow::Result<bool> {
        let (log, before) = (self.process.log_file(), self.log_bytes);
        let started = || std::future::ready(told(&log, before).is_some());
        let waited = self.process.ready_within(limit, started).await;
        if !self.is_running()? {
            return Ok(false);
        }
        waited?;
        self.started = told(&log, before).unwrap_or_default();
        Ok(true)
    }

    /// An address that it told: `webhooks`, `api` or `operations`.
    pub fn address(&self, of: &str) -> &str {
        self.started[of].as_str().unwrap_or(NOWHERE)
    }

    /// The process below.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Kills it at once.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Limits the size of files that it writes, in bytes, or no more.
    pub fn limit_files(&mut self, bytes_max: Option<u64>) -> anyhow::Result<()> {
        self.process.limit_files(bytes_max)
    }

    /// Asks it to end and waits until it has.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.process.stop().await.map(|_| ())
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.process.exit_status()?.is_none())
    }

    /// Starts it after it ended.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.log_bytes = fs::read(self.process.log_file()).unwrap_or_default().len();
        self.process.start_again()
    }
}

fn told(log: &Path, before: usize) -> Option<Value> {
    let log = fs::read(log).ok()?;
    let text = String::from_utf8_lossy(log.get(before..)?).into_owned();
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    lines.filter_map(|line| serde_json::from_str::<Value>(line).ok()).find(|line| line["event"] == "started")
}
