//! Pods and their status, written by a test in place of scheduler, controllers and kubelet.
//!
//! In: what runs. Out: the objects as the API server keeps them.

use std::collections::BTreeMap;

use anyhow::Context;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

/// A pod to write.
#[derive(Debug, Clone, Default)]
pub struct PodPlan {
    pub namespace: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// Containers by name and image.
    pub containers: Vec<(String, String)>,
    pub init_containers: Vec<(String, String)>,
    /// `metadata.ownerReferences`, as Kubernetes writes them.
    pub owners: Vec<Value>,
}

/// The status of one container.
#[derive(Debug, Clone)]
pub struct ContainerReport {
    pub name: String,
    /// `status.containerStatuses[].image`, as the runtime says it.
    pub image: String,
    /// `status.containerStatuses[].imageID`.
    pub image_id: String,
    /// `status.containerStatuses[].containerID`.
    pub container_id: String,
}

impl ContainerReport {
    /// A container that runs the digest of a repository, in the form that containerd reports.
    pub fn containerd(name: &str, image: &str, repository: &str, digest: &str) -> Self {
        Self {
            name: name.to_owned(),
            image: image.to_owned(),
            image_id: format!("{repository}@{digest}"),
            container_id: format!("containerd://{name}-{}", digest.trim_start_matches("sha256:")),
        }
    }
}

/// Makes a namespace, unless it is there.
pub async fn ensure_namespace(client: &Client, name: &str) -> anyhow::Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    if namespaces.get_opt(name).await?.is_none() {
        let namespace = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
        namespaces.create(&PostParams::default(), &namespace).await.context("create namespace")?;
    }
    Ok(())
}

/// Writes a pod that nothing has started yet.
pub async fn create_pod(client: &Client, plan: &PodPlan) -> anyhow::Result<Pod> {
    let containers = |listed: &[(String, String)]| -> Vec<Value> {
        listed.iter().map(|(name, image)| json!({ "name": name, "image": image })).collect()
    };
    let pod = serde_json::from_value(json!({
        "metadata": { "name": plan.name, "labels": plan.labels, "ownerReferences": plan.owners },
        "spec": {
            "automountServiceAccountToken": false,
            "containers": containers(&plan.containers),
            "initContainers": containers(&plan.init_containers),
        },
    }))?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), &plan.namespace);
    pods.create(&PostParams::default(), &pod).await.context("create pod")
}

/// Reports the containers as running.
pub async fn report_running(
    client: &Client,
    namespace: &str,
    pod: &str,
    containers: &[ContainerReport],
) -> anyhow::Result<Pod> {
    let statuses: Vec<Value> = containers.iter().map(running_status).collect();
    patch_status(client, namespace, pod, json!({ "phase": "Running", "containerStatuses": statuses })).await
}

/// Merges anything into the status of a pod.
pub async fn patch_status(client: &Client, namespace: &str, pod: &str, status: Value) -> anyhow::Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let patch = Patch::Merge(json!({ "status": status }));
    pods.patch_status(pod, &PatchParams::default(), &patch).await.context("patch status")
}

/// Writes a pod and reports its containers as running.
pub async fn run_pod(client: &Client, plan: &PodPlan, containers: &[ContainerReport]) -> anyhow::Result<Pod> {
    create_pod(client, plan).await?;
    report_running(client, &plan.namespace, &plan.name, containers).await
}

/// Deletes a pod at once.
pub async fn delete_pod(client: &Client, namespace: &str, pod: &str) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    pods.delete(pod, &DeleteParams::default().grace_period(0)).await.context("delete pod")?;
    Ok(())
}

fn running_status(report: &ContainerReport) -> Value {
    json!({
        "name": report.name,
        "image": report.image,
        "imageID": report.image_id,
        "containerID": report.container_id,
        "ready": true,
        "started": true,
        "restartCount": 0,
        "state": { "running": { "startedAt": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string() } },
    })
}
