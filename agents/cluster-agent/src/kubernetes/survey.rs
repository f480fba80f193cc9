//! Makes a full inventory: a list of its own, translated and cut into parts.
//!
//! In: an API and the owners. Out: the parts, with a time before the list was asked for; or an error, and then nothing
//! is said: half an inventory would say that the other half stopped.

use std::sync::Arc;

use bus_schema::ClusterId;
use futures::StreamExt;
use jiff::Timestamp;

use super::api::{Api, PodScope};
use super::inventory::{Inventory, Parts};
use super::list::{ListError, ListLimits, Listed, Listing};
use super::owners::Owners;
use super::payload::{Pod, ReadPod};
use super::tracker::workload_ref;
use super::translate::{View, running};

/// How many pods' owners are looked up at once.
pub(crate) const LOOKUPS_AT_ONCE: usize = 16;

/// What an inventory is made from.
#[derive(Debug, Clone)]
pub(crate) struct Surveyor {
    pub(crate) api: Api,
    pub(crate) owners: Arc<Owners<Api>>,
    pub(crate) scopes: Vec<PodScope>,
    pub(crate) limits: ListLimits,
    pub(crate) cluster: ClusterId,
    pub(crate) cluster_name: String,
}

#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) observed_at: Timestamp,
    pub(crate) parts: Parts,
    pub(crate) containers: usize,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SurveyError {
    #[error("failed to list the pods")]
    List(#[from] ListError),
    /// It could lie in any part.
    #[error("a pod cannot even be told apart: {0}")]
    Nameless(String),
}

impl Surveyor {
    pub(crate) async fn survey(&self) -> Result<Survey, SurveyError> {
        let observed_at = Timestamp::now();
        let mut inventory = Inventory::default();
        for scope in &self.scopes {
            inventory.add_all(self.survey_scope(scope).await?);
        }
        let containers = inventory.containers_count();
        Ok(Survey { observed_at, parts: inventory.into_parts(), containers })
    }

    /// Of each page only what runs is kept when the next is asked for.
    async fn survey_scope(&self, scope: &PodScope) -> Result<Inventory, SurveyError> {
        let mut inventory = Inventory::default();
        let mut list = Listing::begin(&self.api, scope, self.limits);
        loop {
            match list.next().await? {
                Listed::Pods(pods) => self.add(pods, list.requested_at(), &mut inventory).await?,
                Listed::Anew => inventory = Inventory::default(),
                Listed::End { .. } => return Ok(inventory),
            }
        }
    }

    async fn add(
        &self,
        pods: Vec<ReadPod>,
        seen: Timestamp,
        inventory: &mut Inventory,
    ) -> Result<(), SurveyError> {
        let mut read = Vec::with_capacity(pods.len());
        for pod in pods {
            match pod {
                Ok(pod) => read.push(pod),
                Err(unreadable) => match unreadable.uid {
                    Some(uid) => inventory.add_unreadable(&uid),
                    None => return Err(SurveyError::Nameless(unreadable.reason.to_string())),
                },
            }
        }
        let mut read = futures::stream::iter(read)
            .map(|pod| async move {
                let containers = self.containers(&pod, seen).await;
                (pod.metadata.uid, containers)
            })
            .buffered(LOOKUPS_AT_ONCE);
        while let Some((uid, containers)) = read.next().await {
            if let Err(error) = inventory.add(&uid, containers) {
                tracing::warn!(pod_uid = uid, %error, "a pod is left out of the inventory");
            }
        }
        Ok(())
    }

    async fn containers(&self, pod: &Pod, seen: Timestamp) -> Vec<bus_schema::cluster::Container> {
        let workload = workload_ref(&self.cluster, pod, self.owners.workload(pod).await);
        running(pod, View { cluster_name: &self.cluster_name, workload: &workload, seen })
    }
}
