//! Keyless signatures without servers: any identity, any issuer, any time, one trust root.
//!
//! In: who signs what, when, and which parts of the bundle to leave out. Out: Sigstore bundles (and the annotations of
//! cosign's older format), all verifiable against the trust root of the folder, certificate-transparency proof included.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::process::Command;

use super::github_run::{GITHUB_ISSUER, GithubRun};
use super::tool_run::{run, run_with_input};
use crate::provision::Tool;

/// What a certificate claims.
#[derive(Debug, Clone, Serialize)]
pub struct CertificateIdentity {
    /// The subject alternative name, as URI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The subject alternative name, as e-mail address; exactly one of the two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The extensions 1 and 8, unless `extensions` has them.
    pub issuer: String,
    /// By number below 1.3.6.1.4.1.57264.1; an empty text leaves an extension out.
    pub extensions: BTreeMap<u8, String>,
}

impl CertificateIdentity {
    /// A workflow run on GitHub.
    pub fn of_run(run: &GithubRun) -> Self {
        Self {
            uri: Some(run.certificate_subject()),
            email: None,
            issuer: GITHUB_ISSUER.to_owned(),
            extensions: run.certificate_extensions(),
        }
    }

    /// A person, known by an e-mail address.
    pub fn of_person(email: impl Into<String>, issuer: impl Into<String>) -> Self {
        Self { uri: None, email: Some(email.into()), issuer: issuer.into(), extensions: BTreeMap::new() }
    }
}

/// A part of a bundle that may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BundlePart {
    /// The certificate log's proof inside the certificate.
    CertificateProof,
    /// The whole entry in the signature log.
    LogEntry,
    InclusionPromise,
    InclusionProof,
    Timestamp,
}

/// One signature to make.
#[derive(Debug, Clone, Serialize)]
pub struct SigningRequest {
    identity: CertificateIdentity,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact: Option<String>,
    omit: Vec<BundlePart>,
}

impl SigningRequest {
    /// Signs an in-toto statement in a DSSE envelope.
    pub fn statement(identity: CertificateIdentity, statement: &Value) -> Self {
        Self::envelope(identity, "application/vnd.in-toto+json", statement.to_string().as_bytes())
    }

    /// Signs any bytes in a DSSE envelope.
    pub fn envelope(identity: CertificateIdentity, payload_type: &str, payload: &[u8]) -> Self {
        Self {
            identity,
            signed_at: None,
            payload: Some(STANDARD.encode(payload)),
            payload_type: Some(payload_type.to_owned()),
            artifact: None,
            omit: Vec::new(),
        }
    }

    /// Signs bytes as they are, as for a simple-signing payload or a blob.
    pub fn artifact(identity: CertificateIdentity, artifact: &[u8]) -> Self {
        let artifact = Some(STANDARD.encode(artifact));
        Self { identity, signed_at: None, payload: None, payload_type: None, artifact, omit: Vec::new() }
    }

    /// Signs at this time instead of now (whole seconds, 2020 to 2044).
    pub fn at(mut self, time: Timestamp) -> Self {
        self.signed_at = Some(time.to_string());
        self
    }

    /// Leaves a part out.
    pub fn without(mut self, part: BundlePart) -> Self {
        self.omit.push(part);
        self
    }
}

/// What was made.
#[derive(Debug, Clone, Deserialize)]
pub struct Signed {
    /// A bundle of version 0.3.
    pub bundle: Value,
    /// The annotations of a layer in cosign's older format; only for an artifact.
    pub annotations: BTreeMap<String, String>,
    pub certificate_pem: String,
    pub log_index: Option<u64>,
}

impl Signed {
    /// The bundle as a file holds it.
    pub fn bundle_bytes(&self) -> Vec<u8> {
        self.bundle.to_string().into_bytes()
    }
}

/// An authority with its logs, kept in a folder. Another folder is another world: neither trusts the other.
#[derive(Debug, Clone)]
pub struct Keyless {
    folder: PathBuf,
    binary: PathBuf,
}

impl Keyless {
    /// Opens the authority of the folder, made at its first use.
    pub fn new(folder: impl Into<PathBuf>) -> anyhow::Result<Self> {
        Ok(Self { folder: folder.into(), binary: Tool::Keyless.binary()? })
    }

    /// Makes one signature.
    pub async fn sign(&self, request: SigningRequest) -> anyhow::Result<Signed> {
        let signed = self.sign_all(&[request]).await?;
        signed.into_iter().next().context("keyless made nothing")
    }

    /// Makes several signatures in one run, in order.
    pub async fn sign_all(&self, requests: &[SigningRequest]) -> anyhow::Result<Vec<Signed>> {
        let mut command = Command::new(&self.binary);
        command.arg("make").arg("-state").arg(&self.folder);
        let output = run_with_input(&mut command, &serde_json::to_vec(requests)?).await?;
        let signed: Vec<Signed> = serde_json::from_str(&output).context("read signatures")?;
        ensure!(signed.len() == requests.len(), "keyless made {} of {}", signed.len(), requests.len());
        Ok(signed)
    }

    /// The trust root of everything made here, as `trusted_root.json` holds it.
    pub async fn trusted_root(&self) -> anyhow::Result<Value> {
        let output = run(Command::new(&self.binary).arg("root").arg("-state").arg(&self.folder)).await?;
        serde_json::from_str(&output).context("read trust root")
    }

    /// Writes the trust root to a file.
    pub async fn write_trusted_root(&self, file: &Path) -> anyhow::Result<()> {
        fs::write(file, self.trusted_root().await?.to_string()).context("write trust root")
    }
}
