//! What is counted, each name once. The numbers themselves are the fleet's, told apart by the agent's label.

use fleet_runtime::metrics::{AgentMetrics, DeadLettered};

/// The counters of one cluster agent.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    agent: AgentMetrics,
}

impl Metrics {
    pub(crate) fn new(agent: AgentMetrics) -> Metrics {
        Metrics { agent }
    }

    pub(crate) fn pod_seen(&self) {
        self.agent.seen("pod");
    }

    pub(crate) fn list_seen(&self) {
        self.agent.seen("list");
    }

    pub(crate) fn inventory_taken(&self) {
        self.agent.seen("inventory");
    }

    pub(crate) fn pod_unreadable(&self) {
        self.agent.dead_lettered(DeadLettered::UnreadablePod);
    }

    pub(crate) fn event_unwritable(&self) {
        self.agent.dead_lettered(DeadLettered::UnwritableEvent);
    }

    pub(crate) fn watch_failed(&self) {
        self.agent.refused("watch-failed");
    }

    pub(crate) fn inventory_failed(&self) {
        self.agent.refused("inventory-failed");
    }

    pub(crate) fn gap_opened(&self) {
        self.agent.refused("gap");
    }

    pub(crate) fn set_lag_seconds(&self, seconds: u64) {
        self.agent.set_lag_seconds(seconds);
    }

    /// Events published since the process began.
    pub(crate) fn published_total(&self) -> u64 {
        self.agent.published_total()
    }

    pub(crate) fn dead_lettered_total(&self) -> u64 {
        self.agent.dead_lettered_total()
    }
}
