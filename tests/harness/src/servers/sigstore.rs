//! A private Sigstore of real servers: certificate authority, transparency log, timestamp authority and token issuer.
//!
//! In: a folder. Out: tokens for workflow runs, and the two files that cosign signs and verifies with. It has no certificate
//! log, so verifiers must be told not to ask for that proof; its issuer is a loopback address, never GitHub's.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use serde_json::json;

use super::cosign::Cosign;
use super::github_run::GithubRun;
use super::issuer::OpenIdIssuer;
use super::ports::free_ports;
use super::process::{Plan, Process, answers_ok, start_on_free_ports};
use crate::http;
use crate::provision::Tool;

/// Everything that the servers vouch for begins here; cosign wants a time for each.
const START_TIME: &str = "2020-01-01T00:00:00Z";

/// The running servers.
#[derive(Debug)]
pub struct PrivateSigstore {
    pub issuer: OpenIdIssuer,
    pub fulcio: Process,
    pub rekor: Process,
    pub timestamp: Process,
    files: SigstoreFiles,
}

/// What cosign needs to know about a Sigstore.
#[derive(Debug, Clone)]
pub struct SigstoreFiles {
    pub trusted_root: PathBuf,
    pub signing_config: PathBuf,
}

impl PrivateSigstore {
    /// Starts all four in `<folder>/sigstore`.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("sigstore");
        fs::create_dir_all(&folder)?;
        let issuer = OpenIdIssuer::start(&folder).await?;
        let (fulcio, fulcio_url) = start_on_free_ports(|| start_fulcio(&folder, issuer.url())).await?;
        let (rekor, rekor_url) = start_on_free_ports(|| start_rekor(&folder)).await?;
        let (timestamp, timestamp_url) = start_on_free_ports(|| start_timestamp(&folder)).await?;
        let addresses = Addresses { fulcio: fulcio_url, rekor: rekor_url, timestamp: timestamp_url };
        let files = write_files(&folder, &addresses).await?;
        Ok(Self { issuer, fulcio, rekor, timestamp, files })
    }

    /// The files for cosign and other verifiers.
    pub fn files(&self) -> &SigstoreFiles {
        &self.files
    }

    /// The identity token of a workflow run.
    pub async fn token(&self, run: &GithubRun) -> anyhow::Result<String> {
        self.issuer.mint(&run.token_claims()).await
    }
}

struct Addresses {
    fulcio: String,
    rekor: String,
    timestamp: String,
}

async fn start_fulcio(folder: &Path, issuer_url: &str) -> anyhow::Result<(Process, String)> {
    let folder = folder.join("fulcio");
    fs::create_dir_all(&folder)?;
    // JSON is YAML, but fulcio reads what parses as JSON by other field names: the first line makes it YAML alone.
    fs::write(folder.join("fulcio.yaml"), format!("---\n{}", fulcio_configuration(issuer_url)))?;
    let [http, grpc, metrics] = free_ports()?;
    let plan = Plan::new("fulcio", Tool::Fulcio.binary()?, folder)
        .args(["serve", "--host", "127.0.0.1", "--port", &http.to_string(), "--grpc-port", &grpc.to_string()])
        .args(["--grpc-host", "127.0.0.1", "--metrics-port", &metrics.to_string()])
        .args(["--legacy-unix-domain-socket", "legacy.socket"])
        .args(["--ca", "ephemeralca", "--ct-log-url=", "--config-path", "fulcio.yaml"]);
    let url = format!("http://127.0.0.1:{http}");
    let mut process = Process::start(plan)?;
    process.ready(|| answers_ok(format!("{url}/healthz"))).await?;
    Ok((process, url))
}

/// The extension templates are those that the public instance uses for GitHub.
fn fulcio_configuration(issuer_url: &str) -> serde_json::Value {
    json!({
        "oidc-issuers": { issuer_url: {
            "issuer-url": issuer_url,
            "client-id": "sigstore",
            "type": "ci-provider",
            "ci-provider": "github-workflow",
        } },
        "ci-issuer-metadata": { "github-workflow": {
            "default-template-values": { "url": "https://github.com", "environment": "" },
            "extension-templates": {
                "github-workflow-trigger": "event_name",
                "github-workflow-sha": "sha",
                "github-workflow-name": "workflow",
                "github-workflow-repository": "repository",
                "github-workflow-ref": "ref",
                "build-signer-uri": "{{ .url }}/{{ .job_workflow_ref }}",
                "build-signer-digest": "job_workflow_sha",
                "runner-environment": "runner_environment",
                "source-repository-uri": "{{ .url }}/{{ .repository }}",
                "source-repository-digest": "sha",
                "source-repository-ref": "ref",
                "source-repository-identifier": "repository_id",
                "source-repository-owner-uri": "{{ .url }}/{{ .repository_owner }}",
                "source-repository-owner-identifier": "repository_owner_id",
                "build-config-uri": "{{ .url }}/{{ .workflow_ref }}",
                "build-config-digest": "workflow_sha",
                "build-trigger": "event_name",
                "run-invocation-uri":
                    "{{ .url }}/{{ .repository }}/actions/runs/{{ .run_id }}/attempts/{{ .run_attempt }}",
                "source-repository-visibility-at-signing": "repository_visibility",
            },
            "subject-alternative-name-template": "{{ .url }}/{{ .job_workflow_ref }}",
        } },
    })
}

