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
const SEEN_WITHIN: Duration = Duration::from_secs(120);

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
         [[cluster]]\ncluster_name = \"prod-1\"\nkubeconfig = \"{}\"\n",
        kubeconfig.display()
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
        let before = correlator.done().await?;
        let mut agent = Custody::start("agent", place.folder(), &arguments)?;
        ensure!(agent.started().await?, "the agent ended: {}", agent.process().log_tail());
        // The inventory, in parts, and a report.
        let began = Instant::now();
        let parts = pods.div_ceil(bus_schema::cluster::INVENTORY_CONTAINERS_MAX as u64);
        loop {
            let done = correlator.done().await?;
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            if done.events - before.events >= parts as f64 {
                break;
            }
            ensure!(began.elapsed() < SEEN_WITHIN, "the agent did not tell what runs: {done:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        agents.push(ClusterAgent { pods, memory: Memory::of(agent.process().pid()?)? });
        agent.stop().await?;
    }
    correlator.stop().await?;
    Ok(agents)
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
                report.container_id = format!("{}-{pod}", report.container_id);
                pods::run_pod(client, &plan, &[report]).await?;
            }
            anyhow::Ok(())
        })
        .buffer_unordered(WRITING_MAX)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(())
}
