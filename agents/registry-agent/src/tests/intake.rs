//! Notifications over HTTP: who may speak, what is kept, and that nothing is lost or doubled.

use std::time::Duration;

use bus_schema::fleet::Unavailable;
use bus_schema::{Digest, Event};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::bench::{Bench, TOKEN, section};
use crate::NOTIFICATIONS_PATH;
use crate::api::fake::{CONFIG, Fake, Fault, LAYER};
use crate::media_type::OCI_MANIFEST;
use crate::state::disk::Disk;

const APP: &str = "acme/app";

/// A listener with the agent's routes.
pub(super) struct Door {
    url: String,
    http: reqwest::Client,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Door {
    pub(super) async fn open(bench: &Bench) -> Door {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}{NOTIFICATIONS_PATH}", listener.local_addr().unwrap());
        let routes = bench.agent.routes();
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Door { url, http, server }
    }

    pub(super) async fn send(&self, authorization: &str, body: impl Into<reqwest::Body>) -> StatusCode {
        let request = self.http.post(&self.url).header("authorization", authorization).body(body);
        request.send().await.unwrap().status()
    }

    pub(super) async fn deliver(&self, events: &[Value]) -> StatusCode {
        self.send(&format!("Bearer {TOKEN}"), json!({ "events": events }).to_string()).await
    }
}

fn push(id: &str, tag: &str, digest: Digest) -> Value {
    json!({
        "id": id, "timestamp": format!("2026-11-23T05:54:{id}Z"), "action": "push", "actor": {"name": "alice"},
        "target": {"mediaType": OCI_MANIFEST, "repository": APP, "digest": digest, "tag": tag,
                   "references": [{"mediaType": CONFIG}, {"mediaType": LAYER}]},
        "request": {"useragent": "crane"},
    })
}

