//! The whole agent against an API server in memory and the embedded bus.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "fake_cluster.rs"]
mod fake_cluster;
#[path = "page_tests.rs"]
mod page_tests;

use std::sync::atomic::Ordering;

use bus_schema::cluster::{Container, InventoryObserved};
use bus_schema::fleet::{AgentGap, AgentReported};
use bus_schema::{Envelope, Event};
use fleet_runtime::bus::embedded::{EmbeddedBus, EmbeddedLimits};
use fleet_runtime::bus::{Bus, Stream};
use fleet_runtime::dead_letters::DeadLetters;
use fleet_runtime::health::Health;
use fleet_runtime::metrics::{FleetMetrics, Metrics as ProcessMetrics};
use fleet_runtime::settings::{Checked, Problems};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;
use crate::kubernetes::probe::{Outcome, Probed, probe_api};
use crate::settings::RawSettings;
use fake_cluster::{CLUSTER_UID, FakeCluster};

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const WAIT_MAX: Duration = Duration::from_secs(20);

/// An agent that runs beside a cluster.
struct Stage {
    cluster: Arc<FakeCluster>,
    bus: Arc<dyn Bus>,
    health: Health,
    folder: tempfile::TempDir,
    settings: Value,
    running: Option<(CancellationToken, JoinHandle<Result<(), FollowingError>>)>,
}

