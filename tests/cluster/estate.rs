//! The estate that all stories share, started once.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use harness::github::{GithubStandIn, Person};
use harness::provision::repository_root;
use harness::run_folder::RunFolder;
use harness::servers::distribution::{Distribution, DistributionPlan, NotificationEndpoint};
use harness::servers::etcd::Etcd;
use harness::servers::keyless::Keyless;
use harness::servers::kube_apiserver::KubeApiserver;
use harness::servers::listener::Listener;
use harness::servers::login::Login;
use harness::servers::oci::OciClient;
use harness::servers::operator;
use harness::servers::ports::HeldPorts;
use harness::servers::process::{Plan, Process, answers_ok};
use harness::servers::refreg::{Refreg, RefregPlan};
use harness::servers::sigstore::PrivateSigstore;
use kube::Client;
use tokio::sync::OnceCell;

use crate::before;
use crate::observe::Custody;

/// The name under which images of the registry with notifications are referenced.
pub(crate) const REGISTRY: &str = "registry.acme.example";
/// The name of the registry with referrers.
pub(crate) const SECOND_REGISTRY: &str = "second.acme.example";
/// The token that the registry sends with its notifications.
const NOTIFICATION_TOKEN: &str = "notifications-of-the-test";
/// The secret of the forge's webhooks.
pub(crate) const WEBHOOK_SECRET: &str = "webhooks-of-the-test-are-signed";
/// The secret of the alert webhook: `whsec_` and base64.
const ALERT_SECRET: &str = "whsec_YWxlcnRzLW9mLXRoZS10ZXN0LWFyZS1zaWduZWQ=";

pub(crate) struct Estate {
    pub(crate) folder: PathBuf,
    pub(crate) contracts: PathBuf,
    pub(crate) distribution: Distribution,
    pub(crate) refreg: Refreg,
    pub(crate) kubernetes: Client,
    pub(crate) cluster_id: String,
    /// The digest that ran before custody did, where one was installed.
    pub(crate) before: Option<String>,
    pub(crate) forge: GithubStandIn,
    /// Certificates with GitHub's issuer and a certificate-transparency proof.
    pub(crate) keyless: Keyless,
    /// Fulcio, Rekor and a timestamp authority as servers.
    pub(crate) sigstore: PrivateSigstore,
    pub(crate) custody: Custody,
    /// Kept, because they stop when they are dropped.
    _etcd: Etcd,
    _apiserver: KubeApiserver,
    _run_folder: RunFolder,
}

static ESTATE: OnceCell<Estate> = OnceCell::const_new();

/// What the cluster holds when custody starts for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Past {
    #[allow(dead_code, reason = "the recorder wants it")]
    Empty,
    /// Images that nobody claims, and a claimed one that is older than custody.
    Running,
}

/// The estate, started at the first call.
pub(crate) async fn estate() -> &'static Estate {
    estate_with(Past::Running).await
}

/// The same for who must be the first to call: with a past of the caller's choice.
pub(crate) async fn estate_with(past: Past) -> &'static Estate {
    ESTATE.get_or_init(|| async { Estate::start(past).await.expect("the estate starts") }).await
}

impl Estate {
    async fn start(past: Past) -> anyhow::Result<Estate> {
        let run_folder = RunFolder::keep(tempfile::tempdir()?)?;
        let folder = run_folder.path().to_owned();
        let contracts = folder.join("contracts");
        fs::create_dir_all(&contracts)?;
        let held = HeldPorts::take()?;
        let [intake, operations, api] = held.ports;
        let ports = Ports { intake, operations, api };
        let (ci, alice) = (Login::new("ci-bot", "build"), Login::new("alice", "by-hand"));
        let reader = Login::new("custody", "read-only");
        let distribution = Distribution::start(
            &folder,
            &DistributionPlan {
                users: vec![ci, alice, reader],
                notifications: vec![NotificationEndpoint {
                    name: "custody".to_owned(),
                    url: format!("http://127.0.0.1:{}/registry/notifications", ports.intake),
                    headers: BTreeMap::from([(
                        "Authorization".to_owned(),
                        format!("Bearer {NOTIFICATION_TOKEN}"),
                    )]),
                }],
            },
        )
        .await?;
        let refreg = Refreg::start(&folder, &RefregPlan { referrers: true, ..RefregPlan::default() }).await?;
        let etcd = Etcd::start(&folder).await?;
        let apiserver = KubeApiserver::start(&folder, &etcd, &[]).await?;
        let kubernetes = apiserver.admin().await?;
        operator::apply_folder(&kubernetes, &repository_root().join("deploy/cluster-agent")).await?;
        let token = operator::token_of(&kubernetes, "custody", "cluster-agent").await?;
        let kubeconfig = apiserver.kubeconfig(&token, "cluster-agent")?;
        let cluster_id = apiserver.cluster_id().await?;
        let forge = GithubStandIn::start().await?;
        let keyless = Keyless::new(folder.join("keyless"))?;
        let sigstore = PrivateSigstore::start(&folder).await?;
        keyless.write_trusted_root(&contracts.join("keyless-root.json")).await?;
        fs::copy(&sigstore.files().trusted_root, contracts.join("servers-root.json"))?;
        fs::write(contracts.join("installation.yaml"), installation(sigstore.issuer.url()))?;
        let before = match past {
            Past::Empty => None,
            Past::Running => {
                before::run_vendors(&kubernetes).await?;
                Some(before::install(refreg.host(), &kubernetes, &forge, &keyless, &contracts).await?)
            }
        };
        let alerts = Listener::start().await?;
        let configuration = configuration(&Wiring {
            ports: &ports,
            distribution: distribution.host(),
            refreg: refreg.host(),
            github: forge.api_url(),
            kubeconfig: &kubeconfig.display().to_string(),
            alerts: &alerts.url(),
            contracts: &contracts.display().to_string(),
        });
        fs::write(folder.join("custody.toml"), configuration)?;
        let plan = Plan::new("custody", binary()?, folder.join("custody"))
            .args(["up", "--config"])
            .arg(folder.join("custody.toml"))
            .arg("--data")
            .arg(folder.join("data"));
        fs::create_dir_all(folder.join("custody"))?;
        drop(held);
        let mut process = Process::start(plan)?;
        let ready = format!("http://127.0.0.1:{}/readyz", ports.operations);
        process.ready_within(Duration::from_secs(60), || answers_ok(ready.clone())).await?;
        let custody = Custody::new(process, &ports, alerts)?;
        Ok(Estate {
            folder,
            contracts,
            distribution,
            refreg,
            kubernetes,
            cluster_id,
            before,
            forge,
            keyless,
            sigstore,
            custody,
            _etcd: etcd,
            _apiserver: apiserver,
            _run_folder: run_folder,
        })
    }

