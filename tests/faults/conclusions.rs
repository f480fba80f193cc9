//! What a fleet came to: verdicts, open cases, alerts, and how often each event is in the log.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bus_schema::registry::{ImagePushed, Observation};
use bus_schema::{Event, EventId};
use correlator_core::input::Input;
use correlator_store::{Recorded, Store, StoreSettings};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use tokio::process::Command;

use crate::fleet::Fleet;
use crate::images::Images;
use harness::http::get;
use harness::provision::program;
use harness::servers::listener::Received;
use harness::servers::tool_run::output_of;

/// What a kill left unacknowledged on the bus comes again after a minute.
const QUIET_WITHIN: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Looks at which nothing moved, one after the other.
const QUIET_LOOKS: usize = 3;
/// A window that ends later is not waited for.
const WINDOW: SignedDuration = SignedDuration::from_secs(10);

/// Without times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conclusions {
    pub(crate) verdicts: BTreeSet<String>,
    pub(crate) open_cases: BTreeSet<String>,
    /// The changes of cases that people were told of.
    pub(crate) told: BTreeSet<String>,
}

/// What is in the evidence log.
#[derive(Debug, Default)]
pub(crate) struct Logged {
    /// How often each event is there.
    pub(crate) events: BTreeMap<EventId, usize>,
    /// How often each notification of the registry led to a push.
    pub(crate) pushes: BTreeMap<String, usize>,
    /// The numbers of the agent's reports, by its epoch. It counts them from 1 and skips none.
    pub(crate) reports: BTreeMap<Timestamp, BTreeSet<u64>>,
}

