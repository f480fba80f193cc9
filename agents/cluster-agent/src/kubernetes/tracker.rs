//! The pods that are followed, and what is known of each.
//!
//! In: pods as they were seen, with their workloads. Out: events. The state is as large as the cluster, and slim. A list
//! is taken pod by pod: what it does not name is gone when it ends.

use std::collections::HashMap;

use bus_schema::{ClusterId, WorkloadRef};
use jiff::Timestamp;

use super::kept::Commons;
use super::owners::Workload;
use super::payload::Pod;
use super::translate::{Change, Dated, KeptPod, KnownPod, View, change, gone};

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
    pods: HashMap<Box<str>, Tracked>,
    /// By scope.
    lists: Vec<ScopeList>,
    commons: Commons,
}

#[derive(Debug)]
struct Tracked {
    /// Which of the followed scopes the pod lies in.
    scope: usize,
    /// The last list that named it.
    list: u32,
    known: KeptPod,
}

/// How far a scope's list has come.
#[derive(Debug, Clone, Default)]
struct ScopeList {
    /// Counts the scope's lists.
    number: u32,
    /// The followed pods that it did not name so far; they may be gone.
    unnamed: usize,
}

impl Tracker {
    pub(crate) fn new(cluster_name: String, scopes: usize, pods_max: usize) -> Tracker {
        let lists = vec![ScopeList::default(); scopes];
        Tracker { cluster_name, pods_max, pods: HashMap::new(), lists, commons: Commons::default() }
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
        let before = self.remove(uid);
        let unnamed: usize = self.lists.iter().map(|list| list.unnamed).sum();
        if self.pods.len() - unnamed >= self.pods_max {
            return Err(TooManyPods { pods_max: self.pods_max });
        }
        let view = View { cluster_name: &self.cluster_name, workload, seen };
        let Change { events, known, clarified } = change(before, pod, view);
        let (list, known) = (self.lists[scope].number, known.keep(&mut self.commons));
        self.pods.insert(uid.as_str().into(), Tracked { scope, list, known });
        Ok((events, clarified))
    }

    /// The pod `uid` is gone.
    pub(crate) fn deleted(&mut self, uid: &str, seen: Timestamp) -> Vec<Dated> {
        match self.remove(uid) {
            Some(known) => gone(known, &self.cluster_name, seen),
            None => Vec::new(),
        }
    }

    /// A list of `scope` begins. Every pod that it names is applied or named before it ends.
    pub(crate) fn list_begun(&mut self, scope: usize) {
        let unnamed = self.pods.values().filter(|tracked| tracked.scope == scope).count();
        let list = &mut self.lists[scope];
        *list = ScopeList { number: list.number.wrapping_add(1), unnamed };
    }

    /// The list names the pod `uid` and nothing more is known of it.
    pub(crate) fn named(&mut self, uid: &str) {
        let Some(tracked) = self.pods.get_mut(uid) else { return };
        let list = &mut self.lists[tracked.scope];
        if tracked.list != list.number {
            tracked.list = list.number;
            list.unnamed -= 1;
        }
    }

    /// The list of `scope` has named every pod: what it did not name is gone.
    pub(crate) fn list_ended(&mut self, scope: usize, seen: Timestamp) -> Vec<Dated> {
        let unnamed = self.unnamed(scope);
        unnamed.iter().flat_map(|uid| self.deleted(uid, seen)).collect()
    }

    /// The list of `scope` is over, and may have missed any pod: what it did not name stays.
    pub(crate) fn list_ended_with_holes(&mut self, scope: usize) {
        for uid in self.unnamed(scope) {
            self.named(&uid);
        }
    }

    fn unnamed(&self, scope: usize) -> Vec<Box<str>> {
        let number = self.lists[scope].number;
        let is_unnamed = |tracked: &Tracked| tracked.scope == scope && tracked.list != number;
        let unnamed = self.pods.iter().filter(|(_, tracked)| is_unnamed(tracked));
        unnamed.map(|(uid, _)| uid.clone()).collect()
    }

