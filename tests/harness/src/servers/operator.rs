//! What an operator does so that an agent may look into a cluster: applies the files of `deploy/`, and takes a token of the
//! identity that they make.
//!
//! In: the administrator's client. Out: the objects as the API server keeps them, and a token that RBAC decides about.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use kube::{Api, Client};
use serde_json::{Value, json};

/// Longer than any test.
const TOKEN_SECS: u32 = 2 * 60 * 60;

/// Applies every object of a folder's YAML files, as `kubectl apply --server-side -f` does.
pub async fn apply_folder(client: &Client, folder: &Path) -> anyhow::Result<()> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    anyhow::ensure!(!files.is_empty(), "{} holds nothing to apply", folder.display());
    for file in files {
        let text = fs::read_to_string(&file)?;
        let objects: Vec<Value> =
            serde_saphyr::from_multiple(&text).with_context(|| format!("parse {}", file.display()))?;
        for object in &objects {
            apply(client, object).await.with_context(|| format!("apply {}", file.display()))?;
        }
    }
    Ok(())
}

async fn apply(client: &Client, object: &Value) -> anyhow::Result<()> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let version = text("/apiVersion").context("an object has no apiVersion")?;
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let kind = text("/kind").context("an object has no kind")?;
    let name = text("/metadata/name").context("an object has no name")?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> = match text("/metadata/namespace") {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let by_operator = PatchParams::apply("operator");
    api.patch(name, &by_operator, &Patch::Apply(object)).await.with_context(|| format!("{kind} {name}"))?;
    Ok(())
}

/// A token of a service account, signed by the API server.
pub async fn token_of(client: &Client, namespace: &str, account: &str) -> anyhow::Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let request: TokenRequest =
        serde_json::from_value(json!({ "spec": { "audiences": [], "expirationSeconds": TOKEN_SECS } }))?;
    let answer = accounts.create_token_request(account, &PostParams::default(), &request).await;
    let status = answer.context("ask for a token")?.status.context("the answer has no status")?;
    Ok(status.token)
}
