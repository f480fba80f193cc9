//! Agents that were taken out of the settings hold up nobody.

use fleet_runtime::asked;
use fleet_runtime::bus::Stream;

use super::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn the_consumer_of_an_agent_that_is_no_longer_listed_is_removed_at_the_start() {
    let world = World::new().await;
    for (agent, kind) in [
        ("registry", crate::AgentKind::Registry),
        ("source", crate::AgentKind::Source),
        ("gone", crate::AgentKind::Ci),
    ] {
        let consumer = asked::consumer(&agent.parse().unwrap(), kind.answers().unwrap()).unwrap();
        world.bus.consumer(consumer).await.unwrap();
    }
    let running = world.start("").await;
    let standing = world.bus.standing().await.unwrap();
    let questions = standing.streams.into_iter().find(|one| one.stream == Stream::Questions).unwrap();
    let names: Vec<String> = questions.consumers.into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["registry", "source"]);
    running.stop().await;
}