    fn remove(&mut self, uid: &str) -> Option<KnownPod> {
        self.named(uid);
        self.pods.remove(uid).map(|tracked| tracked.known.known(uid))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::super::payload::read_pod;
    use super::*;

    #[test]
    fn what_a_list_does_not_name_is_gone_when_it_ends() {
        let mut tracker = Tracker::new("test".to_owned(), 1, 10);
        list(&mut tracker, 0, &["a", "b", "c"]);
        tracker.list_begun(0);
        assert_eq!(applied(&mut tracker, 0, "a"), Ok(0), "nothing happened to it");
        tracker.named("b");
        assert_eq!(tracker.list_ended(0, Timestamp::UNIX_EPOCH).len(), 1);
        assert_eq!(followed(&tracker), ["a", "b"]);
    }

    #[test]
    fn a_list_that_begins_anew_forgets_what_it_named() {
        let mut tracker = Tracker::new("test".to_owned(), 1, 10);
        list(&mut tracker, 0, &["a", "b"]);
        tracker.list_begun(0);
        applied(&mut tracker, 0, "a").unwrap();
        list(&mut tracker, 0, &["b"]);
        assert_eq!(followed(&tracker), ["b"]);
    }

    #[test]
    fn a_list_with_holes_says_nothing_of_what_it_does_not_name() {
        let mut tracker = Tracker::new("test".to_owned(), 1, 2);
        list(&mut tracker, 0, &["a", "b"]);
        tracker.list_begun(0);
        tracker.list_ended_with_holes(0);
        assert_eq!(followed(&tracker), ["a", "b"]);
        assert_eq!(applied(&mut tracker, 0, "c"), Err(TooManyPods { pods_max: 2 }), "both still count");
    }

    #[test]
    fn a_list_of_one_scope_harms_no_other() {
        let mut tracker = Tracker::new("test".to_owned(), 2, 10);
        list(&mut tracker, 0, &["a"]);
        list(&mut tracker, 1, &["b"]);
        list(&mut tracker, 0, &[]);
        assert_eq!(followed(&tracker), ["b"]);
    }

    #[test]
    fn pods_that_replace_as_many_others_are_not_too_many() {
        let mut tracker = Tracker::new("test".to_owned(), 1, 2);
        list(&mut tracker, 0, &["a", "b"]);
        list(&mut tracker, 0, &["c", "d"]);
        assert_eq!(followed(&tracker), ["c", "d"]);
        tracker.list_begun(0);
        applied(&mut tracker, 0, "e").unwrap();
        applied(&mut tracker, 0, "f").unwrap();
        assert_eq!(applied(&mut tracker, 0, "g"), Err(TooManyPods { pods_max: 2 }));
    }

    fn list(tracker: &mut Tracker, scope: usize, uids: &[&str]) {
        tracker.list_begun(scope);
        for uid in uids {
            applied(tracker, scope, uid).unwrap();
        }
        tracker.list_ended(scope, Timestamp::UNIX_EPOCH);
    }

    /// Returns how many events it was.
    fn applied(tracker: &mut Tracker, scope: usize, uid: &str) -> Result<usize, TooManyPods> {
        let pod = serde_json::json!({
            "metadata": { "name": uid, "namespace": "shop", "uid": uid },
            "status": { "containerStatuses": [{ "name": "app", "containerID": "c://1", "state": { "running": {} } }] },
        });
        let pod = read_pod(&pod.to_string()).unwrap();
        let workload = "c/shop/Deployment/app".parse().unwrap();
        tracker.applied(scope, &pod, &workload, Timestamp::UNIX_EPOCH).map(|(events, _)| events.len())
    }

    fn followed(tracker: &Tracker) -> Vec<&str> {
        let mut uids: Vec<&str> = tracker.pods.keys().map(|uid| &**uid).collect();
        uids.sort_unstable();
        uids
    }
}
