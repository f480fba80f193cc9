//! Workloads and what stands between them and their pods, written by a test in place of the controllers.
//!
//! In: a name. Out: the objects as the API server keeps them, with owner references by UID, and what a pod of them carries.

use std::collections::BTreeMap;
use std::fmt::Debug;

use anyhow::Context;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::api::{DeleteParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What the pods of a ReplicaSet or Job carry: a reference to it, and its labels.
#[derive(Debug, Clone)]
pub struct PodOwner {
    pub reference: Value,
    pub labels: BTreeMap<String, String>,
}

/// A Deployment with the ReplicaSet of one of its templates; either is kept where it is there already.
pub async fn deployment(
    client: &Client,
    namespace: &str,
    name: &str,
    template_hash: &str,
) -> anyhow::Result<PodOwner> {
    let labels = BTreeMap::from([
        ("app".to_owned(), name.to_owned()),
        ("pod-template-hash".to_owned(), template_hash.to_owned()),
    ]);
    let spec = |labels: Value| {
        json!({
            "replicas": 1,
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": pod_spec("Always") },
        })
    };
    let above = json!({ "metadata": { "name": name }, "spec": spec(json!({ "app": name })) });
    let deployment = ensure::<Deployment>(client, namespace, name, above).await?;
    let set = format!("{name}-{template_hash}");
    let below = json!({
        "metadata": { "name": set, "labels": labels, "ownerReferences": [reference(&deployment)?] },
        "spec": spec(json!(labels)),
    });
    let replica_set = ensure::<ReplicaSet>(client, namespace, &set, below).await?;
    Ok(PodOwner { reference: reference(&replica_set)?, labels })
}

/// A CronJob with one Job of it; either is kept where it is there already.
pub async fn cron_job(client: &Client, namespace: &str, name: &str, job: &str) -> anyhow::Result<PodOwner> {
    let template = json!({ "spec": { "template": { "spec": pod_spec("Never") } } });
    let above =
        json!({ "metadata": { "name": name }, "spec": { "schedule": "* * * * *", "jobTemplate": template } });
    let cron_job = ensure::<CronJob>(client, namespace, name, above).await?;
    let below = json!({
        "metadata": { "name": job, "ownerReferences": [reference(&cron_job)?] },
        "spec": { "template": { "spec": pod_spec("Never") } },
    });
    let job = ensure::<Job>(client, namespace, job, below).await?;
    Ok(PodOwner { reference: reference(&job)?, labels: BTreeMap::new() })
}

/// Deletes a Job, as the CronJob's history limit does.
pub async fn delete_job(client: &Client, namespace: &str, job: &str) -> anyhow::Result<()> {
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    jobs.delete(job, &DeleteParams::background()).await.context("delete job")?;
    Ok(())
}

fn pod_spec(restart: &str) -> Value {
    json!({ "restartPolicy": restart, "containers": [{ "name": "main", "image": "made-by-hand" }] })
}

async fn ensure<K>(client: &Client, namespace: &str, name: &str, object: Value) -> anyhow::Result<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    if let Some(known) = api.get_opt(name).await? {
        return Ok(known);
    }
    let object = serde_json::from_value(object)?;
    api.create(&PostParams::default(), &object)
        .await
        .with_context(|| format!("create {} {name}", K::kind(&())))
}

/// An owner reference to the object, as its controller writes it.
fn reference<K: Resource<DynamicType = ()>>(owner: &K) -> anyhow::Result<Value> {
    let mut reference =
        serde_json::to_value(owner.controller_owner_ref(&()).context("an object has no UID")?)?;
    reference["blockOwnerDeletion"] = json!(true);
    Ok(reference)
}
