//! Metrics: one registry per process, handed to its parts, and what every agent counts.
//!
//! Label values are `&'static str` or a name of the settings, so that outside text cannot become one. What a rule of
//! `deploy/dashboards/alerts.yaml` counts begins at zero: Prometheus sees no increase in a series that begins at one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bus_schema::AgentId;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::bus::Stream;

/// The process's registry.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

impl Metrics {
    pub fn new() -> Metrics {
        Metrics { registry: Arc::new(Mutex::new(Registry::with_prefix("custody"))) }
    }

    /// Lets a part register its own metrics. Each name once per process.
    pub fn register(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Everything in OpenMetrics text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = encode(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner));
        text
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AgentLabel {
    agent: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    agent: String,
    kind: &'static str,
}

/// Why a payload is put into the dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLettered {
    NotUnderstood,
    TooLarge,
    Notification,
    UnreadablePod,
    UnwritableEvent,
    Outbox,
}

impl DeadLettered {
    const ALL: [DeadLettered; 6] = [
        DeadLettered::NotUnderstood,
        DeadLettered::TooLarge,
        DeadLettered::Notification,
        DeadLettered::UnreadablePod,
        DeadLettered::UnwritableEvent,
        DeadLettered::Outbox,
    ];

    fn as_str(self) -> &'static str {
        match self {
            DeadLettered::NotUnderstood => "not-understood",
            DeadLettered::TooLarge => "too-large",
            DeadLettered::Notification => "notification",
            DeadLettered::UnreadablePod => "unreadable-pod",
            DeadLettered::UnwritableEvent => "unwritable-event",
            DeadLettered::Outbox => "outbox",
        }
    }
}

/// The kind of a series that stays at zero, so that a counter is there before anything happened.
const NOTHING_YET: &str = "none";

type PerKind = Family<KindLabel, Counter>;
type PerAgent = Family<AgentLabel, Gauge>;

/// What every agent of a process counts; registered once, told apart by the label `agent`.
#[derive(Clone, Debug, Default)]
pub struct FleetMetrics {
    seen: PerKind,
    published: PerKind,
    refused: PerKind,
    dead_lettered: PerKind,
    answered: PerKind,
    lag_seconds: PerAgent,
    api_budget_left: Family<KindLabel, Gauge>,
    last_published_seconds: Family<AgentLabel, Gauge<f64, AtomicU64>>,
    denied: PerKind,
    outbox_messages: PerAgent,
    outbox_bytes: PerAgent,
}

impl FleetMetrics {
    pub fn new(metrics: &Metrics) -> FleetMetrics {
        let own = FleetMetrics::default();
        metrics.register(|registry| {
            registry.register("events_seen", "Payloads received or found at the source", own.seen.clone());
            registry.register(
                "events_published",
                "Events that are durable: in a fleet in the agent's outbox, from where they go on to the servers",
                own.published.clone(),
            );
            registry.register("events_refused", "Payloads refused, by reason", own.refused.clone());
            registry.register(
                "dead_lettered",
                "Payloads put into the dead letter, by reason",
                own.dead_lettered.clone(),
            );
            registry.register("questions_answered", "Questions answered, by outcome", own.answered.clone());
            registry.register(
                "lag_seconds",
                "How far the agent is behind its source",
                own.lag_seconds.clone(),
            );
            registry.register(
                "api_budget_left",
                "Calls left in the source's API budget",
                own.api_budget_left.clone(),
            );
            let help = "Unix time at which the agent last had something to say, whether or not the servers have it";
            registry.register("last_published_seconds", help, own.last_published_seconds.clone());
            let help = "Attempts to publish what the bus does not allow to this agent, by stream";
            registry.register("publish_denied", help, own.denied.clone());
            let help = "Messages on the agent's own disk that wait for the bus";
            registry.register("outbox_messages", help, own.outbox_messages.clone());
            let help = "Bytes of the messages that wait for the bus";
            registry.register("outbox_bytes", help, own.outbox_bytes.clone());
        });
        own
    }

    /// The counters of a part of which a process has one (`correlator`).
    pub fn agent(&self, name: &'static str) -> AgentMetrics {
        self.named(name)
    }

    /// The counters of one agent of the settings: a process may have two of a kind.
    pub fn of(&self, agent: &AgentId) -> AgentMetrics {
        self.named(agent.as_str())
    }

    fn named(&self, agent: &str) -> AgentMetrics {
        let own = AgentMetrics { agent: agent.into(), fleet: self.clone(), totals: Arc::default() };
        // There from the first scrape on: what is not there cannot be compared.
        drop(self.lag_seconds.get_or_create(&own.label()));
        drop(self.outbox_messages.get_or_create(&own.label()));
        drop(self.outbox_bytes.get_or_create(&own.label()));
        let begin = |family: &PerKind, kind| {
            drop(family.get_or_create(&KindLabel { agent: agent.to_owned(), kind }));
        };
        for family in [&self.seen, &self.published, &self.refused, &self.answered] {
            begin(family, NOTHING_YET);
        }
        for reason in DeadLettered::ALL {
            begin(&self.dead_lettered, reason.as_str());
        }
        for stream in Stream::ALL {
            begin(&self.denied, stream.name());
        }
        own
    }
}

/// The counters of one agent. Each `kind` is a word of the program, never of the outside.
#[derive(Clone, Debug)]
pub struct AgentMetrics {
    agent: Arc<str>,
    fleet: FleetMetrics,
    totals: Arc<Totals>,
}

