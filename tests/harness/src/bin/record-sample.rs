//! Writes the recording behind `custody up --sample` anew, into `cli/sample` or the folder that is given.

use std::path::PathBuf;

use anyhow::Context;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../cli/sample");
    let folder = std::env::args_os().nth(1).map_or_else(default, PathBuf::from);
    let keys = tempfile::tempdir().context("make a folder for the keys")?;
    let recording = harness::sample::estate(keys.path()).await?;
    recording.write(&folder)?;
    println!("{} events, {} pieces of evidence", recording.events.len(), recording.blobs.len());
    Ok(())
}
