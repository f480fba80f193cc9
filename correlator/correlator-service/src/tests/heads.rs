//! The published head of the log: it tells another data folder on the same bus, and an older copy of the
//! same, before anything is taken.

use std::path::Path;

use bytes::Bytes;
use correlator_store::{Store, StoreSettings};
use fleet_runtime::health::{Health, State};
use fleet_runtime::metrics::{FleetMetrics, Metrics};
use tokio_util::sync::CancellationToken;

use super::restart::copy;
use super::world::{Running, World, until};
use crate::heads::{HEAD_KEY, LOG_BUCKET};
use crate::{Context, Correlator, HeadConflict, LogGeneration, OpenError};

/// Why a correlator does not open on a folder.
async fn refused(world: &World, data: &Path) -> HeadConflict {
    let metrics = Metrics::new();
    let context = Context {
        bus: world.bus.clone(),
        data: data.to_owned(),
        metrics: metrics.clone(),
        published: FleetMetrics::new(&metrics).agent("correlator"),
        health: Health::default(),
        stop: CancellationToken::new(),
    };
    match Correlator::open(world.settings(""), context).await {
        Err(OpenError::Head(conflict)) => *conflict,
        other => panic!("{other:?}"),
    }
}

async fn published(world: &World) -> Option<serde_json::Value> {
    let bucket = world.bus.key_value(LOG_BUCKET).await.unwrap();
    let entry = bucket.get(HEAD_KEY).await.unwrap()?;
    serde_json::from_slice(&entry.value).ok()
}

/// Waits until the published head is that of the log's end.
async fn head_is_out(world: &World, running: &Running) {
    until("the head is published", || async {
        let head = running.handle.answers().log_head();
        published(world).await.is_some_and(|found| found["hash"] == head.hash.to_string())
    })
    .await;
}

fn superseding(theirs: LogGeneration, world: &World) -> crate::Settings {
    let mut settings = world.settings("");
    settings.correlator.supersedes = Some(theirs);
    settings
}

fn theirs(conflict: &HeadConflict) -> LogGeneration {
    let said = conflict.to_string();
    let (_, word) = said.split_once("supersedes = \"").unwrap();
    word.split_once('"').unwrap().0.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_data_folder_on_a_bus_is_refused_until_the_settings_say_that_the_first_is_over() {
    let world = World::new().await;
    let running = world.start("").await;
    let digest = world.good_image("good").await;
    running.settled().await;
    head_is_out(&world, &running).await;
    running.stop().await;

    let second = world.folder.path().join("second");
    let conflict = refused(&world, &second).await;
    assert!(matches!(conflict, HeadConflict::OtherLog { is_our_key: false, .. }), "{conflict}");
    let first = published(&world).await.unwrap();
    assert!(conflict.to_string().contains(first["log"].as_str().unwrap()), "{conflict}");
    let settings = superseding(theirs(&conflict), &world);
    let running = super::world::start(settings, world.bus.clone(), &second).await;
    running.settled().await;
    // What the first had acknowledged is taken again.
    assert_eq!(running.verdict(digest).await.as_deref(), Some("trusted"));
    head_is_out(&world, &running).await;
    running.stop().await;
    let running = world.start_on(&second, "").await;
    running.settled().await;
    running.stop().await;
    assert!(matches!(refused(&world, &world.data()).await, HeadConflict::OtherLog { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_folder_is_refused_and_goes_on_in_a_higher_generation_without_losing_an_event() {
    let world = World::new().await;
    let running = world.start("").await;
    world.good_image("kept").await;
    running.settled().await;
    running.stop().await;
    let older = world.folder.path().join("older");
    copy(&world.data(), &older);
    let running = world.start("").await;
    let lost = world.good_image("lost").await;
    running.settled().await;
    head_is_out(&world, &running).await;
    let before = running.handle.answers().log_head();
    running.stop().await;

    let conflict = refused(&world, &older).await;
    assert!(matches!(conflict, HeadConflict::Shortened { expected, .. } if expected == before.position));
    let settings = superseding(theirs(&conflict), &world);
    let running = super::world::start(settings, world.bus.clone(), &older).await;
    running.settled().await;
    assert_eq!(running.verdict(lost).await.as_deref(), Some("trusted"));
    let after = running.handle.answers().log_head();
    assert!(after.log == before.log && after.generation > before.generation, "{after:?} {before:?}");
    head_is_out(&world, &running).await;
    running.stop().await;
    let store = Store::open_read_only(&older, &StoreSettings::default()).unwrap();
    assert!(store.log().verify().unwrap().signed_heads > 0);
    drop(store);
    // The folder that was given up is the older one now.
    assert!(matches!(refused(&world, &world.data()).await, HeadConflict::OlderGeneration { .. }));
    let running = world.start_on(&older, "").await;
    running.settled().await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_copies_that_went_on_apart_are_told_by_the_entry_at_the_head() {
    let world = World::new().await;
    let running = world.start("").await;
    running.settled().await;
    running.stop().await;
    let copied = world.folder.path().join("copied");
    copy(&world.data(), &copied);
    let running = world.start("").await;
    world.good_image("one").await;
    running.settled().await;
    head_is_out(&world, &running).await;
    let head = published(&world).await.unwrap();
    running.stop().await;
    // The copy goes on further than the first, on a bus that knows no head.
    let bucket = world.bus.key_value(LOG_BUCKET).await.unwrap();
    bucket.delete(HEAD_KEY).await.unwrap();
    let running = world.start_on(&copied, "").await;
    for name in ["two", "three"] {
        world.good_image(name).await;
    }
    running.settled().await;
    assert!(running.handle.answers().log_head().position > head["position"].as_u64().unwrap());
    running.stop().await;
    bucket.put(HEAD_KEY, Bytes::from(head.to_string())).await.unwrap();
    assert!(matches!(refused(&world, &copied).await, HeadConflict::OtherHistory { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_logs_head_that_appears_fails_the_check_and_is_not_put_over() {
    let world = World::new().await;
    let other = World::new().await;
    let running = other.start("").await;
    head_is_out(&other, &running).await;
    let foreign = Bytes::from(published(&other).await.unwrap().to_string());
    running.stop().await;

    let running = world.start("").await;
    head_is_out(&world, &running).await;
    let bucket = world.bus.key_value(LOG_BUCKET).await.unwrap();
    // Where the log stands, and where it has gone on: the check fails because a head was to be put, and was not.
    for image in ["one", "another"] {
        bucket.put(HEAD_KEY, foreign.clone()).await.unwrap();
        world.good_image(image).await;
        running.settled().await;
        until("the check fails", || async {
            let report = running.health.report();
            matches!(&report.checks["log-head"].state, State::Failing(reason) if reason.contains("another correlator"))
        })
        .await;
        assert_eq!(bucket.get(HEAD_KEY).await.unwrap().unwrap().value, foreign);
        bucket.delete(HEAD_KEY).await.unwrap();
        head_is_out(&world, &running).await;
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_head_that_its_key_signed_stops_nobody() {
    let world = World::new().await;
    let running = world.start("").await;
    head_is_out(&world, &running).await;
    running.stop().await;
    let mut unsigned = published(&world).await.unwrap();
    unsigned["log"] = serde_json::json!("00000000000000000000000000000000");
    let bucket = world.bus.key_value(LOG_BUCKET).await.unwrap();
    for value in [unsigned.to_string(), "{}".to_owned(), "x".repeat(10_000)] {
        bucket.put(HEAD_KEY, Bytes::from(value)).await.unwrap();
        let running = world.start("").await;
        head_is_out(&world, &running).await;
        running.stop().await;
    }
}
