//! A Kubernetes API server over etcd.
//!
//! In: the identities that may call it. Out: clients and kubeconfig files for them. Identities are bearer tokens; what they
//! may do is decided by RBAC alone, except for the administrator. There is no scheduler and no kubelet: tests write pods and
//! their status themselves.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use k8s_openapi::api::core::v1::Namespace;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use super::certificates::{TestAuthority, write_lone_key};
use super::etcd::Etcd;
use super::ports::free_port;
use super::process::{Plan, Process, start_on_free_ports};
use crate::provision::Tool;

/// Who a token stands for.
#[derive(Debug, Clone)]
pub struct Identity {
    pub token: String,
    pub user: String,
    pub groups: Vec<String>,
}

impl Identity {
    /// A user without groups, whose rights are only what RBAC grants to the user.
    pub fn user(token: impl Into<String>, user: impl Into<String>) -> Self {
        Self { token: token.into(), user: user.into(), groups: Vec::new() }
    }

    /// A service account as RBAC sees it: bindings to the service account hold for this token.
    pub fn service_account(token: impl Into<String>, namespace: &str, name: &str) -> Self {
        Self {
            token: token.into(),
            user: format!("system:serviceaccount:{namespace}:{name}"),
            groups: vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")],
        }
    }
}

/// What the server audits, and where to.
#[derive(Debug, Clone)]
pub struct AuditPlan {
    /// The audit policy (`audit.k8s.io/v1` `Policy`).
    pub policy: Value,
    /// Where event lists are posted to; absent: only the log file.
    pub webhook_url: Option<String>,
}

/// The token of the administrator, who may do everything.
pub const ADMIN_TOKEN: &str = "administrator-of-the-test";

/// A running API server.
#[derive(Debug)]
pub struct KubeApiserver {
    /// The process, to stop or kill it.
    pub process: Process,
    url: String,
    folder: PathBuf,
    authority_pem: String,
}

impl KubeApiserver {
    /// Starts the server with its files in `<folder>/apiserver`, without auditing.
    pub async fn start(folder: &Path, etcd: &Etcd, identities: &[Identity]) -> anyhow::Result<Self> {
        Self::start_audited(folder, etcd, identities, None).await
    }

    /// Starts the server with auditing.
    pub async fn start_audited(
        folder: &Path,
        etcd: &Etcd,
        identities: &[Identity],
        audit: Option<&AuditPlan>,
    ) -> anyhow::Result<Self> {
        let folder = folder.join("apiserver");
        fs::create_dir_all(&folder)?;
        let authority = TestAuthority::new()?;
        authority.issue_files(&folder, "tls")?;
        fs::write(folder.join("ca.pem"), authority.certificate_pem())?;
        write_lone_key(&folder, "sa")?;
        fs::write(folder.join("tokens.csv"), tokens_csv(identities))?;
        if let Some(audit) = audit {
            write_audit_files(&folder, audit)?;
        }
        let authority_pem = authority.certificate_pem();
        start_on_free_ports(|| Self::start_once(&folder, etcd, audit, authority_pem)).await
    }

