//! Takes lists, page by page: what a page names is said before the next page is there; what a whole list does not name is
//! gone.

use bus_schema::Event;
use bus_schema::fleet::AgentGap;
use jiff::Timestamp;

use super::batch::uid_of;
use super::{Following, FollowingError};
use crate::kubernetes::payload::ReadPod;
use crate::kubernetes::translate::Dated;
use crate::kubernetes::watch::ListCause;

/// How many pods of a page are said at once.
const LISTED_AT_ONCE: usize = 256;
const FORGOTTEN: &str = "the API server no longer knew what happened (410 Gone)";

/// The list of one scope, as far as it was taken.
#[derive(Debug, Default, Clone)]
pub(super) struct TakenList {
    pods: usize,
    /// It named a pod that cannot be told apart: that may be any of those that seem to be missing.
    has_holes: bool,
    /// Until when a gap was said that this list closes. A list that has begun anew closes more.
    gap_until: Option<Timestamp>,
}

impl Following {
    pub(super) async fn take_list_begun(
        &mut self,
        scope: usize,
        at: Timestamp,
        cause: ListCause,
    ) -> Result<(), FollowingError> {
        self.tracker.list_begun(scope);
        let list = &mut self.lists[scope];
        *list = TakenList { gap_until: list.gap_until, ..TakenList::default() };
        match list.gap_until {
            None => self.say_forgotten(scope, at, cause).await,
            Some(_) => Ok(()),
        }
    }

    pub(super) async fn take_listed(
        &mut self,
        scope: usize,
        pods: Vec<ReadPod>,
        at: Timestamp,
    ) -> Result<(), FollowingError> {
        let list = &mut self.lists[scope];
        list.pods += pods.len();
        for pod in &pods {
            match uid_of(pod) {
                Some(uid) => self.tracker.named(uid),
                None => list.has_holes = true,
            }
        }
        for chunk in pods.chunks(LISTED_AT_ONCE) {
            let workloads = self.workloads(chunk.iter().map(|pod| pod.as_deref().ok()).collect()).await;
            let mut events = Vec::new();
            for (pod, workload) in chunk.iter().zip(workloads) {
                events.extend(self.applied(scope, pod, workload, at).await?);
            }
            self.say(&mut events).await?;
        }
        Ok(())
    }

    pub(super) async fn take_list_ended(
        &mut self,
        scope: usize,
        at: Timestamp,
        cause: ListCause,
    ) -> Result<(), FollowingError> {
        let was_listed = self.scopes.are_listed();
        self.report.metrics().list_seen();
        self.say_forgotten(scope, at, cause).await?;
        let TakenList { pods, has_holes, gap_until: _ } = std::mem::take(&mut self.lists[scope]);
        match has_holes {
            true => self.tracker.list_ended_with_holes(scope),
            false => {
                let mut events = self.tracker.list_ended(scope, at);
                self.say(&mut events).await?;
            }
        }
        self.scopes.listed(scope, at);
        tracing::info!(scope, pods, ?cause, "listed the pods");
        if self.scopes.are_listed() {
            if !was_listed {
                self.begin_coverage(at).await?;
            }
            // What a gap hid is found again by an inventory made after it.
            self.is_due(tokio::time::Instant::now());
        }
        Ok(())
    }

    /// Says what may have been missed before the list of `at` and was not said yet.
    async fn say_forgotten(
        &mut self,
        scope: usize,
        at: Timestamp,
        cause: ListCause,
    ) -> Result<(), FollowingError> {
        let ListCause::Forgotten { from } = cause else { return Ok(()) };
        let from = self.lists[scope].gap_until.unwrap_or(from);
        if self.lists[scope].gap_until == Some(at) {
            return Ok(());
        }
        let gap = self.gaps.open(from, at, FORGOTTEN).await?;
        self.lists[scope].gap_until = Some(at);
        self.say_gap(gap).await
    }

    /// Every scope is listed for the first time.
    async fn begin_coverage(&mut self, at: Timestamp) -> Result<(), FollowingError> {
        match self.gaps.begin(at).await? {
            Some(gap) => self.say_gap(gap).await,
            None => Ok(()),
        }
    }

    async fn say_gap(&mut self, gap: AgentGap) -> Result<(), FollowingError> {
        self.report.metrics().gap_opened();
        tracing::warn!(reason = gap.reason, from = %gap.from, until = %gap.until, "something may have been missed");
        Ok(self.report.say(Dated { occurred: gap.until, event: Event::AgentGap(gap) }).await?)
    }
}