impl Stage {
    async fn new(settings: Value) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let bus = EmbeddedBus::open(&folder.path().join("bus"), EmbeddedLimits::default()).await.unwrap();
        let cluster = FakeCluster::new();
        Stage { cluster, bus, health: Health::default(), folder, settings, running: None }
    }

    fn start(&mut self) {
        let mut raw = json!({
            "cluster_name": "test", "inventory_interval": "1h", "report_interval": "100ms", "watch_timeout": "5s"
        });
        raw.as_object_mut().unwrap().extend(self.settings.as_object().unwrap().clone());
        let raw: RawSettings = serde_json::from_value(raw).unwrap();
        let settings = Settings::check(raw, &mut Problems::default()).unwrap();
        let metrics = ProcessMetrics::new();
        let counters = FleetMetrics::new(&metrics).agent("cluster-agent");
        let stop = CancellationToken::new();
        let context = AgentContext {
            publisher: Publisher::new(Arc::clone(&self.bus), "cluster-1".parse().unwrap(), counters),
            data: self.folder.path().join("agent"),
            metrics,
            health: self.health.clone(),
            stop: stop.clone(),
        };
        let api = Api::new(self.cluster.client(), settings.request_time_max, settings.watch_time_max);
        let agent = ClusterAgent::open(settings, &context).unwrap();
        let given = Supervised { stop: stop.clone(), check: self.health.check("cluster-agent") };
        let task = tokio::spawn(async move { agent.follow(api, &given).await });
        self.running = Some((stop, task));
    }

    async fn stop(&mut self) {
        let (stop, task) = self.running.take().unwrap();
        stop.cancel();
        tokio::time::timeout(WAIT_MAX, task).await.expect("it stops in time").unwrap().unwrap();
    }

    async fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        let mut from = 0;
        loop {
            let stored = self.bus.read(Stream::Events, from, 1000).await.unwrap();
            let Some(last) = stored.last() else { return events };
            from = last.sequence + 1;
            events.extend(stored.iter().map(|s| Envelope::from_json(&s.message.payload).unwrap().event));
        }
    }

    /// The events once `is_enough` says so.
    async fn until(&self, is_enough: impl Fn(&[Event]) -> bool) -> Vec<Event> {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            let events = self.events().await;
            if is_enough(&events) {
                return events;
            }
            assert!(Instant::now() < deadline, "it did not come: {events:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until_ready(&self, ready: bool) {
        let deadline = Instant::now() + WAIT_MAX;
        while self.health.report().ready != ready {
            assert!(Instant::now() < deadline, "{:?}", self.health.report());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// `+id` and `-id` of containers, in order.
fn changes(events: &[Event]) -> Vec<String> {
    let change = |event: &Event| match event {
        Event::ContainerStarted(data) => Some(format!("+{}", data.container.container_id)),
        Event::ContainerStopped(data) => Some(format!("-{}", data.container.container_id)),
        _ => None,
    };
    events.iter().filter_map(change).collect()
}

fn started(events: &[Event]) -> Vec<Container> {
    let container = |event: &Event| match event {
        Event::ContainerStarted(data) => Some(data.container.clone()),
        _ => None,
    };
    events.iter().filter_map(container).collect()
}

fn inventories(events: &[Event]) -> Vec<InventoryObserved> {
    let inventory = |event: &Event| match event {
        Event::InventoryObserved(data) => Some(data.clone()),
        _ => None,
    };
    events.iter().filter_map(inventory).collect()
}

fn gaps(events: &[Event]) -> Vec<AgentGap> {
    let gap = |event: &Event| match event {
        Event::AgentGap(data) => Some(data.clone()),
        _ => None,
    };
    events.iter().filter_map(gap).collect()
}

fn reports(events: &[Event]) -> Vec<AgentReported> {
    let report = |event: &Event| match event {
        Event::AgentReported(data) => Some(data.clone()),
        _ => None,
    };
    events.iter().filter_map(report).collect()
}

fn pod(uid: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": format!("pod-{uid}"), "namespace": "shop", "uid": uid },
        "spec": { "containers": [{ "name": "app", "image": "ghcr.io/acme/app:v1" }] },
        "status": { "containerStatuses": [{
            "name": "app", "image": "ghcr.io/acme/app:v1", "imageID": format!("ghcr.io/acme/app@{DIGEST}"),
            "containerID": format!("c://{uid}"), "restartCount": 0,
            "state": { "running": { "startedAt": "2026-01-01T00:00:00Z" } }
        }]}
    })
}

fn listed_ids(inventory: &InventoryObserved) -> Vec<&str> {
    inventory.containers.iter().map(|container| container.container_id.as_str()).collect()
}

#[tokio::test]
async fn what_runs_is_reported_and_listed_and_the_coverage_is_stated() {
    let mut stage = Stage::new(json!({})).await;
    for uid in ["a", "b"] {
        stage.cluster.apply(pod(uid));
    }
    stage.start();
    let events = stage
        .until(|events| {
            !inventories(events).is_empty()
                && reports(events).iter().any(|report| !report.coverage.is_empty())
        })
        .await;
    assert_eq!(changes(&events), ["+c://a", "+c://b"]);
    let inventory = &inventories(&events)[0];
    assert_eq!(listed_ids(inventory), ["c://a", "c://b"]);
    assert_eq!((inventory.part, inventory.parts, inventory.sequence), (1, 1, 1));
    assert_eq!((&inventory.after, &inventory.until), (&None, &None));
    assert_eq!(inventory.cluster.as_str(), CLUSTER_UID);
    let report = reports(&events).into_iter().find(|report| !report.coverage.is_empty()).unwrap();
    assert_eq!(report.coverage[0].scope, CLUSTER_UID);
    assert!(gaps(&events).is_empty());
    stage.until_ready(true).await;
    stage.stop().await;
}

#[tokio::test]
async fn what_happens_later_is_reported_once() {
    let mut stage = Stage::new(json!({})).await;
    stage.start();
    stage.until(|events| !inventories(events).is_empty()).await;
    stage.cluster.apply(pod("a"));
    stage.cluster.apply(pod("a"));
    stage.until(|events| changes(events).len() == 1).await;
    stage.cluster.delete("a");
    let events = stage.until(|events| changes(events).len() >= 2).await;
    assert_eq!(changes(&events), ["+c://a", "-c://a"]);
    assert!(stage.cluster.lists.load(Ordering::SeqCst) <= 2, "one list to follow, one for the inventory");
    stage.stop().await;
}

#[tokio::test]
async fn the_workload_is_the_owner_of_the_owner() {
    let mut stage = Stage::new(json!({})).await;
    let deployment = json!([{
        "apiVersion": "apps/v1", "kind": "Deployment", "name": "app", "uid": "d", "controller": true
    }]);
    stage.cluster.own("replicasets", "app-5d9", "r", deployment);
    let mut owned = pod("a");
    owned["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app-5d9", "uid": "r", "controller": true
    }]);
    stage.cluster.apply(owned);
    stage.start();
    let events = stage.until(|events| !inventories(events).is_empty()).await;
    let expected = format!("{CLUSTER_UID}/shop/Deployment/app");
    assert_eq!(started(&events)[0].workload.to_string(), expected);
    assert_eq!(inventories(&events)[0].containers[0].workload.to_string(), expected);
    stage.stop().await;
}

