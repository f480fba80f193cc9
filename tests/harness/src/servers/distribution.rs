//! The distribution registry: notifications, users, no referrers API.
//!
//! In: users and notification endpoints. Out: its address. Clients fall back to the tag `sha256-<hex>` for referrers.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::login::Login;
use super::ports::free_port;
use super::process::{Plan, Process, start_on_free_ports};
use crate::http;
use crate::provision::Tool;

/// The lowest that bcrypt allows: each request is checked anew, and these passwords guard nothing.
const BCRYPT_COST: u32 = 4;

/// Where the registry posts its notifications to.
#[derive(Debug, Clone)]
pub struct NotificationEndpoint {
    pub name: String,
    pub url: String,
    /// Sent with each notification; a token goes here.
    pub headers: BTreeMap<String, String>,
}

/// How to run it.
#[derive(Debug, Clone, Default)]
pub struct DistributionPlan {
    /// Everybody who may use it; empty: anybody, without a name.
    pub users: Vec<Login>,
    pub notifications: Vec<NotificationEndpoint>,
}

/// A running registry.
#[derive(Debug)]
pub struct Distribution {
    /// The process, to stop, kill or start it again.
    pub process: Process,
    host: String,
}

impl Distribution {
    /// Starts the registry with its data in `<folder>/distribution`.
    pub async fn start(folder: &Path, plan: &DistributionPlan) -> anyhow::Result<Self> {
        let folder = folder.join("distribution");
        start_on_free_ports(|| Self::start_once(&folder, plan)).await
    }

    async fn start_once(folder: &Path, plan: &DistributionPlan) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let host = format!("127.0.0.1:{}", free_port()?);
        // JSON is YAML.
        fs::write(
            folder.join("config.yml"),
            serde_json::to_vec_pretty(&configuration(folder, &host, plan))?,
        )?;
        fs::write(folder.join("htpasswd"), htpasswd(&plan.users)?)?;
        let process = Plan::new("distribution", Tool::Registry.binary()?, folder)
            .args(["serve", "config.yml"])
            .env("OTEL_TRACES_EXPORTER", "none");
        let mut registry = Self { process: Process::start(process)?, host };
        registry.wait_ready().await?;
        Ok(registry)
    }

    /// Starts it again on the same data and address after it was stopped.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.process.start_again()?;
        self.wait_ready().await
    }

    async fn wait_ready(&mut self) -> anyhow::Result<()> {
        let url = format!("{}/v2/", self.url());
        self.process
            .ready(|| {
                let url = url.clone();
                async move {
                    http::get(url).await.is_ok_and(|answer| matches!(answer.status().as_u16(), 200 | 401))
                }
            })
            .await
    }

    /// Host and port, as in an image reference.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The address without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.host)
    }
}

fn configuration(folder: &Path, host: &str, plan: &DistributionPlan) -> Value {
    let endpoints: Vec<Value> = plan
        .notifications
        .iter()
        .map(|endpoint| {
            let headers: BTreeMap<&str, [&str; 1]> =
                endpoint.headers.iter().map(|(name, value)| (name.as_str(), [value.as_str()])).collect();
            json!({
                "name": endpoint.name,
                "url": endpoint.url,
                "headers": headers,
                "timeout": "1s",
                "threshold": 5,
                "backoff": "200ms",
            })
        })
        .collect();
    let mut configuration = json!({
        "version": 0.1,
        "log": { "level": "info", "accesslog": { "disabled": true } },
        "storage": {
            "filesystem": { "rootdirectory": folder.join("data") },
            "delete": { "enabled": true },
        },
        "http": { "addr": host, "secret": "only-for-tests" },
        "notifications": { "events": { "includereferences": true }, "endpoints": endpoints },
    });
    if !plan.users.is_empty() {
        configuration["auth"] = json!({ "htpasswd": { "realm": "test", "path": folder.join("htpasswd") } });
    }
    configuration
}

fn htpasswd(users: &[Login]) -> anyhow::Result<String> {
    let mut text = String::new();
    for user in users {
        text.push_str(&format!("{}:{}\n", user.name, bcrypt::hash(&user.password, BCRYPT_COST)?));
    }
    Ok(text)
}
