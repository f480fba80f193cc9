//! A registry in memory with the referrers API, and faults on demand.
//!
//! In: users, and at any time the faults it shall show. Out: its address, and which requests it answered how.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::login::Login;
use super::process::{Plan, Process};
use crate::http;
use crate::provision::Tool;

/// How to run it.
#[derive(Debug, Clone)]
pub struct RefregPlan {
    /// Everybody who may use it, by basic authentication; empty: anybody, without a name.
    pub users: Vec<Login>,
    /// Whether it serves the referrers API.
    pub referrers: bool,
}

impl Default for RefregPlan {
    fn default() -> Self {
        Self { users: Vec::new(), referrers: true }
    }
}

/// What the registry does instead of answering.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// Answers with an error status.
    Status {
        status: u16,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_seconds: Option<u32>,
    },
    /// Promises the whole body, sends half of it and cuts the connection.
    HalfBody,
    /// Never answers, until the faults are replaced.
    Hang,
}

/// A fault, and which requests it strikes; the first of the list that matches counts.
#[derive(Debug, Clone, Serialize)]
pub struct Fault {
    /// The method; absent: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// A regular expression found anywhere in the request's path.
    pub path: String,
    #[serde(flatten)]
    pub kind: FaultKind,
    /// How often it strikes; absent: always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

impl Fault {
    /// Answers every request whose path matches with a status.
    pub fn status(path: impl Into<String>, status: u16) -> Self {
        Self::new(path, FaultKind::Status { status, retry_after_seconds: None })
    }

    /// Strikes every request whose path matches.
    pub fn new(path: impl Into<String>, kind: FaultKind) -> Self {
        Self { method: None, path: path.into(), kind, times: None }
    }
}

/// A request that the registry answered.
#[derive(Debug, Clone, Deserialize)]
pub struct AnsweredRequest {
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Zero when there was no answer.
    pub status: u16,
    #[serde(default)]
    pub fault: String,
    #[serde(default)]
    pub user: String,
}

#[derive(Debug, Deserialize)]
struct Addresses {
    registry: String,
    control: String,
}

/// A running registry.
#[derive(Debug)]
pub struct Refreg {
    /// The process, to stop or kill it; what it held is then gone.
    pub process: Process,
    addresses: Addresses,
}

impl Refreg {
    /// Starts the registry with its files in `<folder>/refreg`.
    pub async fn start(folder: &Path, plan: &RefregPlan) -> anyhow::Result<Self> {
        let folder = folder.join("refreg");
        fs::create_dir_all(&folder)?;
        let addresses_file = folder.join("addresses.json");
        let mut process = Plan::new("refreg", Tool::Refreg.binary()?, &folder)
            .args(["-addresses", "addresses.json"])
            .arg(format!("-referrers={}", plan.referrers));
        if !plan.users.is_empty() {
            let users: BTreeMap<&str, &str> =
                plan.users.iter().map(|user| (user.name.as_str(), user.password.as_str())).collect();
            fs::write(folder.join("users.json"), serde_json::to_vec(&users)?)?;
            process = process.args(["-users", "users.json"]);
        }
        let mut process = Process::start(process)?;
        let addresses = read_addresses(&mut process, addresses_file).await?;
        Ok(Self { process, addresses: serde_json::from_slice(&addresses)? })
    }

    /// Host and port, as in an image reference.
    pub fn host(&self) -> &str {
        &self.addresses.registry
    }

    /// The address without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.addresses.registry)
    }

    /// Replaces all faults; an empty list heals the registry.
    pub async fn set_faults(&self, faults: &[Fault]) -> anyhow::Result<()> {
        let request = http::client()?.put(self.control("/faults")).json(faults);
        request.send().await?.error_for_status().context("set faults")?;
        Ok(())
    }

    /// The requests since the start or the last `forget_requests`.
    pub async fn requests(&self) -> anyhow::Result<Vec<AnsweredRequest>> {
        http::get(self.control("/requests")).await?.error_for_status()?.json().await.context("read requests")
    }

    /// Forgets the requests.
    pub async fn forget_requests(&self) -> anyhow::Result<()> {
        http::client()?.delete(self.control("/requests")).send().await?.error_for_status()?;
        Ok(())
    }

    fn control(&self, path: &str) -> String {
        format!("http://{}{path}", self.addresses.control)
    }
}

/// Waits for the file that a server of ours writes once it listens.
pub(super) async fn read_addresses(process: &mut Process, file: PathBuf) -> anyhow::Result<Vec<u8>> {
    process
        .ready(|| {
            let written = file.exists();
            async move { written }
        })
        .await?;
    fs::read(file).context("read addresses")
}
