//! The memory of the cluster's agent, on a real Kubernetes API server.

use anyhow::ensure;
use futures::{StreamExt, TryStreamExt, stream};
use harness::custody::Custody;
use harness::servers::etcd::Etcd;
use harness::servers::kube_apiserver::{ADMIN_TOKEN, KubeApiserver};
use harness::servers::pods::{self, ContainerReport, PodPlan};
use harness::servers::workloads;
use kube::Client;
use serde::Serialize;
use std::time::{Duration, Instant};

use bus_schema::Digest;

use crate::place::{Memory, Place, Sync};

const WRITING_MAX: usize = 16;
const PODS_PER_WORKLOAD: u64 = 10;
const WORKLOADS_PER_NAMESPACE: u64 = 20;
/// Each leaves behind what it leaves behind.
const INVENTORIES: u64 = 4;
const INVENTORY_INTERVAL: Duration = Duration::from_secs(5);
const TOLD_WITHIN: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long the memory of a process is left alone before it is read.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// The agent of a cluster with so many pods.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClusterAgent {
    pub(crate) pods: u64,
    pub(crate) memory: Memory,
}

pub(crate) async fn measure(sizes: &[u64]) -> anyhow::Result<Vec<ClusterAgent>> {
    let place = Place::new(Sync::Default).await?;
    let mut correlator = place.correlator(None).await?;
    let etcd = Etcd::start(place.folder()).await?;
    let server = KubeApiserver::start(place.folder(), &etcd, &[]).await?;
    let client = server.admin().await?;
    let kubeconfig = server.kubeconfig(ADMIN_TOKEN, "agent")?;
    let settings = format!(
        "[log]\nformat = \"json\"\nfilter = \"warn\"\n[operations]\nlisten = \"127.0.0.1:0\"\n\
         [[cluster]]\ncluster_name = \"prod-1\"\nkubeconfig = \"{}\"\ninventory_interval = \"{}s\"\n",
        kubeconfig.display(),
        INVENTORY_INTERVAL.as_secs()
    );
    std::fs::write(place.folder().join("agent.toml"), settings)?;
    let mut agents = Vec::new();
    let mut written = 0;
    for &pods in sizes {
        write(&client, written..pods).await?;
        written = pods;
        let data = format!("agent-{pods}");
        let arguments = [
            "agent",
            "cluster",
            "--config",
            "agent.toml",
            "--data",
            &data,
            "--bus",
            place.server.url(),
            "--id",
            "cluster-agent",
        ];
        let mut agent = Custody::start("agent", place.folder(), &arguments)?;
        ensure!(agent.started().await?, "the agent ended: {}", agent.process().log_tail());
        let began = Instant::now();
        while !has_told(&agent).await? {
            ensure!(began.elapsed() < TOLD_WITHIN, "the agent did not tell what runs in time");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        tokio::time::sleep(SETTLED_AFTER).await;
        agents.push(ClusterAgent { pods, memory: Memory::of(agent.process().pid()?)? });
        agent.stop().await?;
    }
    correlator.stop().await?;
    Ok(agents)
}

/// Whether every container and so many inventories are on the bus.
async fn has_told(agent: &Custody) -> anyhow::Result<bool> {
    let text = reqwest::get(format!("{}/metrics", agent.address("operations"))).await?.text().await?;
    let value = |name: &str, label: &str| -> Option<f64> {
        let line = text.lines().find(|line| line.starts_with(name) && line.contains(label));
        line.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse().ok())
    };
    let inventories = value("custody_events_seen_total", "\"inventory\"").unwrap_or(0.0);
    let waiting = value("custody_outbox_messages", "").unwrap_or(1.0);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(inventories >= INVENTORIES as f64 && waiting == 0.0)
}

async fn write(client: &Client, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
    let workloads = numbers.start / PODS_PER_WORKLOAD..numbers.end.div_ceil(PODS_PER_WORKLOAD);
    stream::iter(workloads)
        .map(|workload| async move {
            let namespace = format!("team-{}", workload / WORKLOADS_PER_NAMESPACE);
            pods::ensure_namespace(client, &namespace).await.or_else(|error| {
                // Another writer was first.
                if format!("{error:#}").contains("AlreadyExists") { Ok(()) } else { Err(error) }
            })?;
            let name = format!("app-{workload}");
            let owner = workloads::deployment(client, &namespace, &name, "6d5f8c7b9").await?;
            for pod in 0..PODS_PER_WORKLOAD {
                let digest = Digest::sha256_of(name.as_bytes()).to_string();
                let repository = format!("registry.example/acme/{name}");
                let image = format!("{repository}@{digest}");
                let plan = PodPlan {
                    namespace: namespace.clone(),
                    name: format!("{name}-6d5f8c7b9-{pod}"),
                    labels: owner.labels.clone(),
                    containers: vec![("main".to_owned(), image.clone())],
                    owners: vec![owner.reference.clone()],
                    ..PodPlan::default()
                };
                let mut report = ContainerReport::containerd("main", &image, &repository, &digest);
                let number = Digest::sha256_of(format!("{name} {pod}").as_bytes()).hex();
                report.container_id = format!("containerd://{number}");
                pods::run_pod(client, &plan, &[report]).await?;
            }
            anyhow::Ok(())
        })
        .buffer_unordered(WRITING_MAX)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(())
}
