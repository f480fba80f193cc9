//! A forge that refuses, limits, is silent or answers rubbish: never an absence, never half a change.

use std::time::Duration;

use bus_schema::Digest;
use bus_schema::fleet::Unavailable;
use bus_schema::question::Question;
use harness::github::{Fault, MergeMethod};
use serde_json::json;

use crate::world::{REPOSITORY, World, person};

/// A change that was reviewed and merged; answers the merge commit.
fn merged(world: &World) -> String {
    let mut model = world.forge.model();
    let first = model.commit(REPOSITORY, &[], &person("root"), &["README.md"]);
    model.push(REPOSITORY, "main", &first, &person("root"));
    let one = model.commit(REPOSITORY, &[&first], &person("bob"), &["src/a.rs"]);
    model.push(REPOSITORY, "fix", &one, &person("bob"));
    let number = model.open_pull(REPOSITORY, ("fix", &one), "main", &person("bob"));
    model.review(REPOSITORY, number, &person("ann"), "APPROVED");
    model.merge(REPOSITORY, number, MergeMethod::Squash, &person("ann"));
    model.repository("acme", "api").refs["refs/heads/main"].clone()
}

fn question(world: &World, commit: &str) -> Question {
    let git_ref = Some("refs/heads/main".parse().unwrap());
    Question::Commit { repository: world.repository(), commit: commit.parse().unwrap(), git_ref }
}

