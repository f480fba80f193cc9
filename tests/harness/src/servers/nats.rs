//! NATS servers with JetStream: one alone, or three as a cluster.
//!
//! In: a folder, and the users of the cluster's accounts. Out: running servers whose addresses stay the same when they are
//! stopped, killed and started again.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value;

use super::login::Login;
use super::ports::{free_port, free_ports};
use super::process::{Plan, Process, READY_WITHIN_SECS, answers_ok, start_on_free_ports};
use crate::http;
use crate::provision::Tool;

/// Nodes of a cluster.
pub const NODES: usize = 3;
/// The system account's user, which only the servers' own tools use.
const SYSTEM_USER: &str = "system";

#[derive(Debug, Deserialize)]
struct Ports {
    monitoring: Vec<String>,
}

/// A running server.
#[derive(Debug)]
pub struct Nats {
    /// The process, to stop or kill it.
    pub process: Process,
    folder: PathBuf,
    url: String,
    monitoring_url: String,
}

impl Nats {
    /// Starts a server of its own with its data in `<folder>/nats`.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        Self::start_with(folder, "").await
    }

    /// The same with more lines of configuration: accounts, encryption.
    pub async fn start_with(folder: &Path, more: &str) -> anyhow::Result<Self> {
        start_on_free_ports(async || {
            let port = free_port()?;
            let mut server = Self::begin(&folder.join("nats"), port, more)?;
            server.ready().await?;
            Ok(server)
        })
        .await
    }

    /// Starts a server from the `nats-server.conf` that lies in the folder, on a free port of loopback.
    pub async fn start_file(folder: &Path) -> anyhow::Result<Self> {
        start_on_free_ports(async || {
            let port = free_port()?;
            remove_ports(folder)?;
            let plan = Plan::new("nats", Tool::NatsServer.binary()?, folder)
                .args(["-c", "nats-server.conf", "-a", "127.0.0.1", "-p"])
                .arg(port.to_string())
                .args(["-m", "-1", "--ports_file_dir"])
                .arg(folder.as_os_str());
            let (process, url) = (Process::start(plan)?, format!("nats://127.0.0.1:{port}"));
            let mut server =
                Self { process, folder: folder.to_path_buf(), url, monitoring_url: String::new() };
            server.ready().await?;
            Ok(server)
        })
        .await
    }

    /// Starts the process without waiting for it. `more` is added to the configuration.
    fn begin(folder: &Path, port: u16, more: &str) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        // The largest file store is not the test machine's business: the declared sizes are only reserved.
        let configuration = format!(
            "listen: 127.0.0.1:{port}\nhttp: 127.0.0.1:-1\nmax_payload: 2MB\n\
             jetstream {{ store_dir: js, max_file_store: 10TB }}\n{more}"
        );
        fs::write(folder.join("nats.conf"), configuration)?;
        remove_ports(folder)?;
        let plan = Plan::new("nats", Tool::NatsServer.binary()?, folder)
            .args(["-c", "nats.conf", "--ports_file_dir"])
            .arg(folder.as_os_str());
        let process = Process::start(plan)?;
        let url = format!("nats://127.0.0.1:{port}");
        Ok(Self { process, folder: folder.to_path_buf(), url, monitoring_url: String::new() })
    }

    /// Starts the same server on the same port and data after it was stopped or killed, and waits until it is ready.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        remove_ports(&self.folder)?;
        self.process.start_again()?;
        self.ready().await
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        self.listening().await?;
        let health = format!("{}/healthz", self.monitoring_url);
        self.process.ready(|| answers_ok(health.clone())).await
    }

    /// Waits until the server has told its ports; a node of a cluster is not healthy alone.
    async fn listening(&mut self) -> anyhow::Result<()> {
        let folder = self.folder.clone();
        self.process
            .ready(|| {
                let written = read_ports(&folder).is_ok();
                async move { written }
            })
            .await?;
        let ports = read_ports(&self.folder)?;
        self.monitoring_url = ports.monitoring.into_iter().next().context("server has no monitoring port")?;
        Ok(())
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

/// Three servers that keep copies of each other's streams.
#[derive(Debug)]
pub struct NatsCluster {
    pub nodes: Vec<Nats>,
}

impl NatsCluster {
    /// Starts the nodes with one account per user, named after it; their data is in `<folder>/node-<n>`.
    pub async fn start(folder: &Path, users: &[Login]) -> anyhow::Result<Self> {
        Self::start_with(folder, &accounts(users)).await
    }

    /// The same with accounts of the caller's own; what they include lies in each node's folder.
    pub async fn start_with(folder: &Path, accounts: &str) -> anyhow::Result<Self> {
        start_on_free_ports(async || {
            let ports = free_ports::<{ 2 * NODES }>()?;
            let (client_ports, route_ports) = ports.split_at(NODES);
            let mut nodes = Vec::new();
            for (number, port) in client_ports.iter().enumerate() {
                let more = format!("{}{accounts}", route(number, route_ports));
                nodes.push(Nats::begin(&folder.join(node_name(number)), *port, &more)?);
            }
            let mut cluster = Self { nodes };
            for node in &mut cluster.nodes {
                node.listening().await?;
            }
            cluster.healthy().await?;
            Ok(cluster)
        })
        .await
    }

    /// Where clients connect.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.url.clone()).collect()
    }

    /// Waits until every node is healthy, its streams included.
    pub async fn healthy(&mut self) -> anyhow::Result<()> {
        for node in &mut self.nodes {
            node.ready().await?;
        }
        Ok(())
    }

    /// Which node leads a stream of an account.
    pub async fn leader_of(&self, account: &str, stream: &str) -> anyhow::Result<usize> {
        let deadline = Instant::now() + Duration::from_secs(READY_WITHIN_SECS);
        while Instant::now() < deadline {
            for node in &self.nodes {
                if let Ok(Some(name)) = node.leader_known(account, stream).await {
                    let number = (0..NODES).find(|number| node_name(*number) == name);
                    return number.context("the leader is no node of this cluster");
                }
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        bail!("nobody leads {stream} of {account}")
    }
}

impl Nats {
    async fn leader_known(&self, account: &str, stream: &str) -> anyhow::Result<Option<String>> {
        let url = format!("{}/jsz?acc={account}&streams=true", self.monitoring_url);
        let state: Value = http::get(url).await?.json().await?;
        let accounts = state["account_details"].as_array().cloned().unwrap_or_default();
        let mut streams =
            accounts.iter().flat_map(|one| one["stream_detail"].as_array().into_iter().flatten());
        let found = streams.find(|one| one["name"] == stream);
        let leader = found.and_then(|one| one["cluster"]["leader"].as_str()).unwrap_or_default();
        Ok((!leader.is_empty()).then(|| leader.to_owned()))
    }
}

fn node_name(number: usize) -> String {
    format!("node-{number}")
}

/// Every node names all routes: a node with an empty list does not start.
fn route(number: usize, ports: &[u16]) -> String {
    let routes: Vec<String> = ports.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
    format!(
        "server_name: {}\ncluster {{ name: custody, listen: \"127.0.0.1:{}\", routes: [{}] }}\n",
        node_name(number),
        ports[number],
        routes.join(", ")
    )
}

fn accounts(users: &[Login]) -> String {
    let mut text = String::from("accounts {\n");
    for Login { name, password } in users {
        // Writing into a string does not fail.
        let _ = writeln!(
            text,
            "  {name} {{ jetstream: enabled, users: [{{ user: {name}, password: {password} }}] }}"
        );
    }
    let _ = writeln!(text, "  SYS {{ users: [{{ user: {SYSTEM_USER}, password: {SYSTEM_USER} }}] }}");
    text + "}\nsystem_account: SYS\n"
}

/// The server names the file after its binary and process, and writes it once it listens.
fn read_ports(folder: &Path) -> anyhow::Result<Ports> {
    let path = ports_files(folder)?.into_iter().next();
    let path = path.with_context(|| format!("no ports file in {}", folder.display()))?;
    serde_json::from_slice(&fs::read(path)?).context("read ports")
}

/// A killed server leaves its file behind.
fn remove_ports(folder: &Path) -> anyhow::Result<()> {
    for path in ports_files(folder)? {
        fs::remove_file(path)?;
    }
    Ok(())
}

fn ports_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "ports") {
            found.push(path);
        }
    }
    Ok(found)
}
