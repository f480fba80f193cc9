#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::types::{Cases, DeadLetters, LetterOutcomes, Places, Status, Trace, Verdicts};
use crate::tests::world::{Running, World, pushed, started};

async fn get<T: serde::de::DeserializeOwned>(running: &Running, path: &str) -> T {
    let response = reqwest::get(running.url(path)).await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    let text = response.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}\n{text}"))
}

async fn status_of(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_answered() {
    let world = World::new().await;
    let running = world.start("").await;
    let good = world.good_image("good").await;
    world.say("cluster", started(good, "api")).await;
    let evil = world.bad_image("evil").await;
    world.say("cluster", started(evil, "evil")).await;
    running.settled().await;

    let status: Status = get(&running, "/status").await;
    assert!(status.waiting.events_caught_up && status.waiting.publications == 0, "{status:?}");
    assert_eq!((status.images.claimed, status.images.unclaimed), (2, 0));
    assert_eq!(status.log.position, status.log.applied);
    assert_eq!(status.contracts.pipelines[0].name, "api");
    assert_eq!(status.agents.len(), 3);

    let trace: Trace = get(&running, &format!("/trace?digest={good}")).await;
    assert_eq!(trace.verdicts[0].verdict.state.as_str(), "trusted");
    assert_eq!(trace.claimed_by, ["api"]);
    assert_eq!(trace.evidence.len(), 1);
    assert_eq!(trace.pushes[0].actor.as_deref(), Some("ci-bot"));
    assert_eq!(trace.places.len(), 1);
    let again: Trace = get(&running, &format!("/trace?image=registry.example/acme/api@{good}")).await;
    assert_eq!(again.digest, good);

    let places: Places = get(&running, &format!("/where?digest={evil}")).await;
    assert_eq!(places.places[0].namespace, "payments");
    let cases: Cases = get(&running, "/cases?state=open").await;
    let case = cases.cases.iter().find(|case| case.rule == "out-of-pipeline-deploy").unwrap();
    let detail: Value = get(&running, &format!("/cases/{}", case.id)).await;
    assert_eq!(detail["case"]["rule"], "out-of-pipeline-deploy");
    let traced: Trace = get(&running, &format!("/trace?digest={evil}")).await;
    assert!(traced.cases.iter().any(|traced| traced.id == case.id));

    let mut digests = Vec::new();
    let mut path = "/verdicts?limit=1".to_owned();
    loop {
        let page: Verdicts = get(&running, &path).await;
        digests.extend(page.verdicts.iter().map(|shown| shown.verdict.digest));
        let Some(next) = page.next else { break };
        path = format!("/verdicts?limit=1&after={next}");
    }
    digests.sort();
    let mut expected = vec![good, evil];
    expected.sort();
    assert_eq!(digests, expected);
    let head: Value = get(&running, "/log/head").await;
    assert!(head["position"].as_u64().unwrap() > 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_beginning_of_a_digest_is_enough_where_it_means_one() {
    let world = World::new().await;
    let running = world.start("").await;
    let [one, twin, other] = [[1; 32], twin_of_ones(), [2; 32]].map(bus_schema::Digest::Sha256);
    for digest in [one, twin, other] {
        world.say("registry", pushed(digest, "ci-bot")).await;
    }
    running.settled().await;
    let trace: Trace = get(&running, "/trace?digest=sha256:02020202").await;
    assert_eq!(trace.digest, other);
    let places: Places = get(&running, "/where?digest=sha256:0202020202").await;
    assert_eq!(places.digest, other);
    let (status, error) = status_of(Client::new().get(running.url("/trace?digest=sha256:01010101"))).await;
    assert_eq!(status.as_u16(), 400);
    let said = error["message"].as_str().unwrap();
    for digest in [one, twin] {
        assert!(said.contains("more than one") && said.contains(&digest.to_string()), "{said}");
    }
    running.stop().await;
}

/// Begins like 32 ones and ends otherwise.
fn twin_of_ones() -> [u8; 32] {
    let mut bytes = [1; 32];
    bytes[31] = 9;
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn only_this_machines_names_are_answered_and_pages_of_other_sites_change_nothing() {
    let world = World::new().await;
    let running = world.start("").await;
    let client = Client::new();
    for host in ["evil.example", "evil.example:9465", "127.0.0.1.evil.example"] {
        let (status, error) = status_of(client.get(running.url("/status")).header("host", host)).await;
        assert_eq!((status.as_u16(), error["error"].as_str()), (421, Some("host")), "{host}");
    }
    let replay = || client.post(running.url("/deadletters/replay")).json(&json!({ "numbers": [1] }));
    let (status, error) = status_of(replay()).await;
    assert_eq!((status.as_u16(), error["error"].as_str()), (403, Some("cross_site")));
    let (status, _) =
        status_of(replay().header("x-custody", "1").header("origin", "https://evil.example")).await;
    assert_eq!(status.as_u16(), 403);
    let (status, outcomes) = status_of(replay().header("x-custody", "1")).await;
    assert_eq!((status.as_u16(), outcomes["letters"][0]["done"].as_bool()), (200, Some(false)));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_requests_get_an_error_of_one_shape() {
    let world = World::new().await;
    let running = world.start("").await;
    let client = Client::new();
    let long = "x".repeat(5000);
    for (path, expected) in [
        ("/trace", 400),
        ("/trace?digest=sha256:zz", 400),
        ("/trace?digest=sha256:1&image=a", 400),
        ("/trace?image=UPPER//x", 400),
        (&format!("/trace?image={long}"), 400),
        ("/trace?image=registry.example/none:v1", 404),
        (&format!("/trace?digest=sha256:{}", "0".repeat(64)), 404),
        ("/where", 400),
        ("/cases?state=odd", 400),
        ("/cases?odd=1", 400),
        ("/cases/none", 400),
        (&format!("/cases/case-{}", "0".repeat(32)), 404),
        ("/verdicts?after=x", 400),
        ("/deadletters/999", 404),
        ("/deadletters/x", 400),
        ("/none", 404),
    ] {
        let (status, error) = status_of(client.get(running.url(path))).await;
        assert_eq!(status.as_u16(), expected, "{path}: {error}");
        assert!(error["error"].is_string() && error["message"].is_string(), "{path}: {error}");
    }
    let huge =
        client.post(running.url("/deadletters/replay")).header("x-custody", "1").body("x".repeat(1 << 20));
    let (status, _) = status_of(huge.header("content-type", "application/json")).await;
    assert_eq!(status.as_u16(), 413);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_listed_shown_and_replayed_once_it_may_be_said() {
    let world = World::new().await;
    let running = world.start("").await;
    let digest = bus_schema::Digest::sha256_of(b"x");
    world.say("late", pushed(digest, "ci-bot")).await;
    running.settled().await;
    let letters: DeadLetters = get(&running, "/deadletters").await;
    assert_eq!(letters.letters.len(), 1);
    let letter = &letters.letters[0];
    assert!(letter.reason.starts_with("unknown_agent") && letter.replayable, "{letter:?}");
    let detail: Value = get(&running, &format!("/deadletters/{}", letter.number)).await;
    assert!(detail["payloadBase64"].is_string());
    let number = letter.number;
    running.stop().await;

    let section = "[[agent]]\nid = \"late\"\nkind = \"registry\"\nscopes = [\"**\"]";
    let running = world.start(section).await;
    let replay = Client::new()
        .post(running.url("/deadletters/replay"))
        .header("x-custody", "1")
        .json(&json!({ "numbers": [number] }));
    let outcomes: LetterOutcomes = replay.send().await.unwrap().json().await.unwrap();
    assert!(outcomes.letters[0].done, "{outcomes:?}");
    running.settled().await;
    let trace: Trace = get(&running, &format!("/trace?digest={digest}")).await;
    assert_eq!(trace.pushes.len(), 1);
    let letters: DeadLetters = get(&running, "/deadletters").await;
    assert!(letters.letters.is_empty());
    running.stop().await;
}
