//! etcd: the store below a Kubernetes API server.

use std::path::Path;

use super::ports::free_ports;
use super::process::{Plan, Process, answers_ok, start_on_free_ports};
use crate::provision::Tool;

/// A running etcd with one member.
#[derive(Debug)]
pub struct Etcd {
    /// The process, to stop or kill it.
    pub process: Process,
    url: String,
}

impl Etcd {
    /// Starts etcd with its data in `<folder>/etcd`.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        start_on_free_ports(|| Self::start_once(folder)).await
    }

    async fn start_once(folder: &Path) -> anyhow::Result<Self> {
        let [client, peer] = free_ports()?;
        let url = format!("http://127.0.0.1:{client}");
        let peer_url = format!("http://127.0.0.1:{peer}");
        let plan = Plan::new("etcd", Tool::Etcd.binary()?, folder.join("etcd"))
            .args(["--name", "t", "--data-dir", "data", "--unsafe-no-fsync", "--log-level", "warn"])
            .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
            .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
            .args(["--initial-cluster", &format!("t={peer_url}")]);
        let mut process = Process::start(plan)?;
        process.ready(|| answers_ok(format!("{url}/readyz"))).await?;
        Ok(Self { process, url })
    }

    /// Where clients connect, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }
}
