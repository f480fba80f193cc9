//! Contracts that change while everything runs.

use super::world::{World, started, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_contract_judges_again_and_a_broken_one_is_refused_and_shown() {
    let world = World::new().await;
    let running = world.start("").await;
    let digest = world.good_image("good").await;
    world.say("cluster", started(digest, "api")).await;
    running.settled().await;
    assert_eq!(running.verdict(digest).await.as_deref(), Some("trusted"));
    let hash = running.handle.answers().contracts().hash;

    let file = world.contracts().join("api.yaml");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, good.replace("require:", "requires:")).unwrap();
    until("the broken set is shown", || async { !running.handle.answers().contracts().problems.is_empty() })
        .await;
    let shown = running.handle.answers().contracts();
    assert_eq!(shown.hash, hash);
    assert!(shown.problems[0].contains("api.yaml"), "{:?}", shown.problems);
    assert!(!running.health.report().ready);

    // Another key: what was signed with the first is no longer.
    let other = crate::tests::signing_key::SigningKey::generate();
    std::fs::write(world.contracts().join("release.pub"), other.public_pem()).unwrap();
    std::fs::write(&file, good).unwrap();
    until("the new set is in force", || async { running.handle.answers().contracts().hash != hash }).await;
    running.settled().await;
    assert!(running.handle.answers().contracts().problems.is_empty());
    assert_eq!(running.verdict(digest).await.as_deref(), Some("untrusted"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_contracts_are_recorded_once() {
    let world = World::new().await;
    let running = world.start("").await;
    running.settled().await;
    let recorded = running.handle.answers().log_head().position;
    assert_eq!(recorded, 3, "two trust roots and the set");
    running.stop().await;
    let running = world.start("").await;
    running.settled().await;
    assert_eq!(running.handle.answers().log_head().position, recorded);
    running.stop().await;
}
