//! Ends at any point: nothing lost, nothing told twice under another id, nothing verified twice.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bus_schema::Digest;

use super::world::{Answering, Receiver, Running, World, started, until};

/// Verdicts and cases, without what may differ.
async fn state(running: &Running) -> (BTreeMap<Digest, String>, Vec<String>) {
    let verdicts = running.handle.answers().all_verdicts().await.unwrap();
    let states =
        verdicts.into_iter().map(|shown| (shown.verdict.digest, shown.verdict.state.as_str().to_owned()));
    (states.collect(), running.open_cases().await)
}

async fn estate(world: &World) {
    for name in ["one", "two"] {
        let digest = world.good_image(name).await;
        world.say("cluster", started(digest, name)).await;
    }
    let digest = world.bad_image("evil").await;
    world.say("cluster", started(digest, "evil")).await;
}

/// Copies a folder that is being written to, as a kill at one moment would leave it: what is derived from the log comes
/// before the log, so that it is never ahead of it.
fn copy(from: &Path, to: &Path) {
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
    let running = world.start(&section).await;
    estate(&world).await;
    running.settled().await;
    let before = state(&running).await;
    running.stop().await;
    let told = receiver.received().len();
    assert!(told > 0);
    std::fs::remove_file(world.data().join("index.redb")).unwrap();

    let running = world.start(&section).await;
    running.settled().await;
    assert_eq!(state(&running).await, before);
    assert_eq!(receiver.received().len(), told, "{:?}", receiver.said());
    for outcome in ["verified", "refused", "cached", "failed"] {
        assert_eq!(running.counted("verifications", outcome), 0, "{outcome}");
    }
    assert_eq!(running.counted("dispatched", "bus"), 0);
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
    let running = reference.start("").await;
    estate(&reference).await;
    running.settled().await;
    let expected = state(&running).await;
    running.stop().await;

    let mut world = World::new().await;
    let receiver = Receiver::start([]).await;
    let section = receiver.section("on-call", "");
    estate(&world).await;
    let data = world.data();
    for round in 0..16_u64 {
        let running = world.start_on(&data, &section).await;
        // A different moment each time, so that every step is cut off once.
        tokio::time::sleep(Duration::from_millis(round * 17 % 120)).await;
        running.kill().await;
        world.reopen_bus().await;
    }
    let running = world.start_on(&data, &section).await;
    running.settled().await;
    assert_eq!(state(&running).await, expected);
    running.stop().await;
    let settings = correlator_store::StoreSettings::default();
    let store = correlator_store::Store::open_read_only(&data, &settings).unwrap();
    store.log().verify().unwrap();
    let mut changes: BTreeMap<String, String> = BTreeMap::new();
    for received in receiver.received() {
        let case = &received.body["data"]["case"];
        let key = format!("{} {} {}", received.said(), case["id"], case["revision"]);
        let known = changes.entry(key).or_insert_with(|| received.id.clone());
        assert_eq!(*known, received.id, "one change was told under two ids");
    }
}
