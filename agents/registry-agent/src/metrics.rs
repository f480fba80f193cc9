//! What only this agent counts; what all agents count is in the publisher's counters.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    polls: Counter,
    polls_failed: Counter,
    look_ups_waiting: Gauge,
}

impl Metrics {
    pub(crate) fn new(process: &fleet_runtime::metrics::Metrics) -> Metrics {
        let own = Metrics::default();
        process.register(|registry| {
            let help = "Polls of a registry that read everything they wanted";
            registry.register("registry_polls", help, own.polls.clone());
            registry.register(
                "registry_polls_failed",
                "Polls of a registry that failed",
                own.polls_failed.clone(),
            );
            let help = "Digests that wait to be looked at after a push";
            registry.register("registry_look_ups_waiting", help, own.look_ups_waiting.clone());
        });
        own
    }

    pub(crate) fn polled(&self) {
        self.polls.inc();
    }

    pub(crate) fn poll_failed(&self) {
        self.polls_failed.inc();
    }

    pub(crate) fn set_look_ups_waiting(&self, count: u64) {
        self.look_ups_waiting.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