/// Waits until everything that was taken is judged and told.
pub(crate) async fn quiet(fleet: &mut Fleet) {
    let began = Instant::now();
    let (mut quiet, mut last) = (0, Vec::new());
    while quiet < QUIET_LOOKS {
        let unfinished = unfinished(fleet).await;
        quiet = if unfinished.is_empty() { quiet + 1 } else { 0 };
        if !unfinished.is_empty() {
            last = unfinished;
        }
        assert!(began.elapsed() < QUIET_WITHIN, "not done within {QUIET_WITHIN:?}: {last:#?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits until people were told that the tags were overwritten that are to be pointed back. Else both could
/// be judged as one, and nobody would be told of either.
pub(crate) async fn told_of_overwritten_tags(fleet: &Fleet, images: &Images) {
    for tag in images.pointed_back() {
        let is_told = |received: &Received| {
            let alert: Value = serde_json::from_slice(&received.body).unwrap();
            let case = &alert["data"]["case"];
            case["rule"] == "tag-overwritten"
                && case["subject"].as_str().is_some_and(|text| text.ends_with(&tag))
        };
        fleet.alerts.wait_for(QUIET_WITHIN, is_told).await.unwrap();
    }
}

async fn unfinished(fleet: &mut Fleet) -> Vec<String> {
    let mut found = Vec::new();
    let metrics = get(format!("{}/metrics", fleet.agent.address("operations"))).await;
    let metrics = metrics.unwrap().text().await.unwrap();
    let mut outbox = metrics.lines().filter(|line| line.starts_with("custody_outbox_messages{"));
    let line = outbox.next().expect("the agent has an outbox");
    if !line.ends_with(" 0") {
        found.push(line.to_owned());
    }
    let status = api(fleet, "/status").await;
    let waiting = &status["waiting"];
    let counts = ["verifications", "publications", "deliveries"].map(|lane| waiting[lane].as_u64().unwrap());
    let deadline = status["log"]["nextDeadline"].as_str().map(|text| text.parse::<Timestamp>().unwrap());
    // After a clock that was ahead the log's time goes on from there.
    let recorded = status["log"]["recorded"].as_str().map(|text| text.parse::<Timestamp>().unwrap());
    let now = recorded.max(Some(Timestamp::now())).unwrap();
    let is_soon = deadline.is_some_and(|at| at.duration_since(now) < WINDOW);
    let is_judged = status["log"]["position"] == status["log"]["applied"];
    if waiting["eventsCaughtUp"] != true || counts != [0, 0, 0] || is_soon || !is_judged {
        found.push(format!("waiting: {waiting}, log: {}", status["log"]));
    }
    let mut wire = fleet.wire().await;
    for stream in ["events", "questions"] {
        let listed = wire.ask(&format!("CONSUMER.LIST.{stream}"), &json!({})).await.unwrap();
        for consumer in listed["consumers"].as_array().into_iter().flatten() {
            let counts = ["num_pending", "num_ack_pending"].map(|field| consumer[field].as_u64().unwrap());
            if counts != [0, 0] {
                found.push(format!("{stream} {}: pending and unsettled {counts:?}", consumer["name"]));
            }
        }
    }
    found
}

/// How many entries the log has.
pub(crate) async fn log_position(fleet: &Fleet) -> u64 {
    api(fleet, "/log/head").await["position"].as_u64().unwrap()
}

/// What the correlator says.
pub(crate) async fn conclusions(fleet: &Fleet) -> Conclusions {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let verdicts = pages(fleet, "/verdicts?", "verdicts").await.into_iter().map(|shown| {
        let verdict = &shown["verdict"];
        let links = verdict["links"].as_array().unwrap().iter();
        let links: Vec<String> =
            links.map(|link| format!("{} {}", text(&link["kind"]), text(&link["state"]))).collect();
        let [digest, image, state] = ["digest", "image", "verdict"].map(|field| text(&verdict[field]));
        format!("{digest} {image} {state}, settled {}: {}", shown["settled"], links.join(", "))
    });
    let (verdicts, cases) = (verdicts.collect(), pages(fleet, "/cases?state=open&", "cases").await);
    let open_cases = cases.iter().map(|case| {
        let [rule, subject, severity] = ["rule", "subject", "severity"].map(|field| text(&case[field]));
        format!("{rule} {subject} {severity}")
    });
    Conclusions { verdicts, open_cases: open_cases.collect(), told: told(fleet) }
}

/// Rules about the fleet itself, which finds other things when it suffers.
const OF_THE_FLEET: [&str; 3] = ["agent-silent", "events-missing", "evidence-unreachable"];

/// What people were told: each case that began and each that ended. What came between may be told at once, as
/// one change, when it waited: how many updates there are, a fault decides. Each change has one id, and one
/// id is one change.
fn told(fleet: &Fleet) -> BTreeSet<String> {
    let mut told = BTreeSet::new();
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    let mut changes: BTreeMap<String, String> = BTreeMap::new();
    for received in fleet.alerts.received() {
        let alert: Value = serde_json::from_slice(&received.body).unwrap();
        let (id, case) = (alert["id"].as_str().unwrap().to_owned(), &alert["data"]["case"]);
        let change = format!("{} {} {}", case["rule"], case["subject"], case["revision"]);
        let known = ids.entry(id.clone()).or_insert_with(|| change.clone());
        assert_eq!(*known, change, "two changes under the id {id}");
        let known = changes.entry(change.clone()).or_insert_with(|| id.clone());
        assert_eq!(*known, id, "two ids of the change {change}");
        let [rule, subject] = ["rule", "subject"].map(|field| case[field].as_str().unwrap());
        let change = alert["type"].as_str().unwrap();
        if !change.contains(".updated.") && !OF_THE_FLEET.contains(&rule) {
            told.insert(format!("{change} {rule} {subject}"));
        }
    }
    told
}

async fn pages(fleet: &Fleet, path: &str, field: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = api(fleet, &format!("{path}limit=100{after}")).await;
        all.extend(page[field].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_str() else { return all };
        let next: String = next.bytes().map(|byte| format!("%{byte:02X}")).collect();
        after = format!("&after={next}");
    }
}

async fn api(fleet: &Fleet, path: &str) -> Value {
    let url = format!("{}/api/v1{path}", fleet.correlator.address("api"));
    let answer = get(url).await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    answer.json().await.unwrap()
}

/// The log of a correlator that ended. It proves itself.
pub(crate) async fn logged(fleet: &Fleet) -> Logged {
    let mut verify = Command::new(program().unwrap());
    let verify = verify.args(["log", "verify", "--data"]).arg(fleet.log_folder());
    let verified = output_of(verify, b"").await.unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    let store =
        Store::open_read_only(&fleet.log_folder().join("correlator"), &StoreSettings::default()).unwrap();
    let mut logged = Logged::default();
    for entry in store.log().read(1) {
        let Recorded::Input { entry, .. } = Recorded::try_from(entry.unwrap()).unwrap() else { continue };
        let Input::Event(envelope) = entry.input else { continue };
        *logged.events.entry(envelope.id).or_default() += 1;
        match envelope.event {
            Event::ImagePushed(ImagePushed {
                observation: Observation::Notification { event_id }, ..
            }) => {
                *logged.pushes.entry(event_id).or_default() += 1;
            }
            Event::AgentReported(report) => {
                logged.reports.entry(report.epoch).or_default().insert(report.sequence);
            }
            _ => {}
        }
    }
    logged
}
