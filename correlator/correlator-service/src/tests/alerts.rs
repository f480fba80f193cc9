//! Alerts: one id per change whatever happens, in order, with patience.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bus_schema::registry::EvidencePlace;

use super::world::{Answering, Receiver, World, pushed, started, until};

const RULE: &str = "opened out-of-pipeline-deploy";

fn ids(receiver: &Receiver, said: &str) -> BTreeSet<String> {
    receiver
        .received()
        .into_iter()
        .filter(|received| received.said() == said)
        .map(|received| received.id)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_deploy_is_told_with_all_that_people_need() {
    let world = World::new().await;
    let receiver = Receiver::start([]).await;
    let section = receiver.section("on-call", "runbooks_url = \"https://wiki.example/runbooks\"");
    let running = world.start(&section).await;
    let digest = world.bad_image("evil").await;
    world.say("cluster", started(digest, "api")).await;
    running.settled().await;
    let alert = receiver.received().into_iter().find(|received| received.said() == RULE);
    let alert = alert.unwrap_or_else(|| panic!("{:?}", receiver.said()));
    let text = &alert.body["data"]["text"];
    assert!(text["title"].as_str().unwrap().contains("out-of-pipeline-deploy"), "{text:#}");
    assert!(text["runsAt"][0].as_str().unwrap().contains("payments"), "{text:#}");
    assert_eq!(text["runbook"], "https://wiki.example/runbooks/out-of-pipeline-deploy.md");
    assert!(!text["nextStep"].as_str().unwrap().is_empty());
    let page = reqwest::get(text["page"].as_str().unwrap()).await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(text["links"][0]["found"].as_str().is_some(), "{text:#}");
    assert_eq!(alert.body["type"], "dev.custody.case.opened.v1");
    assert_eq!(alert.body["specversion"], "1.0");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_tried_again_with_the_same_id_and_a_stated_pause_is_kept() {
    let world = World::new().await;
    let receiver =
        Receiver::start([Answering::Status(500), Answering::RetryAfter(429, 1), Answering::Silence]).await;
    let running = world.start(&receiver.section("on-call", "")).await;
    let digest = world.bad_image("evil").await;
    world.say("cluster", started(digest, "api")).await;
    running.settled().await;
    let received = receiver.received();
    let again: Vec<_> = received.iter().filter(|other| other.id == received[0].id).collect();
    assert!(again.len() > 1, "{:?}", receiver.said());
    assert!(again.iter().all(|other| other.body == received[0].body));
    // The second answer asked for a second of rest.
    let paused = received[2].at.duration_since(received[1].at);
    assert!(paused >= Duration::from_millis(950), "{paused:?}");
    let distinct: BTreeSet<&String> = received.iter().map(|received| &received.id).collect();
    assert_eq!(distinct.len() + 3, received.len(), "three attempts failed: {:?}", receiver.said());
    assert!(running.health.report().ready, "{:?}", running.health.report());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_refuses_goes_to_the_dead_letter_and_holds_nothing_back() {
    let world = World::new().await;
    let receiver = Receiver::start([400, 404, 410, 401].map(Answering::Status)).await;
    let running = world.start(&receiver.section("on-call", "refusals_max = 2")).await;
    let evil = world.bad_image("evil").await;
    world.say("cluster", started(evil, "api")).await;
    running.settled().await;
    let letters = world.dead_letters().await;
    assert!(letters.iter().any(|reason| reason.contains("given up after 2 attempts")), "{letters:?}");
    let replayed = running.replay_every_letter().await;
    assert!(!replayed.is_empty() && replayed.iter().all(|outcome| outcome.done), "{replayed:?}");
    assert_eq!(world.dead_letters().await, Vec::<String>::new());
    let other = world.bad_image("other").await;
    world.say("cluster", started(other, "web")).await;
    running.settled().await;
    let told = receiver.received();
    assert!(told.iter().any(|received| received.body.to_string().contains(&other.to_string())));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_webhook_is_told_and_one_that_fails_does_not_hold_back_another() {
    let world = World::new().await;
    let (good, bad) = (Receiver::start([]).await, Receiver::start([]).await);
    for _ in 0..50 {
        bad.then(Answering::Status(503));
    }
    let sections = format!("{}{}", good.section("good", ""), bad.section("bad", "give_up_after = \"2s\""));
    let running = world.start(&sections).await;
    let digest = world.bad_image("evil").await;
    world.say("cluster", started(digest, "api")).await;
    until("the good webhook is told", || async { good.said().contains(&RULE.to_owned()) }).await;
    running.settled().await;
    assert_eq!(ids(&good, RULE).len(), 1);
    assert!(world.dead_letters().await.iter().any(|reason| reason.contains("given up")));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_evidence_heals_and_people_hear_of_both_in_order() {
    let world = World::new().await;
    let receiver = Receiver::start([]).await;
    let running = world.start(&receiver.section("on-call", "")).await;
    let digest = bus_schema::Digest::sha256_of(b"late");
    world.say("registry", pushed(digest, "ci-bot")).await;
    world.say("cluster", started(digest, "api")).await;
    running.settled().await;
    let opened = receiver.received();
    assert!(opened.iter().any(|received| received.said().starts_with("opened")), "{:?}", receiver.said());
    world.say("registry", world.signature(digest, EvidencePlace::Referrers)).await;
    running.settled().await;
    assert_eq!(running.verdict(digest).await.as_deref(), Some("trusted"));
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    for received in receiver.received() {
        let case = received.body["data"]["case"]["id"].as_str().unwrap().to_owned();
        let said = received.said();
        assert!(last.contains_key(&case) || said.starts_with("opened"), "{said} came first");
        if said.starts_with("resolved") {
            assert!(received.body["data"]["text"]["resolution"].is_string(), "{:#}", received.body);
        }
        last.insert(case, said);
    }
    let about_the_digest = last.values().filter(|said| said.contains("running")).collect::<Vec<_>>();
    assert!(!about_the_digest.is_empty(), "{last:?}");
    assert!(about_the_digest.iter().all(|said| said.starts_with("resolved")), "{last:?}");
    running.stop().await;
}

const PUSH: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const START: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const PROOF: &str = "00-11111111222222223333333344444444-5555555566666666-01";

/// The traces of the alerts that say something of a rule.
fn traces(receiver: &Receiver, change: &str, rule: &str) -> BTreeSet<String> {
    let fits = |said: &str| said.starts_with(change) && said.contains(rule);
    let received = receiver.received().into_iter().filter(|received| fits(&received.said()));
    received.map(|received| received.body["traceparent"].as_str().unwrap().to_owned()).collect()
}

fn only(trace: &str) -> BTreeSet<String> {
    BTreeSet::from([trace.to_owned()])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_belongs_to_the_trace_of_the_event_that_led_to_it() {
    let world = World::new().await;
    let receiver = Receiver::start([]).await;
    let running = world.start(&receiver.section("on-call", "")).await;
    let evil = bus_schema::Digest::sha256_of(b"evil");
    world.say_in(Some(PUSH), "registry", pushed(evil, "alice")).await;
    until("the push is told", || async { !traces(&receiver, "opened", "push-outside-ci").is_empty() }).await;
    world.say_in(Some(START), "cluster", started(evil, "api")).await;
    running.settled().await;
    assert_eq!(traces(&receiver, "opened", "push-outside-ci"), only(PUSH));
    assert_eq!(traces(&receiver, "opened", "out-of-pipeline-deploy"), only(START));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_window_decides_belongs_to_the_trace_of_what_began_it_also_after_a_restart() {
    for is_killed in [false, true] {
        let world = World::new().await;
        let receiver = Receiver::start([]).await;
        let section = receiver.section("on-call", "");
        let mut running = world.start(&section).await;
        let late = bus_schema::Digest::sha256_of(b"late");
        world.say_in(Some(PUSH), "registry", pushed(late, "ci-bot")).await;
        world.say_in(Some(START), "cluster", started(late, "api")).await;
        if is_killed {
            until("it is judged once", || async { running.verdict(late).await.is_some() }).await;
            running.kill().await;
            running = world.start(&section).await;
        }
        running.settled().await;
        assert_eq!(traces(&receiver, "opened", ""), only(START), "{:?}", receiver.said());
        // Its verification is an input of its own, and belongs to what brought the evidence.
        let proof = world.signature(late, EvidencePlace::Referrers);
        world.say_in(Some(PROOF), "registry", proof).await;
        running.settled().await;
        assert_eq!(traces(&receiver, "resolved", ""), only(PROOF), "{:?}", receiver.said());
        running.stop().await;
    }
}
