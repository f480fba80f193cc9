//! The memory of everything in one process while nothing happens.

use std::time::Duration;

use anyhow::ensure;
use harness::custody::Custody;

use crate::load::Load;
use crate::place::Memory;

const SETTLES_WITHIN: Duration = Duration::from_secs(15);

pub(crate) async fn measure() -> anyhow::Result<Memory> {
    let folder = tempfile::tempdir()?;
    Load::new("idle", &folder.path().join("contracts"), false).await?;
    let settings = "[log]\nformat = \"json\"\nfilter = \"warn\"\n[intake]\nlisten = \"127.0.0.1:0\"\n\
                    [operations]\nlisten = \"127.0.0.1:0\"\n[api]\nlisten = \"127.0.0.1:0\"\n\
                    [correlator]\ncontracts = \"contracts\"\n\
                    [[registry]]\nhost = \"registry.example\"\nurl = \"http://127.0.0.1:9\"\n\
                    repositories = [\"acme/**\"]\nnotification_token = \"a-token-of-the-registry\"\npoll_interval = \"0s\"\n";
    std::fs::write(folder.path().join("custody.toml"), settings)?;
    let arguments = ["up", "--config", "custody.toml", "--data", "data"];
    let mut up = Custody::start("up", folder.path(), &arguments)?;
    ensure!(up.started().await?, "custody up ended: {}", up.process().log_tail());
    tokio::time::sleep(SETTLES_WITHIN).await;
    let memory = Memory::of(up.process().pid()?)?;
    up.stop().await?;
    Ok(memory)
}
