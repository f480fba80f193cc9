//! What is asked of the API changes nothing.

use correlator_core::records::{Records, Table};
use fleet_runtime::bus::Stream;

use super::world::{Running, World, pushed, started};

const REFUSED_TO_GET: [&str; 2] = ["/deadletters/replay", "/deadletters/discard"];

/// The log's head, all records, and how much is on the bus.
async fn state(world: &World, running: &Running) -> String {
    let answers = running.handle.answers();
    let mut text = format!("{:?}\n", answers.store.log().head());
    let snapshot = answers.store.index().unwrap().snapshot().unwrap();
    for table in Table::ALL {
        text += &format!("{} {:?}\n", table.as_str(), snapshot.scan(table, "", "", usize::MAX).unwrap());
    }
    for stream in Stream::ALL {
        let kept = world.bus.read(stream, 1, 1000).await.unwrap();
        text += &format!("{} {:?}\n", stream.name(), kept.last().map(|last| last.sequence));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn no_get_of_any_route_changes_the_log_the_state_or_the_bus() {
    let world = World::new().await;
    let running = world.start("").await;
    let digest = world.bad_image("evil").await;
    world.say("cluster", started(digest, "evil")).await;
    // A dead letter that could be replayed.
    world.say("stranger", pushed(digest, "ci-bot")).await;
    running.settled().await;
    let case = running.handle.answers().all_cases().await.unwrap()[0].id.clone();
    let before = state(&world, &running).await;

    let asked = [
        "/status".to_owned(),
        format!("/trace?digest={digest}"),
        format!("/where?digest={digest}"),
        "/cases".to_owned(),
        format!("/cases/{case}"),
        "/verdicts".to_owned(),
        "/contracts".to_owned(),
        "/log/head".to_owned(),
        "/log/verify".to_owned(),
        "/deadletters".to_owned(),
        "/deadletters/1".to_owned(),
    ];
    let client = reqwest::Client::new();
    for path in asked {
        // The header that allows a change, and a body, make no difference.
        let request = client.get(running.url(&path)).header("x-custody", "1").body("{\"numbers\":[1]}");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}: {:?}", response.text().await);
    }
    for path in REFUSED_TO_GET {
        let request = client.get(running.url(path)).header("x-custody", "1");
        let request = request.header("content-type", "application/json").body("{\"numbers\":[1]}");
        assert_eq!(request.send().await.unwrap().status(), 405, "{path}");
    }
    assert_eq!(state(&world, &running).await, before);
    assert_eq!(world.dead_letters().await.len(), 1);
    running.stop().await;
}