#[tokio::test]
async fn only_the_right_token_is_heard_and_it_speaks_for_its_own_registry() {
    let (fake, other) = (Fake::start().await, Fake::start().await);
    let more = section(&other.host, "").replace(TOKEN, "another-token");
    let more = more.split("[registry_agent]").next().unwrap();
    let settings = format!("{more}\n{}", section(&fake.host, ""));
    let bench = Bench::of(fake, settings).await;
    let door = Door::open(&bench).await;
    let digest = bench.fake.image(APP, Some("v1"), "a");
    let body = json!({"events": [push("10", "v1", digest)]}).to_string();
    for wrong in
        ["", "Bearer", "Bearer notify-toke", "Bearer notify-token2", "notify-token", "Basic notify-token"]
    {
        assert_eq!(door.send(wrong, body.clone()).await, StatusCode::UNAUTHORIZED, "{wrong:?}");
    }
    assert!(bench.said().await.is_empty() && bench.dead_letters().await == 0);
    // The same body with the other registry's token is about the other registry.
    assert_eq!(door.send("Bearer another-token", body.clone()).await, StatusCode::ACCEPTED);
    assert_eq!(door.send("Bearer notify-token", body).await, StatusCode::ACCEPTED);
    let hosts: Vec<String> = bench
        .said()
        .await
        .iter()
        .filter_map(|envelope| match &envelope.event {
            Event::ImagePushed(event) => Some(event.repository.registry().to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(hosts, [other.host.clone(), bench.fake.host.clone()]);
}

#[tokio::test]
async fn a_tag_there_and_back_is_three_moves_over_restarts_and_repetitions() {
    let bench = Bench::start().await;
    let (a, b) = (bench.fake.image(APP, Some("v1"), "a"), bench.fake.image(APP, None, "b"));
    let door = Door::open(&bench).await;
    assert_eq!(door.deliver(&[push("10", "v1", a)]).await, StatusCode::ACCEPTED);
    assert_eq!(door.deliver(&[push("11", "v1", b)]).await, StatusCode::ACCEPTED);
    drop(door);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let bench = bench.restarted();
    let door = Door::open(&bench).await;
    // The registry repeats what it believes to be unanswered.
    assert_eq!(door.deliver(&[push("10", "v1", a), push("11", "v1", b)]).await, StatusCode::ACCEPTED);
    assert_eq!(door.deliver(&[push("12", "v1", a)]).await, StatusCode::ACCEPTED);
    let (a, b) = (a.short(), b.short());
    assert_eq!(
        bench.told().await,
        [
            format!("pushed acme/app:v1@{a}"),
            format!("moved acme/app:v1 ->{a}"),
            format!("pushed acme/app:v1@{b}"),
            format!("moved acme/app:v1 {a}>{b}"),
            format!("pushed acme/app:v1@{a}"),
            format!("moved acme/app:v1 {b}>{a}"),
        ]
    );
    let actors = bench.said().await.into_iter().filter_map(|envelope| match envelope.event {
        Event::RegistryTagMoved(event) => event.actor,
        _ => None,
    });
    assert!(actors.into_iter().all(|actor| actor.name == "alice"));
}

#[tokio::test]
async fn what_is_not_understood_is_kept_and_does_not_stop_what_is() {
    let bench = Bench::start().await;
    let door = Door::open(&bench).await;
    let digest = bench.fake.image(APP, Some("v1"), "a");
    let mut odd = Vec::new();
    for (field, value) in [
        ("tag", json!("v1\u{1b}[31m")),
        ("tag", json!("a".repeat(200))),
        ("digest", json!("md5:00")),
        ("digest", json!("")),
        ("repository", json!("Acme/App")),
        ("repository", json!("../../etc")),
    ] {
        let mut event = push("20", "v1", digest);
        event["target"][field] = value;
        odd.push(event);
    }
    odd.push(json!({"id": "x"}));
    odd.push(json!("text"));
    let mut unknown = push("21", "v1", digest);
    unknown["action"] = json!("explode");
    odd.push(unknown);
    let expected = odd.len();
    odd.push(push("22", "v1", digest));
    assert_eq!(door.deliver(&odd).await, StatusCode::ACCEPTED);
    assert_eq!(bench.dead_letters().await, expected);
    assert_eq!(bench.told().await.len(), 2);
    for body in ["", "{", "[]", "{\"events\":null}", &"[".repeat(100_000), "{\"events\":[]}"] {
        let status = door.send(&format!("Bearer {TOKEN}"), body.to_owned()).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{}", &body[..body.len().min(20)]);
    }
    assert_eq!(bench.dead_letters().await, expected + 5);
}

#[tokio::test]
async fn a_body_over_the_bound_is_refused_and_leaves_a_trace() {
    let fake = Fake::start().await;
    let settings = format!("{}notification_bytes_max = 65536\n", section(&fake.host, ""));
    let bench = Bench::of(fake, settings).await;
    let door = Door::open(&bench).await;
    let status = door.send(&format!("Bearer {TOKEN}"), vec![b' '; 1024 * 1024]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(bench.dead_letters().await, 1);
    assert_eq!(door.send("Bearer wrong-token", vec![b' '; 1024]).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_push_leads_to_its_evidence_without_being_asked() {
    let bench = Bench::with("poll_interval = \"0s\"").await;
    let door = Door::open(&bench).await;
    let image = bench.fake.image(APP, Some("v1"), "a");
    bench.fake.fault(".att", Fault::Status(503));
    assert_eq!(door.deliver(&[push("30", "v1", image)]).await, StatusCode::ACCEPTED);
    let has_failed = async || {
        bench.said().await.iter().any(|envelope| {
            matches!(&envelope.event, Event::EvidenceUnavailable(event)
            if event.attempt == 0 && event.reason == Unavailable::Unreachable)
        })
    };
    bench.run_until(&has_failed).await;
    assert!(has_failed().await, "a failure is told at once");
    // The signature comes later, and is told by a push to its tag.
    bench.fake.set().faults.clear();
    let sig =
        bench.fake.cosign(APP, image, "sig", "application/vnd.dev.cosign.simplesigning.v1+json", b"sig");
    let mut event = push("31", &format!("{}.sig", image.fallback_tag()), sig);
    event["target"]["references"] = json!([{"mediaType": CONFIG}]);
    assert_eq!(door.deliver(&[event]).await, StatusCode::ACCEPTED);
    let is_found = async || bench.attached().await.iter().any(|event| event.manifest == sig);
    bench.run_until(&is_found).await;
    assert!(is_found().await);
    assert_eq!(bench.told().await.len(), 2, "the push of the image and its tag, and no more");
    let closing = bench.said().await.into_iter().any(|envelope| {
        matches!(envelope.event, Event::EvidenceUnavailable(event) if event.reason == Unavailable::NotFound)
    });
    assert!(!closing, "only a question is answered with: there is nothing");
}

#[tokio::test]
async fn evidence_pushed_by_digest_is_found_through_its_subject() {
    let bench = Bench::with("poll_interval = \"0s\"").await;
    bench.fake.set().native_referrers = true;
    let door = Door::open(&bench).await;
    let image = bench.fake.image(APP, Some("v1"), "a");
    let bundle = bench.fake.attach(APP, image, b"bundle");
    let mut event = push("40", "", bundle);
    event["target"]["references"] =
        json!([{"mediaType": "application/vnd.oci.empty.v1+json"}, {"mediaType": crate::api::fake::BUNDLE}]);
    assert_eq!(door.deliver(&[event]).await, StatusCode::ACCEPTED);
    let is_found = async || {
        bench.attached().await.iter().any(|event| event.manifest == bundle && event.subject == image)
    };
    bench.run_until(&is_found).await;
    assert!(is_found().await);
    assert!(bench.told().await.is_empty());
}

#[tokio::test]
async fn a_push_whose_references_are_not_told_is_said_only_if_it_is_an_image() {
    let bench = Bench::with("poll_interval = \"0s\"").await;
    bench.fake.set().native_referrers = true;
    let door = Door::open(&bench).await;
    let image = bench.fake.image(APP, None, "a");
    let bundle = bench.fake.attach(APP, image, b"bundle");
    let gone = Digest::sha256_of(b"pushed and gone");
    for (id, digest) in [("50", bundle), ("51", image), ("52", gone)] {
        let mut event = push(id, "", digest);
        event["target"].as_object_mut().unwrap().remove("references");
        assert_eq!(door.deliver(&[event]).await, StatusCode::ACCEPTED);
    }
    assert!(bench.told().await.is_empty());
    let both = async || bench.told().await.len() == 2;
    bench.run_until(&both).await;
    let expected = [format!("pushed {APP}@{}", image.short()), format!("pushed {APP}@{}", gone.short())];
    assert_eq!(bench.told().await, expected);
}

#[tokio::test]
async fn what_may_run_under_the_name_of_evidence_is_told_as_pushed_and_evidence_is_not() {
    let bench = Bench::with("poll_interval = \"0s\"").await;
    let door = Door::open(&bench).await;
    let fake = &bench.fake;
    let subject = fake.image(APP, None, "a");
    let name = subject.fallback_tag();
    let (image, listed) = (fake.image(APP, None, "hidden"), fake.image(APP, None, "listed"));
    let index = fake.index(APP, None, &[("amd64", listed)]);
    let signature =
        fake.cosign(APP, subject, "sig", "application/vnd.dev.cosign.simplesigning.v1+json", b"s");
    let bundle = fake.attach(APP, subject, b"bundle");
    let referrers = fake.fallback(APP, subject, &[bundle, Digest::sha256_of(b"gone")]);
    let (sig, att) = (format!("{name}.sig"), format!("{name}.att"));
    for (id, tag, digest) in [
        ("50", &sig, image),
        ("51", &sig, signature),
        ("52", &name, index),
        ("53", &name, referrers),
        ("54", &att, image),
    ] {
        let mut event = push(id, tag, digest);
        event["target"].as_object_mut().unwrap().remove("references");
        assert_eq!(door.deliver(&[event]).await, StatusCode::ACCEPTED);
    }
    let is_done = async || {
        let waiting = bench.agent.agent.state.read(|view| view.look_ups_waiting()).await.unwrap();
        waiting.0 == 0
    };
    bench.run_until(&is_done).await;
    let (image, index) = (image.short(), index.short());
    let mut told = bench.told().await;
    told.sort();
    let mut expected = [
        format!("pushed {APP}:{sig}@{image}"),
        format!("pushed {APP}:{att}@{image}"),
        format!("pushed {APP}:{name}@{index}"),
    ];
    expected.sort();
    assert_eq!(told, expected);
    let actors = bench.said().await.into_iter().filter_map(|envelope| match envelope.event {
        Event::ImagePushed(event) => Some(event.actor.unwrap().name),
        _ => None,
    });
    assert_eq!(actors.collect::<Vec<_>>(), ["alice"; 3]);
}

#[tokio::test]
async fn what_the_bus_did_not_take_is_refused_and_said_once_when_it_is_back() {
    let bench = Bench::start().await;
    let (a, b) = (bench.fake.image(APP, Some("v1"), "a"), bench.fake.image(APP, None, "b"));
    let door = Door::open(&bench).await;
    assert_eq!(door.deliver(&[push("10", "v1", a)]).await, StatusCode::ACCEPTED);
    bench.bus.close().await.unwrap();
    assert_eq!(door.deliver(&[push("11", "v1", b)]).await, StatusCode::SERVICE_UNAVAILABLE);
    drop(door);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let bench = bench.reopened().await;
    let door = Door::open(&bench).await;
    assert_eq!(door.deliver(&[push("11", "v1", b)]).await, StatusCode::ACCEPTED);
    assert_eq!(door.deliver(&[push("11", "v1", b)]).await, StatusCode::ACCEPTED);
    let told = bench.told().await;
    assert_eq!(told.len(), 4, "{told:?}");
    assert_eq!(told[3], format!("moved {APP}:v1 {}>{}", a.short(), b.short()));
}

#[tokio::test]
async fn a_full_disk_refuses_notifications_for_now_and_the_agent_works_again_when_there_is_room() {
    let disk = Disk::default();
    let bench = Bench::on(&disk).await;
    let digest = bench.fake.image(APP, Some("v1"), "a");
    let door = Door::open(&bench).await;
    disk.fill();
    for _ in 0..3 {
        assert_eq!(door.deliver(&[push("10", "v1", digest)]).await, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(bench.told().await, Vec::<String>::new());
    disk.make_room();
    // The registry repeats what was not answered.
    assert_eq!(door.deliver(&[push("10", "v1", digest)]).await, StatusCode::ACCEPTED);
    let digest = digest.short();
    let told = [format!("pushed acme/app:v1@{digest}"), format!("moved acme/app:v1 ->{digest}")];
    assert_eq!(bench.told().await, told);
    bench.poll().await.unwrap();
    assert_eq!(bench.told().await, told);
}
