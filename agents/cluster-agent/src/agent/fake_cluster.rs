//! An API server in memory, spoken to as if over HTTP: pods, owners, lists with pages, watches, and faults.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::sync::watch;

pub(super) const CLUSTER_UID: &str = "9a1c0000-0000-4000-8000-000000000001";

#[derive(Debug)]
pub(super) struct FakeCluster {
    state: Mutex<FakeState>,
    changed: watch::Sender<u64>,
    pub(super) lists: AtomicUsize,
    pub(super) pages: AtomicUsize,
    pub(super) watches: AtomicUsize,
}

#[derive(Debug, Default)]
struct FakeState {
    version: u64,
    /// What happened before this version is forgotten.
    oldest: u64,
    /// Running watches are cut when this changes.
    cuts: u64,
    pods: BTreeMap<String, String>,
    log: Vec<(u64, String)>,
    owners: HashMap<String, Value>,
    /// Watches from a version up to this one are refused as too large.
    lost: u64,
    /// Refuse everything with this status.
    refusal: Option<u16>,
    /// So many continued pages are answered with 410.
    forgotten_pages: usize,
}

type Shared = State<Arc<FakeCluster>>;

impl FakeCluster {
    pub(super) fn new() -> Arc<FakeCluster> {
        let (changed, _) = watch::channel(0);
        let state = Mutex::new(FakeState { version: 10, ..FakeState::default() });
        let (lists, pages, watches) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(FakeCluster { state, changed, lists, pages, watches })
    }

    pub(super) fn client(self: &Arc<FakeCluster>) -> kube::Client {
        let routes = Router::new()
            .route("/api/v1/namespaces/kube-system", get(kube_system))
            .route("/api/v1/pods", get(pods))
            .route("/apis/{group}/{version}/namespaces/{namespace}/{plural}/{name}", get(owner))
            .with_state(Arc::clone(self));
        kube::Client::new(routes, "default")
    }

    /// Creates or changes a pod and says so to those who watch.
    pub(super) fn apply(&self, pod: Value) {
        self.change(|state| {
            let uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
            let kind = if state.pods.contains_key(&uid) { "MODIFIED" } else { "ADDED" };
            state.write(&uid, kind, pod);
        });
    }

    pub(super) fn delete(&self, uid: &str) {
        self.change(|state| {
            let pod: Value = serde_json::from_str(&state.pods[uid]).unwrap();
            state.write(uid, "DELETED", pod);
            state.pods.remove(uid);
        });
    }

    /// Makes changes that no watch will ever tell: the server forgets what happened.
    pub(super) fn forget_after(&self, changes: impl FnOnce(&FakeCluster)) {
        {
            // Nobody is told until the end.
            let mut state = self.state.lock().unwrap();
            state.oldest = u64::MAX;
        }
        changes(self);
        self.change(|state| {
            state.version += 1;
            state.oldest = state.version;
            state.log.clear();
        });
    }

    pub(super) fn cut_watches(&self) {
        self.change(|state| state.cuts += 1);
    }

    pub(super) fn refuse(&self, status: Option<u16>) {
        self.change(|state| {
            state.refusal = status;
            state.cuts += 1;
        });
    }

    /// Like a server that was restored from a backup: what it said before means nothing to it.
    pub(super) fn refuse_watches_of_now(&self) {
        self.change(|state| {
            state.lost = state.version;
            state.version += 1;
            state.cuts += 1;
        });
    }

    pub(super) fn forget_pages(&self, count: usize) {
        self.change(|state| state.forgotten_pages = count);
    }

    pub(super) fn own(&self, plural: &str, name: &str, uid: &str, owners: Value) {
        let metadata = json!({ "name": name, "uid": uid, "ownerReferences": owners });
        self.change(|state| {
            state.owners.insert(format!("{plural}/{name}"), json!({ "metadata": metadata }));
        });
    }

    fn change(&self, change: impl FnOnce(&mut FakeState)) {
        change(&mut self.state.lock().unwrap());
        self.changed.send_modify(|count| *count += 1);
    }
}

