//! Ends at any point: nothing lost, nothing told twice under another id, nothing verified twice.

use std::path::Path;
use std::time::Duration;

use bus_schema::Event;
use bus_schema::fleet::{AgentReported, Coverage};
use jiff::Timestamp;

use super::faults::{check_told, estate};
use super::world::{Answering, Receiver, World, started, until};

/// Copies a folder that is being written to, as a kill at one moment would leave it: what is derived from the log comes
/// before the log, so that it is never ahead of it.
pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    let mut entries: Vec<std::fs::DirEntry> = std::fs::read_dir(from).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(|entry| {
        let name = entry.file_name();
        (name != "index.redb" && name != "heads", entry.file_type().unwrap().is_dir(), name)
    });
    for entry in entries {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if let Err(error) = std::fs::copy(entry.path(), target) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_deleted_is_built_anew_and_nothing_is_done_again() {
    let world = World::new().await;
    let receiver = Receiver::start([]).await;
    let section = receiver.section("on-call", "");
    // No agent answers here: what nobody answered is asked again after the window for evidence, however it was built.
    world.wait_long_for_evidence();
    let running = world.start(&section).await;
    estate(&world).await;
    running.settled().await;
    let before = running.conclusions().await;
    running.stop().await;
    let told = receiver.received().len();
    assert!(told > 0);
    std::fs::remove_file(world.data().join("index.redb")).unwrap();

    let running = world.start(&section).await;
    running.settled().await;
    assert_eq!(running.conclusions().await, before);
    assert_eq!(receiver.received().len(), told, "{:?}", receiver.said());
    for outcome in ["verified", "refused", "cached", "failed"] {
        assert_eq!(running.counted("verifications", outcome), 0, "{outcome}");
    }
    assert_eq!(running.counted("dispatched", "bus"), 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_reported_before_a_restart_is_not_called_silent_after_it() {
    let world = World::new().await;
    let running = world.start("").await;
    let now = Timestamp::now();
    let report = AgentReported {
        agent: "cluster".parse().unwrap(),
        kind: "cluster".to_owned(),
        version: "1".to_owned(),
        epoch: now,
        sequence: 1,
        interval_seconds: Some(60),
        reported_at: now,
        lag_seconds: 0,
        events_published: 1,
        dead_lettered: 0,
        api_budget_left: None,
        coverage: vec![Coverage { scope: "a-cluster".to_owned(), since: now }],
    };
    world.say("cluster", Event::AgentReported(report)).await;
    running.settled().await;
    running.stop().await;
    let running = world.start("").await;
    let agents = running.handle.answers().status().await.unwrap().agents;
    let of = |id: &str| agents.iter().find(|agent| agent.id == id).unwrap();
    assert!(of("cluster").reported_at.is_some() && !of("cluster").is_silent(Timestamp::now()));
    assert_eq!(of("cluster").coverage.len(), 1);
    assert!(of("registry").is_silent(Timestamp::now()));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_sending_and_the_receipt_sends_again_under_the_same_id() {
    let world = World::new().await;
    let receiver = Receiver::start([Answering::Silence]).await;
    let section = receiver.section("on-call", "timeout = \"20s\"").replace("timeout = \"1s\"\n", "");
    let running = world.start(&section).await;
    let digest = world.bad_image("evil").await;
    world.say("cluster", started(digest, "api")).await;
    until("the alert is sent", || async { !receiver.received().is_empty() }).await;
    // The receiver has it and has not answered: there is no receipt yet.
    let killed = world.folder.path().join("killed");
    copy(&world.data(), &killed);
    running.kill().await;

    let running = world.start_on(&killed, &section).await;
    running.settled().await;
    let received = receiver.received();
    assert!(received.len() >= 2);
    assert_eq!(received[0].id, received[1].id);
    let told = received.len();
    running.stop().await;

    let running = world.start_on(&killed, &section).await;
    running.settled().await;
    assert_eq!(receiver.received().len(), told, "a receipted alert was sent again");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_comes_to_the_same_end() {
    let reference = World::new().await;
    let undisturbed = Receiver::start([]).await;
    // Said before anybody listens, as below: of cases on one digest that begin together the first alone is told.
    estate(&reference).await;
    let running = reference.start(&undisturbed.section("on-call", "")).await;
    running.settled().await;
    let expected = running.conclusions().await;
    running.stop().await;

    let mut world = World::new().await;
    let receiver = Receiver::start([]).await;
    let section = receiver.section("on-call", "");
    estate(&world).await;
    let data = world.data();
    for round in 0..16_u64 {
        let running = world.start_on(&data, &section).await;
        // A different moment each time, so that every step is cut off once; one of them is while people are told.
        match round {
            8 => until("an alert is sent", || async { !receiver.received().is_empty() }).await,
            _ => tokio::time::sleep(Duration::from_millis(round * 17 % 120)).await,
        }
        running.kill().await;
        world.reopen_bus().await;
    }
    assert!(!receiver.received().is_empty(), "nobody was told before the last kill");
    let running = world.start_on(&data, &section).await;
    running.settled().await;
    assert_eq!(running.conclusions().await, expected);
    running.stop().await;
    let settings = correlator_store::StoreSettings::default();
    let store = correlator_store::Store::open_read_only(&data, &settings).unwrap();
    store.log().verify().unwrap();
    check_told(&receiver.received(), &undisturbed.received());
}