#[tokio::test]
async fn a_broken_watch_is_resumed_where_it_was() {
    let mut stage = Stage::new(json!({})).await;
    stage.cluster.apply(pod("a"));
    stage.start();
    stage.until(|events| !inventories(events).is_empty()).await;
    let lists = stage.cluster.lists.load(Ordering::SeqCst);
    stage.cluster.cut_watches();
    stage.cluster.apply(pod("b"));
    stage.cluster.delete("a");
    let events = stage.until(|events| changes(events).len() >= 3).await;
    assert_eq!(changes(&events), ["+c://a", "+c://b", "-c://a"]);
    assert_eq!(stage.cluster.lists.load(Ordering::SeqCst), lists, "no new list was needed");
    assert!(stage.cluster.watches.load(Ordering::SeqCst) > 1);
    assert!(gaps(&events).is_empty());
    stage.stop().await;
}

#[tokio::test]
async fn what_the_server_has_forgotten_is_a_gap_that_a_list_and_an_inventory_recover() {
    let mut stage = Stage::new(json!({})).await;
    stage.cluster.apply(pod("a"));
    stage.cluster.apply(pod("b"));
    stage.start();
    stage.until(|events| !inventories(events).is_empty()).await;
    stage.cluster.forget_after(|cluster| {
        cluster.delete("a");
        cluster.apply(pod("c"));
    });
    let events = stage.until(|events| gaps(events).iter().any(|gap| gap.recovered)).await;
    let mut later = changes(&events)[2..].to_vec();
    later.sort();
    assert_eq!(later, ["+c://c", "-c://a"]);
    let gaps = gaps(&events);
    assert_eq!(gaps.len(), 2);
    assert!(!gaps[0].recovered && gaps[1].recovered);
    assert_eq!(gaps[0].sequence, gaps[1].sequence);
    assert_eq!(gaps[0].scope, CLUSTER_UID);
    assert!(gaps[0].from <= gaps[0].until);
    let latest = inventories(&events).pop().unwrap();
    assert_eq!(listed_ids(&latest), ["c://b", "c://c"]);
    assert!(latest.observed_at >= gaps[0].until);
    stage.stop().await;
}

#[tokio::test]
async fn a_pod_that_cannot_be_read_harms_no_other_and_is_kept() {
    let mut stage = Stage::new(json!({})).await;
    let mut malformed = pod("b");
    malformed["spec"]["containers"] = json!("none");
    for pod in [pod("a"), malformed, pod("c")] {
        stage.cluster.apply(pod);
    }
    stage.start();
    let events = stage.until(|events| inventories(events).len() >= 2).await;
    assert_eq!(changes(&events), ["+c://a", "+c://c"]);
    for inventory in inventories(&events) {
        let is_after = inventory.after.as_deref().is_none_or(|after| "b" > after);
        let is_until = inventory.until.as_deref().is_none_or(|until| "b" <= until);
        assert!(!(is_after && is_until), "{inventory:?}");
    }

    let mut second = pod("d");
    second["status"]["containerStatuses"] = json!(7);
    stage.cluster.apply(second);
    stage.cluster.apply(pod("e"));
    stage.until(|events| changes(events).len() == 3).await;
    let letters = DeadLetters::new(Arc::clone(&stage.bus)).list(0, 100).await.unwrap();
    assert_eq!(letters.len(), 2);
    assert!(letters[0].letter.as_ref().unwrap().reason.contains("pod b"));
    stage.stop().await;
}

#[tokio::test]
async fn a_second_process_says_when_nobody_watched_and_keeps_the_beginning_of_its_coverage() {
    let mut stage = Stage::new(json!({})).await;
    stage.cluster.apply(pod("a"));
    stage.start();
    let covered = |report: &AgentReported| report.coverage.first().map(|coverage| coverage.since);
    let events = stage
        .until(|events| {
            !inventories(events).is_empty() && reports(events).iter().filter_map(covered).next().is_some()
        })
        .await;
    let since = reports(&events).iter().filter_map(covered).next();
    stage.stop().await;
    stage.cluster.delete("a");
    stage.cluster.apply(pod("b"));

    stage.start();
    let events = stage.until(|events| gaps(events).iter().any(|gap| gap.recovered)).await;
    let epochs: Vec<_> = inventories(&events).iter().map(|inventory| inventory.epoch).collect();
    assert!(epochs[0] < epochs[epochs.len() - 1]);
    assert_eq!(listed_ids(&inventories(&events).pop().unwrap()), ["c://b"]);
    let later = stage
        .until(|later| {
            reports(later).iter().any(|report| report.epoch > epochs[0] && !report.coverage.is_empty())
        })
        .await;
    assert_eq!(covered(&reports(&later).pop().unwrap()), since);
    stage.stop().await;
}

