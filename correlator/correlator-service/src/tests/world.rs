//! What the tests share: a bus, a data folder, contracts with a key, agents that speak, and a receiver of alerts.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus_schema::cluster::{Container, ContainerStarted, SlotKind};
use bus_schema::registry::{
    AttestationAttached, BlobRef, EvidenceItem, EvidencePlace, ImagePushed, Observation,
};
use bus_schema::{Actor, AgentId, Digest, Envelope, Event, ImageRepository, TraceParent, WorkloadRef};
use correlator_store::StoreError;
use fleet_runtime::bus::embedded::{EmbeddedBus, EmbeddedLimits};
use fleet_runtime::bus::{Bus, BusError, Message};
use fleet_runtime::health::Health;
use fleet_runtime::metrics::{FleetMetrics, Metrics};
use fleet_runtime::settings::{Sources, load};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::json;
use sha2::Sha256;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::tests::signing_key::SigningKey;

use crate::api::types::{DeadLetters, LetterOutcome, LetterOutcomes};
use crate::{Context, Correlator, Handle, OpenError, Settings};

pub(crate) const KEY_BYTES: &[u8] = b"0123456789abcdef0123456789abcdef";
pub(crate) const REPOSITORY: &str = "registry.example/acme/api";
const BOUND: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) bus: Arc<dyn Bus>,
    key: SigningKey,
}

/// A correlator at work.
pub(crate) struct Running {
    pub(crate) handle: Handle,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl World {
    pub(crate) async fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let bus = EmbeddedBus::open(&folder.path().join("house"), EmbeddedLimits::default()).await.unwrap();
        let key = SigningKey::generate();
        let contracts = folder.path().join("contracts");
        std::fs::create_dir_all(&contracts).unwrap();
        std::fs::write(contracts.join("release.pub"), key.public_pem()).unwrap();
        std::fs::write(contracts.join("api.yaml"), PIPELINE).unwrap();
        std::fs::write(contracts.join("installation.yaml"), INSTALLATION).unwrap();
        World { folder, bus, key }
    }

    /// The bus ends and begins with the process.
    pub(crate) async fn reopen_bus(&mut self) {
        self.bus.close().await.unwrap();
        let began = Instant::now();
        self.bus = loop {
            match EmbeddedBus::open(&self.folder.path().join("house"), EmbeddedLimits::default()).await {
                Ok(bus) => break bus,
                Err(BusError::InUse { .. }) if began.elapsed() < BOUND => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => panic!("{error}"),
            }
        };
    }

    /// The window for evidence ends after every test.
    pub(crate) fn wait_long_for_evidence(&self) {
        let installation = INSTALLATION.replace("evidence: 600ms", "evidence: 1h");
        std::fs::write(self.contracts().join("installation.yaml"), installation).unwrap();
    }

