//! What the agents say about themselves.

use std::time::Duration;

use bus_schema::Event;
use bus_schema::fleet::{AgentGap, AgentReported};
use serde_json::json;

use crate::world::World;

/// The reports of the agents, once there are so many.
async fn reports(world: &World, count: usize) -> Vec<AgentReported> {
    let waited = async {
        loop {
            let envelopes = world.envelopes().await;
            let reports = envelopes.into_iter().filter_map(|envelope| match envelope.event {
                Event::AgentReported(report) => Some(report),
                _ => None,
            });
            let reports: Vec<_> = reports.collect();
            if reports.len() >= count {
                return reports;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waited).await.unwrap()
}

async fn gaps(world: &World) -> Vec<AgentGap> {
    let envelopes = world.envelopes().await.into_iter();
    let gaps = envelopes.filter_map(|envelope| match envelope.event {
        Event::AgentGap(gap) => Some(gap),
        _ => None,
    });
    gaps.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_away_is_a_gap_and_coverage_goes_on_from_its_beginning() {
    let world = World::new().await;
    let before = reports(&world, 2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let world = world.start_again(json!({ "own": { "gap_after": "1h" } })).await;
    reports(&world, 4).await;
    assert_eq!(gaps(&world).await, []);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let world =
        world.start_again(json!({ "own": { "gap_after": "100ms" }, "watch": ["acme", "umbrella"] })).await;
    let after = reports(&world, 6).await;
    let gaps = gaps(&world).await;
    assert_eq!(gaps.len(), 2);
    for gap in &gaps {
        assert_eq!((gap.scope.as_str(), gap.recovered), ("github.com/acme", false));
        assert!(gap.from < gap.until);
    }
    let since = |report: &AgentReported, scope: &str| {
        report.coverage.iter().find(|coverage| coverage.scope == scope).map(|coverage| coverage.since)
    };
    let first = before.iter().find(|report| report.kind == "source").unwrap();
    let last = after.iter().rfind(|report| report.kind == "source").unwrap();
    assert_eq!(since(last, "github.com/acme"), since(first, "github.com/acme"));
    assert_eq!(since(last, "github.com/umbrella"), Some(last.epoch));
    world.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_agents_report_what_they_cover() {
    let world = World::new().await;
    let mut reports = reports(&world, 2).await;
    reports.sort_by(|a, b| a.kind.cmp(&b.kind));
    assert_eq!((reports[0].kind.as_str(), reports[1].kind.as_str()), ("ci", "source"));
    for report in &reports {
        assert_eq!(report.coverage.len(), 1);
        assert_eq!(report.coverage[0].scope, "github.com/acme");
        assert!(report.coverage[0].since <= report.reported_at);
    }
    world.end();
}
