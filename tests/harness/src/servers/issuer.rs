//! An OpenID issuer on loopback that mints any token it is asked for.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

use super::process::{Plan, Process};
use super::refreg::read_addresses;
use crate::http;
use crate::provision::Tool;

#[derive(Debug, Deserialize)]
struct Addresses {
    issuer: String,
}

/// A running issuer.
#[derive(Debug)]
pub struct OpenIdIssuer {
    /// The process, to stop or kill it.
    pub process: Process,
    url: String,
}

impl OpenIdIssuer {
    /// Starts the issuer with its files in `<folder>/issuer`.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("issuer");
        fs::create_dir_all(&folder)?;
        let plan = Plan::new("issuer", Tool::Keyless.binary()?, &folder).args([
            "issuer",
            "-addresses",
            "addresses.json",
        ]);
        let mut process = Process::start(plan)?;
        let addresses = read_addresses(&mut process, folder.join("addresses.json")).await?;
        let Addresses { issuer } = serde_json::from_slice(&addresses)?;
        Ok(Self { process, url: issuer })
    }

    /// The claim `iss` of its tokens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A token with these claims; issuer, audience `sigstore` and times are filled in where they are absent.
    pub async fn mint(&self, claims: &Value) -> anyhow::Result<String> {
        let request = http::client()?.post(format!("{}/mint", self.url)).json(claims);
        request.send().await?.error_for_status()?.text().await.context("mint token")
    }
}