    pub(crate) fn contracts(&self) -> PathBuf {
        self.folder.path().join("contracts")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn settings(&self, more: &str) -> Settings {
        let file = self.folder.path().join("custody.toml");
        let text = SETTINGS.replace("CONTRACTS", self.contracts().to_str().unwrap());
        std::fs::write(&file, format!("{text}\n{more}")).unwrap();
        load(&Sources { file: Some(file), variables: Vec::new() }).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts a correlator on the data folder, with these sections beside the usual ones.
    pub(crate) async fn start(&self, more: &str) -> Running {
        self.start_on(&self.data(), more).await
    }

    pub(crate) async fn start_on(&self, data: &Path, more: &str) -> Running {
        start(self.settings(more), self.bus.clone(), data).await
    }

    pub(crate) async fn say(&self, agent: &str, event: Event) -> Envelope {
        self.say_in(None, agent, event).await
    }

    /// Says something that belongs to a trace.
    pub(crate) async fn say_in(&self, trace: Option<&str>, agent: &str, event: Event) -> Envelope {
        let agent: AgentId = agent.parse().unwrap();
        let trace: Option<TraceParent> = trace.map(|text| text.parse().unwrap());
        let envelope = Envelope::new(agent, Timestamp::now(), Timestamp::now(), trace, event);
        self.publish(&envelope).await;
        envelope
    }

    pub(crate) async fn publish(&self, envelope: &Envelope) {
        let payload = envelope.to_json().unwrap();
        self.publish_raw(&envelope.subject().to_string(), &envelope.id.to_string(), payload).await;
    }

    pub(crate) async fn publish_raw(&self, subject: &str, id: &str, payload: Vec<u8>) {
        self.bus.publish(Message::new(subject, id, payload)).await.unwrap();
    }

    /// An image that `ci-bot` pushed and the contract's key signed.
    pub(crate) async fn good_image(&self, name: &str) -> Digest {
        let digest = Digest::sha256_of(name.as_bytes());
        self.say("registry", pushed(digest, "ci-bot")).await;
        self.say("registry", self.signature(digest, EvidencePlace::CosignSignatureTag)).await;
        digest
    }

    /// An image that a person pushed, without anything.
    pub(crate) async fn bad_image(&self, name: &str) -> Digest {
        let digest = Digest::sha256_of(name.as_bytes());
        self.say("registry", pushed(digest, "alice")).await;
        digest
    }

    pub(crate) fn signature(&self, digest: Digest, place: EvidencePlace) -> Event {
        let payload = json!({
            "critical": {
                "identity": { "docker-reference": REPOSITORY },
                "image": { "docker-manifest-digest": digest.to_string() },
                "type": "cosign container image signature",
            },
            "optional": null,
        });
        let payload = serde_json::to_vec(&payload).unwrap();
        let signature = self.key.sign(&payload);
        attached(digest, place, BlobRef::inlined(&payload).unwrap(), &signature)
    }

    pub(crate) async fn dead_letters(&self) -> Vec<String> {
        let letters = fleet_runtime::dead_letters::DeadLetters::new(self.bus.clone());
        let listed = letters.list(1, 100).await.unwrap();
        listed.into_iter().map(|listed| listed.letter.unwrap().reason).collect()
    }
}

pub(crate) async fn start(settings: Settings, bus: Arc<dyn Bus>, data: &Path) -> Running {
    let stop = CancellationToken::new();
    let began = Instant::now();
    let (correlator, metrics, health) = loop {
        // Of its own for each attempt: what one registered would stand beside what the next one counts.
        let (metrics, health) = (Metrics::new(), Health::default());
        let context = Context {
            bus: Arc::clone(&bus),
            data: data.to_owned(),
            metrics: metrics.clone(),
            published: FleetMetrics::new(&metrics).agent("correlator"),
            health: health.clone(),
            stop: stop.clone(),
        };
        match Correlator::open(settings.clone(), context).await {
            Ok(correlator) => break (correlator, metrics, health),
            // What was killed may still be letting go of the folder.
            Err(OpenError::Store(StoreError::InUse { .. })) if began.elapsed() < BOUND => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => panic!("{error:?}"),
        }
    };
    let handle = correlator.handle();
    Running { handle, metrics, health, stop, task: tokio::spawn(correlator.run()) }
}

impl Running {
    /// Waits until everything is judged and delivered, windows included.
    pub(crate) async fn settled(&self) {
        let idle = self.handle.until_idle(Duration::from_secs(5));
        if tokio::time::timeout(BOUND, idle).await.is_err() {
            let since = Instant::now() - BOUND;
            panic!("{:?} {:?}", self.handle.unfinished(since, Timestamp::MAX).await, self.health.report());
        }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(BOUND, self.task).await.unwrap().unwrap().unwrap();
    }

    /// Ends where it is, as a kill does: nothing is finished or closed in order.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    pub(crate) async fn verdict(&self, digest: Digest) -> Option<String> {
        let verdicts = self.handle.answers().all_verdicts().await.unwrap();
        let found = verdicts.into_iter().find(|shown| shown.verdict.digest == digest);
        found.map(|shown| shown.verdict.state.as_str().to_owned())
    }

    /// Open cases as rule and subject.
    pub(crate) async fn open_cases(&self) -> Vec<String> {
        let cases = self.handle.answers().all_cases().await.unwrap();
        let open = cases.into_iter().filter(|case| case.state == bus_schema::case::CaseState::Open);
        let mut open: Vec<String> = open.map(|case| format!("{} {}", case.rule, case.subject)).collect();
        open.sort();
        open
    }

    /// Verdicts and open cases, without what may differ.
    pub(crate) async fn conclusions(&self) -> (BTreeMap<Digest, String>, Vec<String>) {
        let verdicts = self.handle.answers().all_verdicts().await.unwrap();
        let states =
            verdicts.into_iter().map(|shown| (shown.verdict.digest, shown.verdict.state.as_str().to_owned()));
        (states.collect(), self.open_cases().await)
    }

    /// The count of a metric without labels.
    pub(crate) fn count(&self, name: &str) -> u64 {
        let text = self.metrics.text();
        let line = format!("custody_{name}_total ");
        text.lines().find_map(|found| found.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
    }

    /// The count of a metric with one label `kind`.
    pub(crate) fn counted(&self, name: &str, kind: &str) -> u64 {
        let text = self.metrics.text();
        let line = format!("custody_{name}_total{{kind=\"{kind}\"}} ");
        text.lines().find_map(|found| found.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
    }

    pub(crate) async fn replay_every_letter(&self) -> Vec<LetterOutcome> {
        let letters =
            reqwest::get(self.url("/deadletters")).await.unwrap().json::<DeadLetters>().await.unwrap();
        let numbers: Vec<u64> = letters.letters.iter().map(|letter| letter.number).collect();
        let request = reqwest::Client::new().post(self.url("/deadletters/replay")).header("x-custody", "1");
        let outcomes = request.json(&json!({ "numbers": numbers })).send().await.unwrap();
        outcomes.json::<LetterOutcomes>().await.unwrap().letters
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/api/v1{path}", self.handle.api_address())
    }
}

/// Waits until a condition holds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, holds: impl FnMut() -> F) {
    until_within(BOUND, what, holds).await;
}

/// Waits until a condition holds, for as long as it may take.
pub(crate) async fn until_within<F: Future<Output = bool>>(
    bound: Duration,
    what: &str,
    mut holds: impl FnMut() -> F,
) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < bound, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn repository() -> ImageRepository {
    REPOSITORY.parse().unwrap()
}

pub(crate) fn pushed(digest: Digest, actor: &str) -> Event {
    Event::ImagePushed(ImagePushed {
        repository: repository(),
        digest,
        media_type: Some("application/vnd.oci.image.manifest.v1+json".to_owned()),
        tag: None,
        actor: Some(Actor::named(actor)),
        client: None,
        observation: Observation::Notification { event_id: format!("push-{}", digest.short()) },
        pushed_at: Timestamp::now(),
    })
}

pub(crate) fn attached(digest: Digest, place: EvidencePlace, blob: BlobRef, signature: &str) -> Event {
    Event::AttestationAttached(AttestationAttached {
        repository: Some(repository()),
        forge_repository: None,
        subject: digest,
        manifest: Digest::sha256_of(format!("manifest of {digest} {place}").as_bytes()),
        place,
        artifact_type: None,
        items: vec![EvidenceItem {
            media_type: "application/vnd.dev.cosign.simplesigning.v1+json".to_owned(),
            blob,
            annotations: BTreeMap::from([(
                "dev.cosignproject.cosign/signature".to_owned(),
                signature.to_owned(),
            )]),
        }],
        cut: false,
        found_at: Timestamp::now(),
    })
}

pub(crate) fn started(digest: Digest, name: &str) -> Event {
    let cluster = "11111111-2222-3333-4444-555555555555".parse().unwrap();
    Event::ContainerStarted(ContainerStarted {
        cluster_name: "prod".to_owned(),
        container: Container {
            workload: WorkloadRef::new(cluster, "payments", "Deployment", name).unwrap(),
            pod: format!("{name}-0"),
            pod_uid: format!("uid-{name}"),
            slot: "main".to_owned(),
            slot_kind: SlotKind::Main,
            container_id: format!("containerd://{name}"),
            image: Some(format!("{REPOSITORY}@{digest}").parse().unwrap()),
            image_text: format!("{REPOSITORY}@{digest}"),
            image_id: format!("{REPOSITORY}@{digest}"),
            digest: Some(digest),
            started_at: Timestamp::now(),
        },
    })
}

const PIPELINE: &str = r#"
apiVersion: custody.dev/v1
kind: Pipeline
metadata: { name: api }
spec:
  images: ["registry.example/acme/**"]
  require: [artifact, signature]
  artifact: { pushers: [ci-bot] }
  signatures:
    anyOf:
      - key: { file: release.pub, log: not-required }
  settle: 300ms
"#;

const INSTALLATION: &str = r#"
apiVersion: custody.dev/v1
kind: Installation
metadata: { name: here }
spec:
  windows: { evidence: 600ms, retry: 200ms, linger: 1h }
"#;

const SETTINGS: &str = r#"
[correlator]
contracts = "CONTRACTS"
contracts_poll = "100ms"
head_interval = "200ms"
[api]
listen = "127.0.0.1:0"
[[agent]]
id = "registry"
kind = "registry"
scopes = ["registry.example/acme/**"]
[[agent]]
id = "cluster"
kind = "cluster"
scopes = ["**"]
[[agent]]
id = "source"
kind = "source"
scopes = ["github.com/acme/**"]
"#;

/// One request that a receiver got.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) id: String,
    pub(crate) body: serde_json::Value,
    pub(crate) at: Instant,
}

impl Received {
    /// The change and the rule.
    pub(crate) fn said(&self) -> String {
        let change = self.body["type"].as_str().unwrap().split('.').nth(3).unwrap().to_owned();
        format!("{change} {}", self.body["data"]["case"]["rule"].as_str().unwrap())
    }
}

/// A receiver of alerts that checks signatures and answers what it is told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Receiver {
    received: Arc<Mutex<Vec<Received>>>,
    answers: Arc<Mutex<VecDeque<Answering>>>,
    address: Option<std::net::SocketAddr>,
}