fn status(status: u16, headers: &[(&str, &str)], body: &str) -> Fault {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Fault::Status { status, headers, body: body.to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_is_named_and_no_half_of_a_change_is_told() {
    let forbidden = r#"{"message":"Resource not accessible by integration"}"#;
    let cases = [
        ("/reviews", status(403, &[], forbidden), Unavailable::Denied, "Resource not accessible"),
        ("/reviews", status(401, &[], "{}"), Unavailable::Denied, "(401)"),
        ("/permission", status(403, &[], forbidden), Unavailable::Denied, "a reviewer's permission"),
        ("/pulls/", status(502, &[], "bad gateway"), Unavailable::Unreachable, "it answers 502"),
        ("/reviews", status(200, &[], "<html>"), Unavailable::Unreadable, "expected shape"),
        ("/reviews", status(200, &[], "[{\"id\":\"x\"}]"), Unavailable::Unreadable, "expected shape"),
        ("/reviews", Fault::HalfBody, Unavailable::Unreachable, "broke off"),
        ("/commits?", Fault::Silence(Duration::from_secs(30)), Unavailable::Unreachable, "no answer within"),
        ("/repos/acme/api", status(404, &[], "{}"), Unavailable::Denied, "not visible"),
        (
            "/pulls/",
            status(302, &[("location", "https://elsewhere.example/pulls/1")], ""),
            Unavailable::Unreachable,
            "a host that is not configured",
        ),
    ];
    let world = World::with(json!({ "request_timeout": "2s" })).await;
    let commit = merged(&world);
    for (attempt, (part, fault, reason, detail)) in (1..).zip(cases) {
        world.forge.model().faults = vec![(part.to_owned(), fault, 2)];
        let answered = world.ask_again(question(&world, &commit), attempt).await;
        answered.check_end(reason, detail);
        assert!(answered.events.is_empty(), "{part}: {:?}", answered.events);
    }
    world.forge.model().faults.clear();
    let healed = world.ask_again(question(&world, &commit), 100).await;
    healed.check_end(Unavailable::NotFound, "1 merged changes");
    world.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_moment_and_a_renamed_repository_are_bridged() {
    let world = World::new().await;
    let commit = merged(&world);
    let moved = status(301, &[("location", "/repos/acme/api")], "");
    world.forge.model().faults =
        vec![("/pulls/".to_owned(), status(503, &[], ""), 1), ("/repos/acme/api".to_owned(), moved, 1)];
    let answered = world.ask(question(&world, &commit)).await;
    answered.check_end(Unavailable::NotFound, "1 merged changes");
    world.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_limit_ends_the_look_up_and_keeps_the_next_one_at_home() {
    let secondary = r#"{"message":"You have exceeded a secondary rate limit."}"#;
    for limit in [
        status(429, &[("retry-after", "3600")], "{}"),
        status(403, &[("retry-after", "Sun, 01 Mar 2099 12:00:00 GMT")], "{}"),
        status(403, &[("x-ratelimit-remaining", "4000")], secondary),
    ] {
        let world = World::new().await;
        let commit = merged(&world);
        world.forge.model().faults = vec![("/reviews".to_owned(), limit, 1)];
        let answered = world.ask(question(&world, &commit)).await;
        answered.check_end(Unavailable::RateLimited, "rate limit");
        let asked = world.forge.requests().len();
        let again = world.ask_again(question(&world, &commit), 2).await;
        again.check_end(Unavailable::RateLimited, "until");
        assert_eq!(world.forge.requests().len(), asked);
        world.end();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn some_of_the_rate_limit_is_left_to_others() {
    let world = World::with(json!({ "budget_reserve_requests": 100 })).await;
    let commit = merged(&world);
    world.forge.model().rate_limit_left = 103;
    let answered = world.ask(question(&world, &commit)).await;
    answered.check_end(Unavailable::RateLimited, "rate limit");
    assert_eq!(world.forge.model().rate_limit_left, 100);
    world.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_over_the_bound_is_not_read() {
    let world = World::with(json!({ "response_bytes_max": 65536 })).await;
    let digest = Digest::sha256_of(b"image");
    let bundle = json!({ "mediaType": "x", "dsseEnvelope": { "payload": "y".repeat(100_000) } });
    world.forge.model().attest(REPOSITORY, &digest.to_string(), bundle);
    let question = Question::Attestations { repository: world.repository(), digest };
    world.ask(question).await.check_end(Unavailable::Unreadable, "more than 65536 bytes");
    world.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_configured_is_asked_and_with_the_token() {
    let world = World::with(json!({ "token": "t0ken", "watch": ["acme/api"], "webhooks": [] })).await;
    world.forge.model().token = Some("t0ken".to_owned());
    let commit = merged(&world);
    world.ask(question(&world, &commit)).await.check_end(Unavailable::NotFound, "1 merged changes");
    let asked = world.forge.requests().len();
    for (path, detail) in [
        ("github.com/acme/web", "is not watched"),
        ("github.com/umbrella/api", "is not watched"),
        ("git.acme.example/acme/api", "no forge git.acme.example is configured"),
    ] {
        let repository = path.parse().unwrap();
        let question = Question::Commit { repository, commit: commit.parse().unwrap(), git_ref: None };
        world.ask(question).await.check_end(Unavailable::Unconfigured, detail);
    }
    assert_eq!(world.forge.requests().len(), asked);
    world.forge.model().token = Some("another".to_owned());
    let denied = world.ask_again(question(&world, &commit), 2).await;
    denied.check_end(Unavailable::Denied, "Bad credentials");
    world.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_asks_with_a_token_of_its_installation_below_an_enterprise_path() {
    let key = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let app = json!({ "id": 5, "installation": 77, "private_key": key.serialize_pem() });
    let world = World::below("/api/v3", json!({ "app": app })).await;
    {
        let mut model = world.forge.model();
        model.installation = Some(77);
        model.token = Some("ghs_installation".to_owned());
    }
    let commit = merged(&world);
    world.ask(question(&world, &commit)).await.check_end(Unavailable::NotFound, "1 merged changes");
    let asked = world.forge.requests();
    let tokens = asked.iter().filter(|path| path.ends_with("/access_tokens")).count();
    assert_eq!(tokens, 1, "{asked:?}");
    world.forge.model().installation = Some(78);
    let stranger =
        World::with(json!({ "app": { "id": 5, "installation": 1, "private_key": key.serialize_pem() } }))
            .await;
    let commit = merged(&stranger);
    let denied = stranger.ask(question(&stranger, &commit)).await;
    denied.check_end(Unavailable::Denied, "getting the app's token");
    world.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_that_was_registered_again_is_another_one() {
    let world = World::new().await;
    let commit = merged(&world);
    world.forge.model().repository("acme", "api").id = 4242;
    let answered = world.ask(question(&world, &commit)).await;
    answered.check_end(Unavailable::NotFound, "now is another repository");
    assert!(answered.events.is_empty());
    world.end();
}
