//! One NATS server with JetStream.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

use super::process::{Plan, Process, answers_ok};
use crate::provision::Tool;

#[derive(Debug, Deserialize)]
struct Ports {
    nats: Vec<String>,
    monitoring: Vec<String>,
}

/// A running server.
#[derive(Debug)]
pub struct Nats {
    /// The process, to stop or kill it.
    pub process: Process,
    url: String,
    monitoring_url: String,
}

impl Nats {
    /// Starts the server with its data in `<folder>/nats`; it chooses its own ports.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("nats");
        let plan = Plan::new("nats", Tool::NatsServer.binary()?, &folder)
            .args(["-a", "127.0.0.1", "-p", "-1", "-m", "-1", "-js", "-sd", "js", "--ports_file_dir"])
            .arg(folder.as_os_str());
        let mut process = Process::start(plan)?;
        process
            .ready(|| {
                let written = read_ports(&folder).is_ok();
                async move { written }
            })
            .await?;
        let ports = read_ports(&folder)?;
        let url = ports.nats.into_iter().next().context("server has no client port")?;
        let monitoring_url = ports.monitoring.into_iter().next().context("server has no monitoring port")?;
        process.ready(|| answers_ok(format!("{monitoring_url}/healthz"))).await?;
        Ok(Self { process, url, monitoring_url })
    }

    /// Where clients connect (`nats://…`).
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where `/healthz`, `/jsz` and `/varz` are, without a slash at its end.
    pub fn monitoring_url(&self) -> &str {
        &self.monitoring_url
    }
}

/// The server names the file after its binary and process, and writes it once it listens.
fn read_ports(folder: &Path) -> anyhow::Result<Ports> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "ports") {
            return serde_json::from_slice(&fs::read(path)?).context("read ports");
        }
    }
    anyhow::bail!("no ports file in {}", folder.display())
}