#[derive(Debug, Clone)]
pub(crate) enum Answering {
    Status(u16),
    RetryAfter(u16, u64),
    Silence,
}

impl Receiver {
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answering>) -> Receiver {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Receiver {
            address: Some(listener.local_addr().unwrap()),
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            ..Receiver::default()
        };
        let router = Router::new().route("/hook", post(receive)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        receiver
    }

    /// The section of the settings that sends alerts here.
    pub(crate) fn section(&self, name: &str, more: &str) -> String {
        let (address, secret) = (self.address.unwrap(), STANDARD.encode(KEY_BYTES));
        format!(
            "[[alert]]\nname = \"{name}\"\nurl = \"http://{address}/hook\"\nsecret = \"whsec_{secret}\"\n\
             allow_loopback = true\ntimeout = \"1s\"\nbackoff_first = \"50ms\"\nbackoff_max = \"200ms\"\n{more}\n"
        )
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub(crate) fn said(&self) -> Vec<String> {
        self.received().iter().map(Received::said).collect()
    }

    pub(crate) fn then(&self, answer: Answering) {
        self.answers.lock().unwrap().push_back(answer);
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let age = Timestamp::now().as_second() - timestamp.parse::<i64>().unwrap();
    assert!(age.abs() < 5, "the timestamp is {age} s old");
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY_BYTES).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(&body);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(header("webhook-signature"), expected, "the signature does not verify");
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["id"], id.as_str());
    receiver.received.lock().unwrap().push(Received { id, body, at: Instant::now() });
    let answer = receiver.answers.lock().unwrap().pop_front();
    match answer {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(Answering::Status(status)) => StatusCode::from_u16(status).unwrap().into_response(),
        Some(Answering::RetryAfter(status, seconds)) => {
            let status = StatusCode::from_u16(status).unwrap();
            (status, [("retry-after", seconds.to_string())]).into_response()
        }
        Some(Answering::Silence) => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            StatusCode::NO_CONTENT.into_response()
        }
    }
}
