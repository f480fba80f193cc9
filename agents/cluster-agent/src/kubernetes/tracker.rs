//! The pods that are followed, and what is known of each.
//!
//! In: pods as they were seen, with their workloads. Out: events. The state is as large as the cluster, and slim.

use std::collections::{HashMap, HashSet};

use bus_schema::{ClusterId, WorkloadRef};
use jiff::Timestamp;

use super::owners::Workload;
use super::payload::Pod;
use super::translate::{Change, Dated, KnownPod, View, change, gone};

/// More pods than the settings allow: some would be passed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there are more than {pods_max} pods, see `pods_max` in the settings")]
pub(crate) struct TooManyPods {
    pods_max: usize,
}

/// What is known of all followed pods, by UID.
#[derive(Debug)]
pub(crate) struct Tracker {
    cluster_name: String,
    pods_max: usize,
    pods: HashMap<String, Tracked>,
}

#[derive(Debug)]
struct Tracked {
    /// Which of the followed scopes the pod lies in.
    scope: usize,
    known: KnownPod,
}

impl Tracker {
    pub(crate) fn new(cluster_name: String, pods_max: usize) -> Tracker {
        Tracker { cluster_name, pods_max, pods: HashMap::new() }
    }

    /// Returns what happened, and whether a digest became known that an inventory has to tell.
    pub(crate) fn applied(
        &mut self,
        scope: usize,
        pod: &Pod,
        workload: &WorkloadRef,
        seen: Timestamp,
    ) -> Result<(Vec<Dated>, bool), TooManyPods> {
        let uid = &pod.metadata.uid;
        let before = self.pods.remove(uid).map(|tracked| tracked.known);
        if self.pods.len() >= self.pods_max {
            return Err(TooManyPods { pods_max: self.pods_max });
        }
        let view = View { cluster_name: &self.cluster_name, workload, seen };
        let Change { events, known, clarified } = change(before, pod, view);
        self.pods.insert(uid.clone(), Tracked { scope, known });
        Ok((events, clarified))
    }

    /// The pod `uid` is gone.
    pub(crate) fn deleted(&mut self, uid: &str, seen: Timestamp) -> Vec<Dated> {
        match self.pods.remove(uid) {
            Some(tracked) => gone(tracked.known, &self.cluster_name, seen),
            None => Vec::new(),
        }
    }

    /// Everything of `scope` that is not `listed` is gone.
    pub(crate) fn keep_only(&mut self, scope: usize, listed: &HashSet<&str>, seen: Timestamp) -> Vec<Dated> {
        let is_missing =
            |(uid, tracked): &(&String, &Tracked)| tracked.scope == scope && !listed.contains(uid.as_str());
        let missing: Vec<String> = self.pods.iter().filter(is_missing).map(|(uid, _)| uid.clone()).collect();
        missing.iter().flat_map(|uid| self.deleted(uid, seen)).collect()
    }
}

/// The reference to a pod's workload. Owners may have names that a reference cannot hold; then the pod stands for itself.
pub(crate) fn workload_ref(cluster: &ClusterId, pod: &Pod, workload: Workload) -> WorkloadRef {
    let reference = |kind: String, name: String| WorkloadRef {
        cluster: cluster.clone(),
        namespace: pod.metadata.namespace.clone(),
        kind,
        name,
    };
    let named = reference(workload.kind, workload.name);
    match named.to_string().parse::<WorkloadRef>() {
        Ok(_) => named,
        Err(_) => reference("Pod".to_owned(), pod.metadata.name.clone()),
    }
}
