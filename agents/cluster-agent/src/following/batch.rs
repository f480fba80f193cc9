//! Takes what was seen, in order: owners are looked up for many pods at once, changes are made one by one.

use std::collections::HashSet;

use bus_schema::{Event, WorkloadRef};
use futures::StreamExt;
use futures::future::BoxFuture;
use jiff::Timestamp;

use super::{Following, FollowingError};
use crate::kubernetes::list::PodList;
use crate::kubernetes::payload::{Pod, ReadPod};
use crate::kubernetes::survey::LOOKUPS_AT_ONCE;
use crate::kubernetes::tracker::workload_ref;
use crate::kubernetes::translate::Dated;
use crate::kubernetes::watch::{ListCause, ScopeSeen, Seen};

/// How many pods of a list are said at once.
const LISTED_AT_ONCE: usize = 256;

impl Following {
    pub(super) async fn take(&mut self, batch: Vec<ScopeSeen>) -> Result<(), FollowingError> {
        let workloads = self.workloads(batch.iter().map(|(_, seen)| pod_of(seen)).collect()).await;
        let mut events = Vec::new();
        // What was reached in each scope counts as seen only when all before it is said.
        let mut in_touch = Vec::new();
        for ((scope, seen), workload) in batch.into_iter().zip(workloads) {
            match seen {
                Seen::Listed { list, cause } => {
                    self.say(&mut events).await?;
                    self.take_list(scope, list, cause).await?;
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

    async fn take_list(
        &mut self,
        scope: usize,
        list: PodList,
        cause: ListCause,
    ) -> Result<(), FollowingError> {
        let was_listed = self.scopes.are_listed();
        self.report.metrics().list_seen();
        if let ListCause::Forgotten { from } = cause {
            let reason = "the API server no longer knew what happened (410 Gone)";
            let gap = self.gaps.open(from, list.requested_at, reason).await?;
            self.say_gap(gap).await?;
        }
        let uids: HashSet<&str> = list.pods.iter().filter_map(uid_of).collect();
        let is_whole = list.pods.iter().all(|pod| uid_of(pod).is_some());
        let mut events = match is_whole {
            true => self.tracker.keep_only(scope, &uids, list.requested_at),
            // A pod that cannot be told apart may be any of those that seem to be missing.
            false => Vec::new(),
        };
        for chunk in list.pods.chunks(LISTED_AT_ONCE) {
            let workloads = self.workloads(chunk.iter().map(|pod| pod.as_deref().ok()).collect()).await;
            for (pod, workload) in chunk.iter().zip(workloads) {
                events.extend(self.applied(scope, pod, workload, list.requested_at).await?);
            }
            self.say(&mut events).await?;
        }
        self.say(&mut events).await?;
        self.scopes.listed(scope, list.requested_at);
        tracing::info!(scope, pods = list.pods.len(), ?cause, "listed the pods");
        if self.scopes.are_listed() {
            if !was_listed {
                self.begin_coverage(list.requested_at).await?;
            }
            // What a gap hid is found again by an inventory made after it.
            self.is_due(tokio::time::Instant::now());
        }
        Ok(())
    }

    /// Every scope is listed for the first time.
    async fn begin_coverage(&mut self, at: Timestamp) -> Result<(), FollowingError> {
        match self.gaps.begin(at).await? {
            Some(gap) => self.say_gap(gap).await,
            None => Ok(()),
        }
    }

    async fn say_gap(&mut self, gap: bus_schema::fleet::AgentGap) -> Result<(), FollowingError> {
        self.report.metrics().gap_opened();
        tracing::warn!(reason = gap.reason, from = %gap.from, until = %gap.until, "something may have been missed");
        Ok(self.report.say(Dated { occurred: gap.until, event: Event::AgentGap(gap) }).await?)
    }

    async fn applied(
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
    async fn workloads(&self, pods: Vec<Option<&Pod>>) -> Vec<Option<WorkloadRef>> {
        let mut look_ups: Vec<BoxFuture<'_, Option<WorkloadRef>>> = Vec::with_capacity(pods.len());
        for pod in pods {
            look_ups.push(Box::pin(async move {
                let pod = pod?;
                Some(workload_ref(&self.cluster, pod, self.owners.workload(pod).await))
            }));
        }
        futures::stream::iter(look_ups).buffered(LOOKUPS_AT_ONCE).collect().await
    }

    async fn say(&self, events: &mut Vec<Dated>) -> Result<(), FollowingError> {
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

fn uid_of(pod: &ReadPod) -> Option<&str> {
    match pod {
        Ok(pod) => Some(&pod.metadata.uid),
        Err(unreadable) => unreadable.uid.as_deref(),
    }
}
