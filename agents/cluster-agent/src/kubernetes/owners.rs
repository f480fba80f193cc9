//! Which workload a pod belongs to: the topmost owner, found through owner references.
//!
//! In: a pod's references and a source of the owners' metadata. Out: kind and name, always: an owner that cannot be
//! read ends the walk at what is known. Never waits longer than [`WALK_TIME_MAX`], never follows a circle.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use super::cut::cut;
use super::payload::{OwnerReference, Pod};

/// How many owners stand above each other at most: Pod, Job, CronJob and a few of somebody's own.
const OWNER_DEPTH_MAX: usize = 8;
/// How long one walk may take; a pod's events wait for it.
const WALK_TIME_MAX: Duration = Duration::from_secs(10);
/// How many answers are remembered.
const CACHED_OWNERS_MAX: u64 = 50_000;
/// How long an answer counts: owners change when a controller adopts what it finds.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(600);
/// How long a failed look-up is not repeated.
const FAILURE_TIME_MAX: Duration = Duration::from_secs(30);

/// A kind that is looked up, because something above it may own it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OwnerKind {
    /// Empty for the core group.
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    /// The name in the API's paths: `replicasets`.
    pub(crate) plural: String,
}

/// The kind and name of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Workload {
    pub(crate) kind: String,
    pub(crate) name: String,
}

/// Answers who owns an object.
#[async_trait]
pub(crate) trait OwnerSource: Send + Sync {
    /// The owner references of the object, and its own UID.
    async fn owners(&self, namespace: &str, kind: &OwnerKind, name: &str) -> Result<Owned, LookupError>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) uid: String,
    pub(crate) owners: Vec<OwnerReference>,
}

/// Why an owner could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LookupError {
    #[error("not found")]
    NotFound,
    #[error("denied")]
    Denied,
    #[error("unreachable")]
    Unreachable,
    #[error("unreadable")]
    Unreadable,
}

/// How long after its minute a CronJob may start a Job whose pod still counts as scheduled for it.
const SCHEDULE_LATE_SECONDS_MAX: i64 = 24 * 3600;
/// How far the clocks of controllers may be apart.
const CLOCK_SKEW_SECONDS: i64 = 60;

/// Finds workloads, and remembers what it asked.
pub(crate) struct Owners<S> {
    source: S,
    walk_time_max: Duration,
    /// By group and kind.
    kinds: BTreeMap<(String, String), OwnerKind>,
    answers: moka::sync::Cache<Key, Option<OwnerReference>>,
    failures: moka::sync::Cache<Key, ()>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    namespace: String,
    /// The owner's, which tells it from another one of the same name.
    uid: String,
}

impl<S: OwnerSource> Owners<S> {
    pub(crate) fn new(source: S, kinds: &[OwnerKind]) -> Owners<S> {
        let by_name = |kind: &OwnerKind| ((kind.group.clone(), kind.kind.clone()), kind.clone());
        Owners {
            source,
            walk_time_max: WALK_TIME_MAX,
            kinds: kinds.iter().map(by_name).collect(),
            answers: moka::sync::Cache::builder()
                .max_capacity(CACHED_OWNERS_MAX)
                .time_to_live(ANSWER_TIME_MAX)
                .build(),
            failures: moka::sync::Cache::builder()
                .max_capacity(CACHED_OWNERS_MAX)
                .time_to_live(FAILURE_TIME_MAX)
                .build(),
        }
    }

    /// The workload of `pod`.
    pub(crate) async fn workload(&self, pod: &Pod) -> Workload {
        let Some(direct) = direct_owner(pod) else { return bare_pod(pod) };
        let mut nearest = direct.clone();
        let walk = self.walk(pod, direct, &mut nearest);
        if tokio::time::timeout(self.walk_time_max, walk).await.is_err() {
            tracing::warn!(namespace = %pod.metadata.namespace, "the look-up of a pod's owners took too long");
            assume(pod, &mut nearest);
        }
        Workload { kind: cut(&nearest.kind), name: cut(&nearest.name) }
    }