async fn start_rekor(folder: &Path) -> anyhow::Result<(Process, String)> {
    let folder = folder.join("rekor");
    fs::create_dir_all(&folder)?;
    make_log_key(&folder)?;
    let [http, grpc, metrics] = free_ports()?;
    // The host of the log's address is part of what it signs: both must be the same.
    let plan = Plan::new("rekor", Tool::Rekor.binary()?, folder)
        .args(["serve", "--storage-dir", "log", "--signer-filepath", "log.key", "--hostname", "127.0.0.1"])
        .args(["--http-address", "127.0.0.1", "--http-port", &http.to_string()])
        .args(["--grpc-address", "127.0.0.1", "--grpc-port", &grpc.to_string()])
        .args(["--http-metrics-port", &metrics.to_string()])
        .args(["--checkpoint-interval", "500ms", "--batch-max-age", "50ms"]);
    let url = format!("http://127.0.0.1:{http}");
    let mut process = Process::start(plan)?;
    process.ready(|| answers_ok(format!("{url}/healthz"))).await?;
    Ok((process, url))
}

/// An Ed25519 key as PKCS #8, and its public half, both PEM.
fn make_log_key(folder: &Path) -> anyhow::Result<()> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
    fs::write(folder.join("log.key"), key.serialize_pem())?;
    fs::write(folder.join("log.pub"), key.public_key_pem())?;
    Ok(())
}

async fn start_timestamp(folder: &Path) -> anyhow::Result<(Process, String)> {
    let [http] = free_ports()?;
    let plan = Plan::new("timestamp", Tool::Timestamp.binary()?, folder.join("timestamp")).args([
        "-host",
        "127.0.0.1",
        "-port",
        &http.to_string(),
    ]);
    let url = format!("http://127.0.0.1:{http}");
    let mut process = Process::start(plan)?;
    process.ready(|| answers_ok(format!("{url}/ping"))).await?;
    Ok((process, url))
}

async fn write_files(folder: &Path, addresses: &Addresses) -> anyhow::Result<SigstoreFiles> {
    let fulcio_chain = folder.join("fulcio-chain.pem");
    fs::write(&fulcio_chain, fetch(&format!("{}/api/v1/rootCert", addresses.fulcio)).await?)?;
    let timestamp_chain = folder.join("timestamp-chain.pem");
    fs::write(
        &timestamp_chain,
        fetch(&format!("{}/api/v1/timestamp/certchain", addresses.timestamp)).await?,
    )?;
    let log_key = folder.join("rekor/log.pub");
    let Addresses { fulcio, rekor, timestamp } = addresses;
    let cosign = Cosign::new(folder)?;

    let trusted_root = folder.join("trusted_root.json");
    let fulcio_chain = fulcio_chain.display();
    let timestamp_chain = timestamp_chain.display();
    let log_key = log_key.display();
    cosign
        .run([
            "trusted-root".to_owned(),
            "create".to_owned(),
            format!("--fulcio=url={fulcio},certificate-chain={fulcio_chain},start-time={START_TIME}"),
            format!("--rekor=url={rekor},public-key={log_key},start-time={START_TIME},origin=127.0.0.1"),
            format!("--tsa=url={timestamp},certificate-chain={timestamp_chain},start-time={START_TIME}"),
            format!("--out={}", trusted_root.display()),
        ])
        .await?;

    let signing_config = folder.join("signing_config.json");
    let always = format!("start-time={START_TIME},operator=test");
    cosign
        .run([
            "signing-config".to_owned(),
            "create".to_owned(),
            format!("--fulcio=url={fulcio},api-version=1,{always}"),
            format!("--rekor=url={rekor},api-version=2,{always}"),
            "--rekor-config=ANY".to_owned(),
            format!("--tsa=url={timestamp}/api/v1/timestamp,api-version=1,{always}"),
            "--tsa-config=ANY".to_owned(),
            format!("--out={}", signing_config.display()),
        ])
        .await?;
    Ok(SigstoreFiles { trusted_root, signing_config })
}

async fn fetch(url: &str) -> anyhow::Result<String> {
    let text = http::get(url).await?.error_for_status()?.text().await?;
    ensure!(text.contains("BEGIN CERTIFICATE"), "{url} is no certificate chain");
    Ok(text)
}