impl FakeState {
    fn write(&mut self, uid: &str, kind: &str, mut pod: Value) {
        self.version += 1;
        pod["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let text = pod.to_string();
        self.log.push((self.version, format!("{{\"type\":\"{kind}\",\"object\":{text}}}\n")));
        self.pods.insert(uid.to_owned(), text);
    }

    fn refused(&self) -> Option<Response> {
        self.refusal.map(status)
    }
}

fn status(code: u16) -> Response {
    let reason = if code == 410 { "Expired" } else { "Refused" };
    let body =
        json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason });
    (StatusCode::from_u16(code).unwrap(), body.to_string()).into_response()
}

async fn kube_system(State(cluster): Shared) -> Response {
    let state = cluster.state.lock().unwrap();
    let body = json!({ "metadata": { "name": "kube-system", "uid": CLUSTER_UID } });
    state.refused().unwrap_or_else(|| body.to_string().into_response())
}

async fn owner(
    State(cluster): Shared,
    Path((_, _, _, plural, name)): Path<(String, String, String, String, String)>,
) -> Response {
    let state = cluster.state.lock().unwrap();
    match state.owners.get(&format!("{plural}/{name}")) {
        Some(owner) => owner.to_string().into_response(),
        None => status(404),
    }
}

async fn pods(State(cluster): Shared, Query(query): Query<HashMap<String, String>>) -> Response {
    if let Some(refused) = cluster.state.lock().unwrap().refused() {
        return refused;
    }
    match query.contains_key("watch") {
        true => watch_pods(cluster, query["resourceVersion"].parse().unwrap()),
        false => list_pods(&cluster, &query),
    }
}

fn list_pods(cluster: &FakeCluster, query: &HashMap<String, String>) -> Response {
    assert!(!query.contains_key("resourceVersion"), "a list is the most recent state");
    cluster.pages.fetch_add(1, Ordering::SeqCst);
    let mut state = cluster.state.lock().unwrap();
    let limit: usize = query["limit"].parse().unwrap();
    let from: usize = match query.get("continue") {
        Some(_) if state.forgotten_pages > 0 => {
            state.forgotten_pages -= 1;
            return status(410);
        }
        Some(token) => token.parse().unwrap(),
        None => 0,
    };
    if from == 0 {
        cluster.lists.fetch_add(1, Ordering::SeqCst);
    }
    let items: Vec<&str> = state.pods.values().skip(from).take(limit).map(String::as_str).collect();
    let next = from + items.len();
    let token = if next < state.pods.len() { next.to_string() } else { String::new() };
    let mut metadata = json!({ "resourceVersion": state.version.to_string(), "continue": token });
    if !token.is_empty() {
        metadata["remainingItemCount"] = json!(state.pods.len() - next);
    }
    format!("{{\"kind\":\"PodList\",\"metadata\":{metadata},\"items\":[{}]}}", items.join(","))
        .into_response()
}

struct Watching {
    cluster: Arc<FakeCluster>,
    version: u64,
    cuts: u64,
    changed: watch::Receiver<u64>,
    is_over: bool,
}

fn watch_pods(cluster: Arc<FakeCluster>, version: u64) -> Response {
    cluster.watches.fetch_add(1, Ordering::SeqCst);
    if version > 0 && version <= cluster.state.lock().unwrap().lost {
        return status(400);
    }
    let changed = cluster.changed.subscribe();
    let cuts = cluster.state.lock().unwrap().cuts;
    let watching = Watching { cluster, version, cuts, changed, is_over: false };
    let lines = futures::stream::unfold(watching, |mut watching| async move {
        let line = watching.next().await?;
        Some((Ok::<Bytes, std::io::Error>(Bytes::from(line)), watching))
    });
    Body::from_stream(lines).into_response()
}

impl Watching {
    async fn next(&mut self) -> Option<String> {
        loop {
            {
                let state = self.cluster.state.lock().unwrap();
                if self.is_over || state.cuts != self.cuts {
                    return None;
                }
                if state.oldest != u64::MAX {
                    if self.version < state.oldest {
                        self.is_over = true;
                        let status = json!({ "kind": "Status", "code": 410, "reason": "Expired" });
                        return Some(format!("{{\"type\":\"ERROR\",\"object\":{status}}}\n"));
                    }
                    let next = state.log.iter().find(|(version, _)| *version > self.version);
                    if let Some((version, line)) = next {
                        self.version = *version;
                        return Some(line.clone());
                    }
                }
            }
            self.changed.changed().await.ok()?;
        }
    }
}
