//! Takes what was seen, in order: owners are looked up for many pods at once, changes are made one by one.

use bus_schema::WorkloadRef;
use futures::StreamExt;
use futures::future::BoxFuture;
use jiff::Timestamp;

use super::{Following, FollowingError};
use crate::kubernetes::payload::{Pod, ReadPod};
use crate::kubernetes::survey::LOOKUPS_AT_ONCE;
use crate::kubernetes::tracker::workload_ref;
use crate::kubernetes::translate::Dated;
use crate::kubernetes::watch::{ScopeSeen, Seen};

impl Following {
    pub(super) async fn take(&mut self, batch: Vec<ScopeSeen>) -> Result<(), FollowingError> {
        let workloads = self.workloads(batch.iter().map(|(_, seen)| pod_of(seen)).collect()).await;
        let mut events = Vec::new();
        // What was reached in each scope counts as seen only when all before it is said.
        let mut in_touch = Vec::new();
        for ((scope, seen), workload) in batch.into_iter().zip(workloads) {
            match seen {
                Seen::ListBegun { at, cause } => {
                    self.say(&mut events).await?;
                    self.take_list_begun(scope, at, cause).await?;
                }
                Seen::ListedPods { pods, at, page } => {
                    self.say(&mut events).await?;
                    self.take_listed(scope, pods, at).await?;
                    drop(page);
                }
                Seen::ListEnded { at, cause } => {
                    self.say(&mut events).await?;
                    self.take_list_ended(scope, at, cause).await?;
                }
                Seen::Applied { pod, at } => {
                    in_touch.push((scope, at));
                    events.extend(self.applied(scope, &pod, workload, at).await?);
                }
                Seen::Deleted { pod, at } => {
                    in_touch.push((scope, at));
                    // The last state of a pod may say how its containers ended.
                    events.extend(self.applied(scope, &pod, workload, at).await?);
                    if let Some(uid) = uid_of(&pod) {
                        events.extend(self.tracker.deleted(uid, at));
                    }
                }
                Seen::Connected => self.scopes.connected(scope),
                Seen::InTouch { at } => in_touch.push((scope, at)),
                Seen::OutOfTouch { reason } => {
                    self.report.metrics().watch_failed();
                    self.scopes.out_of_touch(scope, reason);
                }
            }
        }
        self.say(&mut events).await?;
        for (scope, at) in in_touch {
            self.scopes.in_touch(scope, at);
        }
        self.tell_health();
        Ok(())
    }

    pub(super) async fn applied(
        &mut self,
        scope: usize,
        pod: &ReadPod,
        workload: Option<WorkloadRef>,
        at: Timestamp,
    ) -> Result<Vec<Dated>, FollowingError> {
        self.report.metrics().pod_seen();
        let (pod, workload) = match (pod, workload) {
            (Ok(pod), Some(workload)) => (pod, workload),
            (Ok(_), None) => return Ok(Vec::new()),
            (Err(unreadable), _) => {
                self.report.bury_pod(unreadable).await?;
                return Ok(Vec::new());
            }
        };
        let (events, clarified) = self.tracker.applied(scope, pod, &workload, at)?;
        if clarified {
            self.is_due_soon();
        }
        Ok(events)
    }

    /// The workload of each pod, in order.
    pub(super) async fn workloads(&self, pods: Vec<Option<&Pod>>) -> Vec<Option<WorkloadRef>> {
        let mut look_ups: Vec<BoxFuture<'_, Option<WorkloadRef>>> = Vec::with_capacity(pods.len());
        for pod in pods {
            look_ups.push(Box::pin(async move {
                let pod = pod?;
                Some(workload_ref(&self.cluster, pod, self.owners.workload(pod).await))
            }));
        }
        futures::stream::iter(look_ups).buffered(LOOKUPS_AT_ONCE).collect().await
    }

    pub(super) async fn say(&self, events: &mut Vec<Dated>) -> Result<(), FollowingError> {
        Ok(self.report.say_all(std::mem::take(events)).await?)
    }

    fn tell_health(&self) {
        match self.scopes.problem() {
            None => self.check.ready(),
            Some(problem) => self.check.failing(problem),
        }
    }
}

fn pod_of(seen: &Seen) -> Option<&Pod> {
    match seen {
        Seen::Applied { pod, .. } | Seen::Deleted { pod, .. } => pod.as_deref().ok(),
        _ => None,
    }
}

pub(super) fn uid_of(pod: &ReadPod) -> Option<&str> {
    match pod {
        Ok(pod) => Some(&pod.metadata.uid),
        Err(unreadable) => unreadable.uid.as_deref(),
    }
}
