//! A child process on a leash.
//!
//! In: a program with its arguments, and a folder for its log. Out: the running process, and its readiness. It is killed
//! when the value is dropped, and also when the test process itself is killed: a small shell between the two waits for its
//! standard input to close, which the kernel does in either case. It never outlives the test.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::http;

/// How long a server may take to become ready on a busy machine.
pub const READY_WITHIN_SECS: u64 = 90;
/// How often a server is started anew because somebody took its port.
pub const START_ATTEMPTS_MAX: usize = 10;
const PROBE_EVERY_MS: u64 = 25;
const PROBE_TIMEOUT_SECS: u64 = 5;
const LOG_TAIL_BYTES: usize = 4096;
const STOP_WITHIN_SECS: u64 = 20;

/// Starts the program, notes its process id, and kills it when standard input closes.
const LEASH: &str = r#"
exec 3<&0 </dev/null
pid_file="$1"; shift
"$@" 3<&- &
server=$!
echo "$server" > "$pid_file.partial" && mv "$pid_file.partial" "$pid_file"
{ read -r _ <&3; kill -KILL "$server" 2>/dev/null; } &
leash=$!
exec 3<&-
wait "$server"
status=$?
kill "$leash" 2>/dev/null
exit "$status"
"#;

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
    folder: PathBuf,
}

impl Plan {
    /// A program that keeps its log, and everything else it writes by a relative path, in the folder (made when absent).
    pub fn new(name: &'static str, program: impl Into<PathBuf>, folder: impl Into<PathBuf>) -> Self {
        let (program, folder) = (program.into(), folder.into());
        Self { name, program, arguments: Vec::new(), environment: BTreeMap::new(), folder }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    pub fn args<T: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join(format!("{}.pid", self.name))
    }

    /// Where its output goes, behind what is there.
    pub fn log_file(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }
}

/// A running child process, killed on drop.
#[derive(Debug)]
pub struct Process {
    plan: Plan,
    running: Option<Child>,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts the program; its output is appended to `<folder>/<name>.log`.
    pub fn start(plan: Plan) -> anyhow::Result<Self> {
        let mut process = Self { plan, running: None, ended: None };
        process.start_again()?;
        Ok(process)
    }

    /// Starts the same program with the same arguments after it was stopped, killed, or ended by itself.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        if self.running.is_some() && self.exit_status()?.is_none() {
            bail!("start {}: it is still running", self.plan.name);
        }
        fs::create_dir_all(&self.plan.folder)?;
        let _ = fs::remove_file(self.plan.pid_file());
        let log = File::options().create(true).append(true).open(self.plan.log_file())?;
        let child = Command::new("sh")
            .arg("-c")
            .arg(LEASH)
            .arg("leash")
            .arg(self.plan.pid_file())
            .arg(&self.plan.program)
            .args(&self.plan.arguments)
            .envs(&self.plan.environment)
            .current_dir(&self.plan.folder)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", self.plan.name))?;
        self.running = Some(child);
        self.ended = None;
        Ok(())
    }

    /// Waits until the probe says yes. Fails, with the end of the log, when the process ends first or the time is over.
    pub async fn ready<F>(&mut self, probe: impl FnMut() -> F) -> anyhow::Result<()>
    where
        F: Future<Output = bool>,
    {
        self.ready_within(Duration::from_secs(READY_WITHIN_SECS), probe).await
    }

    /// The same with a time of the caller's choice.
    pub async fn ready_within<F>(
        &mut self,
        limit: Duration,
        mut probe: impl FnMut() -> F,
    ) -> anyhow::Result<()>
    where
        F: Future<Output = bool>,
    {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.exit_status()? {
                bail!(
                    "{} ended before it was ready ({status}); its log ends:\n{}",
                    self.plan.name,
                    self.log_tail()
                );
            }
            let answer = tokio::time::timeout(Duration::from_secs(PROBE_TIMEOUT_SECS), probe()).await;
            if answer.unwrap_or(false) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!(
                    "{} was not ready within {limit:?}; its log ends:\n{}",
                    self.plan.name,
                    self.log_tail()
                );
            }
            tokio::time::sleep(Duration::from_millis(PROBE_EVERY_MS)).await;
        }
    }

    /// How the process ended, when it has.
    pub fn exit_status(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        if let Some(child) = &mut self.running
            && let Some(status) = child.try_wait()?
        {
            self.running = None;
            self.ended = Some(status);
        }
        Ok(self.ended)
    }

    /// The id of the program itself, not of its leash.
    pub fn pid(&self) -> anyhow::Result<u32> {
        let deadline = Instant::now() + Duration::from_secs(PROBE_TIMEOUT_SECS);
        loop {
            if let Ok(text) = fs::read_to_string(self.plan.pid_file()) {
                return text.trim().parse().context("read process id");
            }
            if Instant::now() >= deadline {
                bail!("{} wrote no process id", self.plan.name);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills the process at once, as a power failure would, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            drop(child.stdin.take());
            self.ended = child.wait().ok();
        }
    }

    /// Sends a signal by its name (`TERM`, `STOP`, `CONT`, …), as a shell does: not every system has a
    /// program for it.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        let pid = self.pid()?.to_string();
        let status = Command::new("sh").args(["-c", r#"kill -"$1" "$2""#, "signal", name, &pid]).status()?;
        if !status.success() {
            bail!("send {name} to {}: {status}", self.plan.name);
        }
        Ok(())
    }

    /// Limits the size of files that it writes, in bytes, or no more. With 0 it writes nothing, and reads go on. What has ended
    /// needs no limit.
    pub fn limit_files(&mut self, bytes_max: Option<u64>) -> anyhow::Result<()> {
        if self.exit_status()?.is_some() {
            return Ok(());
        }
        let soft = bytes_max.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let mut command = Command::new("prlimit");
        command.arg("--pid").arg(self.pid()?.to_string());
        let status = command.arg(format!("--fsize={soft}:unlimited")).status()?;
        if !status.success() && self.exit_status()?.is_none() {
            bail!("limit the files of {}: {status}", self.plan.name);
        }
        Ok(())
    }

    /// Asks the process to end and waits until it has; kills it when it takes too long, which is an error.
    pub async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        if let Some(status) = self.exit_status()? {
            return Ok(status);
        }
        self.signal("TERM")?;
        let deadline = Instant::now() + Duration::from_secs(STOP_WITHIN_SECS);
        while Instant::now() < deadline {
            if let Some(status) = self.exit_status()? {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(PROBE_EVERY_MS)).await;
        }
        self.kill();
        bail!(
            "{} did not stop within {STOP_WITHIN_SECS} s; its log ends:\n{}",
            self.plan.name,
            self.log_tail()
        )
    }

    /// Where everything that the process printed is.
    pub fn log_file(&self) -> PathBuf {
        self.plan.log_file()
    }

    /// The folder that the process runs in.
    pub fn folder(&self) -> &Path {
        &self.plan.folder
    }

    /// The end of what the process printed.
    pub fn log_tail(&self) -> String {
        let log = fs::read(self.plan.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL_BYTES)..]).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a start that picks ports by itself, again on new ports when one of them was taken meanwhile.
pub async fn start_on_free_ports<T, F>(mut start: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let mut attempt = 1;
    loop {
        match start().await {
            Err(error)
                if attempt < START_ATTEMPTS_MAX
                    && format!("{error:#}").contains("address already in use") =>
            {
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

/// Whether a GET of the address is answered with 200.
pub async fn answers_ok(url: String) -> bool {
    http::get(url).await.is_ok_and(|response| response.status() == 200)
}