#[tokio::test]
async fn a_cluster_with_too_many_pods_is_refused_as_a_whole() {
    let mut stage = Stage::new(json!({ "pods_max": 2, "page_pods_max": 1 })).await;
    for uid in ["a", "b", "c"] {
        stage.cluster.apply(pod(uid));
    }
    stage.start();
    let events = stage.until(|events| reports(events).len() >= 3).await;
    assert!(changes(&events).is_empty() && inventories(&events).is_empty());
    assert!(!stage.health.report().ready);
    stage.cluster.delete("c");
    stage.until(|events| !inventories(events).is_empty()).await;
    stage.until_ready(true).await;
    stage.stop().await;
}

#[tokio::test]
async fn an_agent_that_is_denied_says_that_it_lives_and_nothing_else() {
    let mut stage = Stage::new(json!({})).await;
    stage.cluster.apply(pod("a"));
    stage.cluster.refuse(Some(403));
    stage.start();
    let events = stage.until(|events| reports(events).len() >= 2).await;
    assert!(events.iter().all(|event| matches!(event, Event::AgentReported(_))));
    assert!(reports(&events).iter().all(|report| report.coverage.is_empty()));
    assert!(!stage.health.report().ready);

    stage.cluster.refuse(None);
    stage.until(|events| !inventories(events).is_empty()).await;
    stage.until_ready(true).await;
    stage.cluster.refuse(Some(401));
    stage.until_ready(false).await;
    stage.cluster.refuse(None);
    stage.until_ready(true).await;
    stage.stop().await;
}

#[tokio::test]
async fn inventories_come_at_their_interval() {
    let mut stage = Stage::new(json!({ "inventory_interval": "200ms" })).await;
    stage.cluster.apply(pod("a"));
    stage.start();
    let events = stage.until(|events| inventories(events).len() >= 3).await;
    let sequences: Vec<u64> = inventories(&events).iter().map(|inventory| inventory.sequence).collect();
    assert_eq!(sequences[..3], [1, 2, 3]);
    stage.stop().await;
}

#[tokio::test]
async fn a_probe_says_what_works_and_what_to_do_where_it_does_not() {
    let stage = Stage::new(json!({})).await;
    let raw: RawSettings = serde_json::from_value(json!({ "cluster_name": "test" })).unwrap();
    let settings = Settings::check(raw, &mut Problems::default()).unwrap();
    let api = Api::new(stage.cluster.client(), settings.request_time_max, settings.watch_time_max);
    let probed = probe_api(&api, &settings).await;
    assert!(probed.iter().all(Probed::is_usable), "{probed:#?}");
    assert!(probed.len() > 3);

    stage.cluster.refuse(Some(403));
    let probed = probe_api(&api, &settings).await;
    let advice = probed.iter().filter_map(|probed| match &probed.outcome {
        Outcome::Fails { advice, .. } => Some(advice.as_str()),
        _ => None,
    });
    let advice: Vec<&str> = advice.collect();
    assert_eq!(advice.len(), 3, "{probed:#?}");
    assert!(advice.iter().all(|advice| advice.contains("deploy/cluster-agent")));
}

#[tokio::test]
async fn a_server_that_was_restored_is_listed_anew() {
    let mut stage = Stage::new(json!({})).await;
    stage.cluster.apply(pod("a"));
    stage.start();
    stage.until(|events| !inventories(events).is_empty()).await;
    stage.cluster.refuse_watches_of_now();
    let events = stage.until(|events| gaps(events).iter().any(|gap| gap.recovered)).await;
    assert_eq!(changes(&events), ["+c://a"], "nothing changed");
    stage.stop().await;
}
