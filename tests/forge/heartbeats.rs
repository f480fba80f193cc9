//! What the agents say about themselves.

use std::time::Duration;

use bus_schema::Event;

use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_agents_report_what_they_cover() {
    let world = World::new().await;
    let both = async {
        loop {
            let envelopes = world.envelopes().await;
            let reports = envelopes.into_iter().filter_map(|envelope| match envelope.event {
                Event::AgentReported(report) => Some(report),
                _ => None,
            });
            let mut reports: Vec<_> = reports.collect();
            if reports.len() == 2 {
                reports.sort_by(|a, b| a.kind.cmp(&b.kind));
                return reports;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let reports = tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
    assert_eq!((reports[0].kind.as_str(), reports[1].kind.as_str()), ("ci", "source"));
    for report in &reports {
        assert_eq!(report.coverage.len(), 1);
        assert_eq!(report.coverage[0].scope, "github.com/acme");
        assert!(report.coverage[0].since <= report.reported_at);
    }
    world.end();
}