    async fn start_once(
        folder: &Path,
        etcd: &Etcd,
        audit: Option<&AuditPlan>,
        authority_pem: &str,
    ) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut plan = Plan::new("apiserver", Tool::Kube.binary()?, folder)
            .args(["apiserver", "--etcd-servers", etcd.url(), "--bind-address", "127.0.0.1"])
            .args(["--advertise-address", "127.0.0.1", "--secure-port", &port.to_string(), "--cert-dir", "."])
            .args([
                "--tls-cert-file",
                "tls.crt",
                "--tls-private-key-file",
                "tls.key",
                "--client-ca-file",
                "ca.pem",
            ])
            .args(["--token-auth-file", "tokens.csv", "--authorization-mode", "RBAC"])
            .args(["--service-account-issuer", "https://kubernetes.default.svc"])
            .args(["--service-account-key-file", "sa.pub", "--service-account-signing-key-file", "sa.key"])
            .args([
                "--service-cluster-ip-range",
                "10.0.0.0/24",
                "--disable-admission-plugins",
                "ServiceAccount",
            ])
            .args(["--endpoint-reconciler-type", "none", "--profiling=false"]);
        if let Some(audit) = audit {
            plan = plan.args(["--audit-policy-file", "audit-policy.json", "--audit-log-path", "audit.log"]);
            if audit.webhook_url.is_some() {
                plan = plan
                    .args([
                        "--audit-webhook-config-file",
                        "audit.kubeconfig",
                        "--audit-webhook-mode",
                        "batch",
                    ])
                    .args(["--audit-webhook-batch-max-wait", "200ms"]);
            }
        }
        let mut server = Self {
            process: Process::start(plan)?,
            url: format!("https://127.0.0.1:{port}"),
            folder: folder.to_path_buf(),
            authority_pem: authority_pem.to_owned(),
        };
        let admin = server.admin().await?;
        server.process.ready(|| is_ready(admin.clone())).await?;
        Ok(server)
    }

    /// Where clients connect, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate of the authority that issued the server's own.
    pub fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    /// A client of the administrator.
    pub async fn admin(&self) -> anyhow::Result<Client> {
        self.client(ADMIN_TOKEN).await
    }

    /// A client of whoever the token stands for.
    pub async fn client(&self, token: &str) -> anyhow::Result<Client> {
        let kubeconfig: Kubeconfig = serde_json::from_value(self.kubeconfig_of(token))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Client::try_from(config).context("make client")
    }

    /// Writes `<name>.kubeconfig` for the token and returns its path. (It is JSON, which is YAML.)
    pub fn kubeconfig(&self, token: &str, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(format!("{name}.kubeconfig"));
        fs::write(&path, serde_json::to_vec_pretty(&self.kubeconfig_of(token))?)?;
        Ok(path)
    }

    /// The key that signs service account tokens, for a controller manager.
    pub(super) fn service_account_key(&self) -> PathBuf {
        self.folder.join("sa.key")
    }

    pub(super) fn authority_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// What makes two clusters different: the UID of the namespace `kube-system`.
    pub async fn cluster_id(&self) -> anyhow::Result<String> {
        let namespaces: Api<Namespace> = Api::all(self.admin().await?);
        let system = namespaces.get("kube-system").await?;
        system.metadata.uid.context("namespace kube-system has no uid")
    }

    fn kubeconfig_of(&self, token: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
            "clusters": [{
                "name": "test",
                "cluster": { "server": self.url, "certificate-authority": self.authority_file() },
            }],
            "users": [{ "name": "test", "user": { "token": token } }],
        })
    }
}

/// Ready means more than `/readyz`: the server makes its own namespaces a little later.
async fn is_ready(admin: Client) -> bool {
    let Ok(request) = axum::http::Request::get("/readyz").body(Vec::new()) else { return false };
    if admin.request_text(request).await.is_err() {
        return false;
    }
    let namespaces: Api<Namespace> = Api::all(admin);
    namespaces.get("kube-system").await.is_ok() && namespaces.get("default").await.is_ok()
}

fn tokens_csv(identities: &[Identity]) -> String {
    let mut text = format!("{ADMIN_TOKEN},admin,u0,\"system:masters\"\n");
    for (index, identity) in identities.iter().enumerate() {
        let groups = identity.groups.join(",");
        text.push_str(&format!("{},{},u{},\"{groups}\"\n", identity.token, identity.user, index + 1));
    }
    text
}

fn write_audit_files(folder: &Path, audit: &AuditPlan) -> anyhow::Result<()> {
    fs::write(folder.join("audit-policy.json"), audit.policy.to_string())?;
    if let Some(url) = &audit.webhook_url {
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "audit",
            "contexts": [{ "name": "audit", "context": { "cluster": "audit", "user": "" } }],
            "clusters": [{ "name": "audit", "cluster": { "server": url } }],
        });
        fs::write(folder.join("audit.kubeconfig"), kubeconfig.to_string())?;
    }
    Ok(())
}