    /// Moves `nearest` up as far as owners can be read.
    async fn walk(&self, pod: &Pod, direct: &OwnerReference, nearest: &mut OwnerReference) {
        let mut seen = vec![direct.uid.clone()];
        while seen.len() < OWNER_DEPTH_MAX {
            let name = (nearest.group().to_owned(), nearest.kind.clone());
            let Some(kind) = self.kinds.get(&name) else { return };
            match self.owner_of(&pod.metadata.namespace, kind, nearest).await {
                Ok(Some(above)) if !seen.contains(&above.uid) => {
                    seen.push(above.uid.clone());
                    *nearest = above;
                }
                Ok(_) => return,
                Err(error) => {
                    tracing::debug!(kind = %nearest.kind, %error, "an owner could not be read");
                    assume(pod, nearest);
                    return;
                }
            }
        }
    }

    async fn owner_of(
        &self,
        namespace: &str,
        kind: &OwnerKind,
        object: &OwnerReference,
    ) -> Result<Option<OwnerReference>, LookupError> {
        let key = Key { namespace: namespace.to_owned(), uid: object.uid.clone() };
        if let Some(known) = self.answers.get(&key) {
            return Ok(known);
        }
        if self.failures.contains_key(&key) {
            return Err(LookupError::Unreachable);
        }
        let answer = self.source.owners(namespace, kind, &object.name).await;
        let answer = match answer {
            // Another object of the same name says nothing about this one.
            Ok(owned) if owned.uid != object.uid => Err(LookupError::NotFound),
            Ok(owned) => Ok(controller(&owned.owners).cloned()),
            Err(error) => Err(error),
        };
        match &answer {
            Ok(owner) => self.answers.insert(key, owner.clone()),
            Err(_) => self.failures.insert(key, ()),
        }
        answer
    }
}

impl<S> std::fmt::Debug for Owners<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Owners").field("kinds", &self.kinds).finish_non_exhaustive()
    }
}

/// The owner that a pod names. The mirror of a static pod names its node, which is not a workload.
fn direct_owner(pod: &Pod) -> Option<&OwnerReference> {
    if pod.metadata.annotations.mirror.is_some() {
        return None;
    }
    controller(&pod.metadata.owner_references)
        .filter(|owner| !(owner.kind == "Node" && owner.group().is_empty()))
}

/// The owner that manages an object; where none says so, the first one.
fn controller(owners: &[OwnerReference]) -> Option<&OwnerReference> {
    owners.iter().find(|owner| owner.controller == Some(true)).or_else(|| owners.first())
}

fn bare_pod(pod: &Pod) -> Workload {
    Workload { kind: "Pod".to_owned(), name: cut(&pod.metadata.name) }
}

/// What the name of an owner that cannot be read says of the one above it.
fn assume(pod: &Pod, nearest: &mut OwnerReference) {
    let above = match (nearest.group(), nearest.kind.as_str()) {
        ("apps", "ReplicaSet") => deployment_of(pod, &nearest.name).map(|name| ("Deployment", name)),
        ("batch", "Job") => cron_job_of(pod, &nearest.name).map(|name| ("CronJob", name)),
        _ => None,
    };
    if let Some((kind, name)) = above {
        (nearest.kind, nearest.name) = (kind.to_owned(), name.to_owned());
    }
}

/// A Deployment names its ReplicaSets after itself and the template's hash, and labels their pods with that hash: both
/// together stand for what the ReplicaSet would say.
fn deployment_of<'a>(pod: &Pod, replica_set: &'a str) -> Option<&'a str> {
    let hash = pod.metadata.labels.pod_template_hash.as_deref().filter(|hash| !hash.is_empty())?;
    replica_set.strip_suffix(hash)?.strip_suffix('-').filter(|stem| !stem.is_empty())
}

/// A CronJob names its Jobs after itself and the minute for which they were scheduled, and deletes them soon: a minute shortly
/// before the pod was made stands for what the Job would say. Another number is a name that somebody chose.
fn cron_job_of<'a>(pod: &Pod, job: &'a str) -> Option<&'a str> {
    let made = pod.metadata.creation_timestamp?.as_second();
    let (stem, minutes) = job.rsplit_once('-').filter(|(stem, _)| !stem.is_empty())?;
    let scheduled = minutes.parse::<i64>().ok()?.checked_mul(60)?;
    let is_exact = minutes == (scheduled / 60).to_string();
    let late = made.checked_sub(scheduled)?;
    (is_exact && (-CLOCK_SKEW_SECONDS..=SCHEDULE_LATE_SECONDS_MAX).contains(&late)).then_some(stem)
}

#[cfg(test)]
mod tests;