    /// A user of the registry with notifications.
    pub(crate) fn registry_as(&self, user: &str) -> anyhow::Result<OciClient> {
        let login = match user {
            "ci-bot" => Login::new("ci-bot", "build"),
            "alice" => Login::new("alice", "by-hand"),
            other => anyhow::bail!("nobody is called {other}"),
        };
        OciClient::new(self.distribution.host(), Some(&login))
    }
}

pub(crate) struct Ports {
    pub(crate) intake: u16,
    pub(crate) operations: u16,
    pub(crate) api: u16,
}

struct Wiring<'a> {
    ports: &'a Ports,
    distribution: &'a str,
    refreg: &'a str,
    github: &'a str,
    kubeconfig: &'a str,
    alerts: &'a str,
    contracts: &'a str,
}

/// The settings that a person would write, with times scaled down.
fn configuration(wiring: &Wiring<'_>) -> String {
    let Wiring { ports, distribution, refreg, github, kubeconfig, alerts, contracts } = wiring;
    format!(
        r#"
[intake]
listen = "127.0.0.1:{intake}"

[operations]
listen = "127.0.0.1:{operations}"

[api]
listen = "127.0.0.1:{api}"

[[registry]]
host = "{REGISTRY}"
url = "http://{distribution}"
username = "custody"
password = "read-only"
notification_token = "{NOTIFICATION_TOKEN}"
repositories = ["**"]
poll_interval = "3s"

[[registry]]
host = "{SECOND_REGISTRY}"
url = "http://{refreg}"
repositories = ["**"]
poll_interval = "1s"

[registry_agent]
report_interval = "1s"
look_up_backoff = "500ms"
poll_grace = "1s"

[[github]]
host = "github.com"
api_url = "{github}"
watch = ["acme"]
token = "reads-only"

[[github.webhooks]]
secret = "{WEBHOOK_SECRET}"
from = ["acme"]

[source]
report_interval = "1s"

[ci]
report_interval = "1s"

[[cluster]]
cluster_name = "test-1"
kubeconfig = "{kubeconfig}"
inventory_interval = "5s"
report_interval = "1s"

[correlator]
contracts = "{contracts}"
contracts_poll = "500ms"

[[alert]]
name = "test"
url = "{alerts}/alerts"
secret = "{ALERT_SECRET}"
allow_loopback = true
backoff_first = "200ms"
"#,
        intake = ports.intake,
        operations = ports.operations,
        api = ports.api,
    )
}

/// Windows scaled down, and the trust roots of both ways of signing.
fn installation(issuer: &str) -> String {
    format!(
        r#"apiVersion: custody.dev/v1
kind: Installation
metadata: {{ name: test }}
spec:
  windows: {{ evidence: 12s, retry: 1s, linger: 30s, sourceSkew: 5m }}
---
apiVersion: custody.dev/v1
kind: TrustRoot
metadata: {{ name: keyless }}
spec:
  file: keyless-root.json
  forges: [{{ host: github.com, issuer: "{github}" }}]
---
# This Fulcio has no certificate-transparency log.
apiVersion: custody.dev/v1
kind: TrustRoot
metadata: {{ name: servers }}
spec:
  file: servers-root.json
  demands: {{ certificateTransparency: false }}
  forges: [{{ host: github.com, issuer: "{issuer}" }}]
"#,
        github = harness::servers::github_run::GITHUB_ISSUER,
    )
}

/// The program under test, built by `tests/run` before this part.
pub(crate) fn binary() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    // A test lies in `deps` and an example in `examples`, below the folder of the program.
    let folder = own
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps") && !folder.ends_with("examples"))
        .context("where this was built")?;
    let binary = folder.join("custody");
    anyhow::ensure!(
        binary.is_file(),
        "{} is not built: run `cargo build --workspace --bin custody`",
        binary.display()
    );
    Ok(binary)
}

/// People of the forge.
pub(crate) fn alice() -> Person {
    Person::user("alice", 501)
}

pub(crate) fn bob() -> Person {
    Person::user("bob", 502)
}

/// Somebody whom nobody here knows.
pub(crate) fn mallory() -> Person {
    Person::user("mallory", 666)
}

pub(crate) fn acme() -> Person {
    Person::organization("acme", 42)
}
