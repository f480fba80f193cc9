//! Webhooks over HTTP: what is taken, what is refused, and what is kept.

use std::time::Duration;

use bus_schema::Event;
use fleet_runtime::bus::embedded::{EmbeddedLimits, StreamLimits};
use fleet_runtime::bus::{ConsumerConfig, Stream};
use harness::github::deliver::signature;
use harness::github::run::RunFacts;
use harness::github::{Delivery, MergeMethod};
use serde_json::{Value, json};

use crate::world::{REPOSITORY, SECRET, World, agent, person};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_serves_both_agents_and_each_speaks_in_its_own_name() {
    let world = World::new().await;
    let deliveries = {
        let mut model = world.forge.model();
        let first = model.commit(REPOSITORY, &[], &person("ann"), &["README.md"]);
        let mut deliveries = vec![model.push(REPOSITORY, "main", &first, &person("ann"))];
        let fix = model.commit(REPOSITORY, &[&first], &person("bob"), &[".github/workflows/release.yml"]);
        deliveries.push(model.push(REPOSITORY, "fix", &fix, &person("bob")));
        let number = model.open_pull(REPOSITORY, ("fix", &fix), "main", &person("bob"));
        deliveries.push(model.review(REPOSITORY, number, &person("ann"), "APPROVED"));
        deliveries.extend(model.merge(REPOSITORY, number, MergeMethod::Squash, &person("ann")));
        let facts = RunFacts {
            workflow: ".github/workflows/release.yml".to_owned(),
            event: "push".to_owned(),
            head_branch: Some("main".to_owned()),
            head_sha: fix,
            head_repository: None,
            actor: person("ann"),
        };
        let (run, started) = model.start_run(REPOSITORY, facts);
        deliveries.push(started);
        deliveries.extend(model.finish_jobs(REPOSITORY, (run, 1), "success"));
        deliveries.push(model.finish_run(REPOSITORY, (run, 1), "success"));
        deliveries
    };
    for delivery in &deliveries {
        assert_eq!(world.deliver(delivery).await, 202, "{}", delivery.event);
    }
    let events = world.events().await;
    let types: Vec<String> = events.iter().map(|event| event.event_type().short()).collect();
    let expected = [
        "commit.pushed",
        "commit.pushed",
        "workflow.changed",
        "change.reviewed",
        "commit.pushed",
        "workflow.changed",
        "change.merged",
        "run.started",
        "job.finished",
        "run.finished",
    ];
    assert_eq!(types, expected);
    for envelope in world.envelopes().await {
        let expected = match &envelope.event {
            Event::RunStarted(_) | Event::RunFinished(_) | Event::JobFinished(_) => agent("ci-github"),
            Event::AgentReported(_) => continue,
            _ => agent("source-github"),
        };
        assert_eq!(envelope.agent, expected);
        assert!(envelope.traceparent.is_some());
    }
    // Sent again, nothing is said twice.
    for delivery in &deliveries {
        assert_eq!(world.deliver(delivery).await, 202);
    }
    assert_eq!(world.events().await.len(), expected.len());
    world.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_signed_for_its_owner_is_refused_and_leaves_nothing() {
    let world = World::new().await;
    let push = {
        let mut model = world.forge.model();
        let first = model.commit(REPOSITORY, &[], &person("ann"), &["README.md"]);
        model.push(REPOSITORY, "main", &first, &person("ann"))
    };
    let wrong = world.forge.deliver(world.webhook_url(), "another secret, also long", &push).await.unwrap();
    assert_eq!(wrong, 401);
    let mut foreign = push.clone();
    foreign.body["repository"]["owner"]["login"] = json!("umbrella");
    foreign.body["repository"]["full_name"] = json!("umbrella/api");
    foreign.body["repository"]["html_url"] = json!("https://github.com/umbrella/api");
    assert_eq!(world.deliver(&foreign).await, 403);
    let unsigned =
        harness::http::client().unwrap().post(world.webhook_url()).body("{}").send().await.unwrap();
    assert_eq!(unsigned.status(), 401);
    assert!(world.events().await.is_empty());
    assert!(world.dead_letters().await.is_empty());
    let text = world.metrics.text();
    assert!(text.contains("events_refused_total{agent=\"source-github\",kind=\"forbidden\"} 1"), "{text}");
    assert_eq!(world.deliver(&push).await, 202);
    world.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_the_bound_is_refused_before_it_is_held() {
    let world = World::new().await;
    let megabytes = 100;
    let chunk = vec![b' '; 1024 * 1024];
    let stream = futures::stream::iter((0..megabytes).map(move |_| Ok::<_, std::io::Error>(chunk.clone())));
    let sent = harness::http::client()
        .unwrap()
        .post(world.webhook_url())
        .header("x-github-event", "push")
        .header("x-hub-signature-256", signature(SECRET, b""))
        .body(reqwest::Body::wrap_stream(stream))
        .send()
        .await;
    // The intake answers and closes; the client may notice the close while it still writes.
    if let Ok(response) = sent {
        assert_eq!(response.status(), 413);
    }
    let stated = harness::http::client()
        .unwrap()
        .post(world.webhook_url())
        .header("x-github-event", "push")
        .header("x-hub-signature-256", signature(SECRET, b""))
        .body(vec![b' '; 26 * 1024 * 1024])
        .send()
        .await;
    if let Ok(response) = stated {
        assert_eq!(response.status(), 413);
    }
    let text = world.metrics.text();
    assert!(text.contains("kind=\"too-large\"} 2"), "{text}");
    assert!(world.events().await.is_empty() && world.dead_letters().await.is_empty());
    let push = a_push(&world);
    assert_eq!(world.deliver(&push).await, 202);
    assert_eq!(world.events().await.len(), 1);
    world.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_signed_and_not_understood_is_kept_and_the_next_one_passes() {
    let world = World::new().await;
    let repository = json!({ "id": 42, "name": "api", "owner": { "login": "acme", "id": 7 } });
    let deep: Value = serde_json::from_str(&format!("{}1{}", "[".repeat(100), "]".repeat(100))).unwrap();
    for (event, body) in [
        ("push", json!({ "repository": repository })),
        ("pull_request", json!({ "action": "exploded", "repository": repository })),
        ("invented", json!({ "repository": repository, "action": "invented" })),
        ("workflow_run", json!({ "action": "completed", "repository": repository, "deep": deep })),
    ] {
        assert_eq!(
            world.forge.deliver(world.webhook_url(), SECRET, &Delivery::new(event, body)).await.unwrap(),
            202
        );
    }
    let letters = world.dead_letters().await;
    let reasons: Vec<String> =
        letters.iter().map(|listed| listed.letter.as_ref().unwrap().reason.clone()).collect();
    assert_eq!(reasons.len(), 4, "{reasons:?}");
    assert!(reasons[0].contains("the body of push cannot be read"), "{reasons:?}");
    assert!(reasons[2].contains("the event invented is unknown"), "{reasons:?}");
    assert!(reasons[3].contains("nests deeper than 64"), "{reasons:?}");
    assert_eq!(world.deliver(&a_push(&world)).await, 202);
    assert_eq!(world.events().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_takes_nothing_is_told_to_the_forge_and_a_later_delivery_passes() {
    let events = StreamLimits { bytes_max: 32 * 1024, age_max: Duration::from_secs(3600), may_evict: true };
    let world = World::on_a_small_bus(EmbeddedLimits { events, ..EmbeddedLimits::default() }).await;
    let mut refused = None;
    for _ in 0..200 {
        let push = a_push(&world);
        match world.deliver(&push).await {
            202 => {}
            status => {
                refused = Some((status, push));
                break;
            }
        }
    }
    let (status, push) = refused.expect("the bus gets full");
    assert_eq!(status, 503);
    let text = world.metrics.text();
    assert!(text.contains("events_refused_total{agent=\"source-github\",kind=\"not-stored\"} 1"), "{text}");
    assert!(world.dead_letters().await.is_empty());
    // The correlator takes what waits: there is room again, and the forge delivers again.
    let config = ConsumerConfig::new("correlator", Stream::Events, "custody.in.>".parse().unwrap());
    let consumer = world.bus.consumer(config).await.unwrap();
    let taken = consumer.fetch(1000, Duration::from_secs(5)).await.unwrap();
    assert!(!taken.is_empty());
    for delivery in &taken {
        consumer.ack(delivery).await.unwrap();
    }
    assert_eq!(world.deliver(&push).await, 202);
    let came = consumer.fetch(1000, Duration::from_secs(5)).await.unwrap();
    assert!(came.iter().any(|delivery| delivery.message.subject.contains("commit.pushed")), "{came:?}");
    world.end();
}

/// A push of one more commit to main.
fn a_push(world: &World) -> Delivery {
    let mut model = world.forge.model();
    let commit = model.commit(REPOSITORY, &[], &person("ann"), &["README.md"]);
    model.push(REPOSITORY, "main", &commit, &person("ann"))
}