/// What one agent's heartbeat states, since this handle was made.
#[derive(Debug, Default)]
struct Totals {
    published: AtomicU64,
    dead_lettered: AtomicU64,
    /// The most that something was late since the last heartbeat.
    late_seconds: AtomicU64,
}

impl AgentMetrics {
    pub fn seen(&self, kind: &'static str) {
        self.count(&self.fleet.seen, kind);
    }

    pub fn published(&self, kind: &'static str) {
        self.count(&self.fleet.published, kind);
        self.totals.published.fetch_add(1, Ordering::Relaxed);
        let now = jiff::Timestamp::now().as_duration().as_secs_f64();
        self.fleet.last_published_seconds.get_or_create(&self.label()).set(now);
    }

    pub fn refused(&self, reason: &'static str) {
        self.count(&self.fleet.refused, reason);
    }

    pub fn dead_lettered(&self, reason: DeadLettered) {
        self.count(&self.fleet.dead_lettered, reason.as_str());
        self.totals.dead_lettered.fetch_add(1, Ordering::Relaxed);
    }

    pub fn answered(&self, outcome: &'static str) {
        self.count(&self.fleet.answered, outcome);
    }

    /// The servers have refused something for good: the credential or its rights are not this agent's.
    pub fn denied(&self, stream: Stream) {
        self.count(&self.fleet.denied, stream.name());
    }

    pub fn set_lag_seconds(&self, seconds: u64) {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        self.fleet.lag_seconds.get_or_create(&self.label()).set(seconds);
    }

    /// What waits in the agent's outbox.
    pub fn set_outbox(&self, messages: u64, bytes: u64) {
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.fleet.outbox_messages.get_or_create(&self.label()).set(gauge(messages));
        self.fleet.outbox_bytes.get_or_create(&self.label()).set(gauge(bytes));
    }

    /// Notes how late something came that the source sends by itself.
    pub fn came_late(&self, seconds: u64) {
        self.totals.late_seconds.fetch_max(seconds, Ordering::Relaxed);
    }

    /// The most that something was late since the last call: how far an agent is behind that only receives.
    pub fn take_late_seconds(&self) -> u64 {
        self.totals.late_seconds.swap(0, Ordering::Relaxed)
    }

    /// What is left of a budget (`core`, `graphql`).
    pub fn set_api_budget_left(&self, budget: &'static str, left: u64) {
        let left = i64::try_from(left).unwrap_or(i64::MAX);
        let label = KindLabel { agent: self.agent.to_string(), kind: budget };
        self.fleet.api_budget_left.get_or_create(&label).set(left);
    }

    /// All events published since the start, for the heartbeat.
    pub fn published_total(&self) -> u64 {
        self.totals.published.load(Ordering::Relaxed)
    }

    /// All payloads put into the dead letter since the start, for the heartbeat.
    pub fn dead_lettered_total(&self) -> u64 {
        self.totals.dead_lettered.load(Ordering::Relaxed)
    }

    fn count(&self, family: &PerKind, kind: &'static str) {
        family.get_or_create(&KindLabel { agent: self.agent.to_string(), kind }).inc();
    }

    fn label(&self) -> AgentLabel {
        AgentLabel { agent: self.agent.to_string() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn agents_of_one_process_share_names_and_differ_by_label() {
        let metrics = Metrics::new();
        let fleet = FleetMetrics::new(&metrics);
        let (one, two) = (fleet.agent("ci-agent"), fleet.agent("registry-agent"));
        one.seen("workflow_run");
        one.published("ci");
        two.seen("push");
        two.set_lag_seconds(3);
        let text = metrics.text();
        for line in [
            "custody_events_seen_total{agent=\"ci-agent\",kind=\"workflow_run\"} 1",
            "custody_events_seen_total{agent=\"registry-agent\",kind=\"push\"} 1",
            "custody_lag_seconds{agent=\"registry-agent\"} 3",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert_eq!(text.matches("# TYPE custody_events_seen counter").count(), 1);
        assert_eq!((one.published_total(), two.published_total()), (1, 0));
    }

    #[test]
    fn two_agents_of_one_kind_are_told_apart_by_their_ids() {
        let metrics = Metrics::new();
        let fleet = FleetMetrics::new(&metrics);
        for (id, lag) in [("cluster-east", 1), ("cluster-west", 2)] {
            let agent = fleet.of(&id.parse().unwrap());
            agent.published("cluster");
            agent.set_lag_seconds(lag);
        }
        let text = metrics.text();
        for line in [
            "custody_events_published_total{agent=\"cluster-east\",kind=\"cluster\"} 1",
            "custody_events_published_total{agent=\"cluster-west\",kind=\"cluster\"} 1",
            "custody_lag_seconds{agent=\"cluster-east\"} 1",
            "custody_lag_seconds{agent=\"cluster-west\"} 2",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn the_lateness_of_a_heartbeat_is_the_most_since_the_one_before() {
        let agent = FleetMetrics::new(&Metrics::new()).agent("ci-agent");
        assert_eq!(agent.take_late_seconds(), 0);
        agent.came_late(3);
        agent.came_late(90);
        agent.came_late(7);
        assert_eq!((agent.take_late_seconds(), agent.take_late_seconds()), (90, 0));
    }
}
