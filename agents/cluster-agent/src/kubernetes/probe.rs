//! Asks the cluster whether the agent could do its work: for people who set it up.
//!
//! In: checked settings. Out: one answer for each thing that the agent needs, with what to do where it is missing. It
//! asks each question once and follows nothing.

use super::api::{Api, ApiError, PodScope};
use super::connect::connect;
use super::owners::{LookupError, OwnerKind, OwnerSource};
use crate::settings::Settings;

/// A name that no owner has: a permitted question for it is answered with "not found".
const NO_OWNER: &str = "custody-probe-of-permissions";

/// One thing that the agent needs, and whether it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// What was asked, for people: `list pods`.
    pub what: String,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Works {
        /// What was found.
        detail: String,
    },
    /// The agent works, but knows less.
    Lacks { reason: String, advice: String },
    /// The agent cannot work.
    Fails { reason: String, advice: String },
}

impl Probed {
    /// Whether the agent can do its work as far as this goes.
    pub fn is_usable(&self) -> bool {
        !matches!(self.outcome, Outcome::Fails { .. })
    }
}

/// Asks for everything that the agent needs.
pub async fn probe(settings: &Settings) -> Vec<Probed> {
    match connect(settings).await {
        Ok(api) => probe_api(&api, settings).await,
        Err(error) => {
            let reason = fleet_runtime::error_chain(&error);
            let advice = "set `kubeconfig` to a kubeconfig file, or run the agent in the cluster".to_owned();
            vec![Probed {
                what: "read the credentials".to_owned(),
                outcome: Outcome::Fails { reason, advice },
            }]
        }
    }
}

pub(crate) async fn probe_api(api: &Api, settings: &Settings) -> Vec<Probed> {
    let identity = match api.cluster_id().await {
        Ok(cluster) => Outcome::Works { detail: format!("the cluster is {cluster}") },
        Err(error) => failed(&error, "allow `get` on the namespace kube-system"),
    };
    let mut probed = vec![Probed { what: "identify the cluster".to_owned(), outcome: identity }];
    for scope in &settings.scopes {
        probed.extend(probe_scope(api, scope).await);
    }
    let namespace = match settings.scopes.first() {
        Some(PodScope::Namespace(namespace)) => namespace.as_str(),
        _ => "default",
    };
    for kind in &settings.owner_kinds {
        probed.push(probe_owner(api, namespace, kind).await);
    }
    probed
}

async fn probe_scope(api: &Api, scope: &PodScope) -> Vec<Probed> {
    let place = match scope {
        PodScope::All => "of all namespaces".to_owned(),
        PodScope::Namespace(namespace) => format!("of the namespace {namespace}"),
    };
    let listed = match api.page(scope, 1, None).await {
        Ok(_) => Outcome::Works { detail: "they are listed".to_owned() },
        Err(error) => failed(&error, "allow `list` on pods"),
    };
    let watched = match api.watch(scope, "0").await {
        Ok(_) => Outcome::Works { detail: "they are watched".to_owned() },
        Err(error) => failed(&error, "allow `watch` on pods"),
    };
    vec![
        Probed { what: format!("list the pods {place}"), outcome: listed },
        Probed { what: format!("watch the pods {place}"), outcome: watched },
    ]
}

async fn probe_owner(api: &Api, namespace: &str, kind: &OwnerKind) -> Probed {
    let outcome = match api.owners(namespace, kind, NO_OWNER).await {
        Ok(_) | Err(LookupError::NotFound) => Outcome::Works { detail: "its owners can be read".to_owned() },
        Err(error) => Outcome::Lacks {
            reason: error.to_string(),
            advice: format!(
                "allow `get` on {}, or workloads are named by it and not by its owner",
                kind.plural
            ),
        },
    };
    Probed { what: format!("look up the owner of a {}", kind.kind), outcome }
}

fn failed(error: &ApiError, permission: &str) -> Outcome {
    let advice = match error {
        ApiError::Refused { code: 401, .. } => "renew the credentials in the kubeconfig".to_owned(),
        ApiError::Refused { code: 403, .. } => {
            format!("{permission}: the role in deploy/cluster-agent does")
        }
        ApiError::Unreachable(_) | ApiError::TimedOut { .. } | ApiError::Broken(_) => {
            "see that the API server runs and that its address and certificate in the kubeconfig are right"
                .to_owned()
        }
        _ => "see that the address in the kubeconfig is that of a Kubernetes API server".to_owned(),
    };
    Outcome::Fails { reason: fleet_runtime::error_chain(error), advice }
}
