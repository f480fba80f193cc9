//! One run of a command-line tool, bounded in time.
//!
//! In: a command. Out: what it printed, or an error that names it. Never waits longer than the bound.

use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// How long one run may take on a busy machine.
pub const RUN_WITHIN_SECS: u64 = 120;

/// Runs the command with nothing on its standard input and returns its standard output.
pub async fn run(command: &mut Command) -> anyhow::Result<String> {
    run_with_input(command, b"").await
}

/// Runs the command with the given standard input and returns its standard output.
pub async fn run_with_input(command: &mut Command, input: &[u8]) -> anyhow::Result<String> {
    let name = format!("{:?}", command.as_std().get_program());
    let output = output_of(command, input).await?;
    if !output.status.success() {
        bail!(
            "run {name} {:?}: {}\n{}{}",
            command.as_std().get_args().collect::<Vec<_>>(),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
    }
    String::from_utf8(output.stdout).context("read output")
}

/// Runs the command with the given standard input and returns what it printed and how it ended.
pub async fn output_of(command: &mut Command, input: &[u8]) -> anyhow::Result<Output> {
    let run = format!("{:?}", command.as_std());
    waited_for(command, input).await.with_context(|| format!("run {run}"))
}

async fn waited_for(command: &mut Command, input: &[u8]) -> anyhow::Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdin = child.stdin.take();
    let fed = async {
        if let Some(mut stdin) = stdin {
            // A tool that ends without reading everything says so by its exit status.
            let _ = stdin.write_all(input).await;
        }
    };
    let finished = async { tokio::join!(fed, child.wait_with_output()).1 };
    let output = tokio::time::timeout(Duration::from_secs(RUN_WITHIN_SECS), finished).await;
    output.with_context(|| format!("did not end within {RUN_WITHIN_SECS} s"))?.context("wait")
}
