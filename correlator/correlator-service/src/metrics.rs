//! What the correlator counts. Labels are words of the program or names of the settings, never text from outside.

use correlator_core::decision::Decision;
use correlator_core::input::Input;
use correlator_store::Lane;
use fleet_runtime::metrics::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Delivery {
    sink: String,
    kind: &'static str,
}

type PerKind = Family<Kind, Counter>;

/// The correlator's metrics; cloning gives another handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct CorrelatorMetrics {
    inputs: PerKind,
    decisions: PerKind,
    refused: PerKind,
    skewed: PerKind,
    repeats: Counter,
    lost: Counter,
    verifications: PerKind,
    dispatched: PerKind,
    deliveries: Family<Delivery, Counter>,
    position: Gauge,
    contract_problems: Gauge,
}

impl CorrelatorMetrics {
    pub(crate) fn new(metrics: &Metrics) -> CorrelatorMetrics {
        let own = CorrelatorMetrics::default();
        metrics.register(|registry| {
            registry.register(
                "ledger_inputs",
                "Inputs applied by the ledger, replays included",
                own.inputs.clone(),
            );
            registry.register(
                "ledger_decisions",
                "Decisions of the ledger, replays included",
                own.decisions.clone(),
            );
            registry.register("correlator_refused", "Events refused, by reason", own.refused.clone());
            registry.register(
                "correlator_skewed",
                "Events seen long after or before the bus took them, by the agent's clock",
                own.skewed.clone(),
            );
            registry.register(
                "correlator_repeats",
                "Events that were in the log already",
                own.repeats.clone(),
            );
            registry.register(
                "correlator_lost",
                "Events that left the stream before they were taken, at least",
                own.lost.clone(),
            );
            registry.register(
                "verifications",
                "Verifications of evidence, by outcome",
                own.verifications.clone(),
            );
            registry.register("dispatched", "Decisions carried out, by lane", own.dispatched.clone());
            registry.register(
                "alert_attempts",
                "Attempts to deliver an alert, by webhook and outcome",
                own.deliveries.clone(),
            );
            registry.register(
                "log_position",
                "The last position of the evidence log that was applied",
                own.position.clone(),
            );
            registry.register(
                "contract_problems",
                "Problems of the contracts folder",
                own.contract_problems.clone(),
            );
        });
        own.begin();
        own
    }

    /// Every series whose words are known, at zero: what is not there cannot be compared.
    fn begin(&self) {
        const INPUTS: [&str; 5] = ["event", "tick", "contracts", "trust_root", "verified"];
        const DECISIONS: [&str; 5] = ["publish_verdict", "publish_case", "deliver", "ask", "verify"];
        const VERIFICATIONS: [&str; 4] = ["verified", "refused", "cached", "failed"];
        let lanes = Lane::ALL.map(Lane::as_str);
        let families: [(&Family<Kind, Counter>, &[&'static str]); 6] = [
            (&self.inputs, &INPUTS),
            (&self.decisions, &DECISIONS),
            (&self.verifications, &VERIFICATIONS),
            (&self.dispatched, &lanes),
            (&self.skewed, &["ahead", "behind"]),
            (&self.refused, &crate::consume::refusal::WORDS),
        ];
        for (family, kinds) in families {
            for kind in kinds.iter().copied() {
                drop(family.get_or_create(&Kind { kind }));
            }
        }
    }

    pub(crate) fn applied<'a>(&self, inputs: impl Iterator<Item = &'a Input>, decisions: &[Decision]) {
        for input in inputs {
            let kind = match input {
                Input::Event(_) => "event",
                Input::Tick => "tick",
                Input::ContractLoaded(_) => "contracts",
                Input::TrustRootLoaded(_) => "trust_root",
                Input::Verified(_) => "verified",
            };
            self.inputs.get_or_create(&Kind { kind }).inc();
        }
        for decision in decisions {
            let kind = match decision {
                Decision::PublishVerdict { .. } => "publish_verdict",
                Decision::PublishCase { .. } => "publish_case",
                Decision::Deliver { .. } => "deliver",
                Decision::Ask { .. } => "ask",
                Decision::Verify { .. } => "verify",
            };
            self.decisions.get_or_create(&Kind { kind }).inc();
        }
    }

    /// One of the words of a refusal, which begin at zero.
    pub(crate) fn refused(&self, reason: &'static str) {
        debug_assert!(crate::consume::refusal::WORDS.contains(&reason), "{reason} does not begin at zero");
        self.refused.get_or_create(&Kind { kind: reason }).inc();
    }

    /// `ahead` or `behind`.
    pub(crate) fn skewed(&self, direction: &'static str) {
        self.skewed.get_or_create(&Kind { kind: direction }).inc();
    }

    pub(crate) fn repeated(&self) {
        self.repeats.inc();
    }

    pub(crate) fn lost(&self, events: u64) {
        self.lost.inc_by(events);
    }

    /// `verified`, `refused`, `cached` or `failed`.
    pub(crate) fn verification(&self, outcome: &'static str) {
        self.verifications.get_or_create(&Kind { kind: outcome }).inc();
    }

    pub(crate) fn dispatched(&self, lane: Lane, count: u64) {
        self.dispatched.get_or_create(&Kind { kind: lane.as_str() }).inc_by(count);
    }

    /// Every outcome of a webhook of the settings, at zero.
    pub(crate) fn begin_sink(&self, sink: &str) {
        for kind in ["accepted", "retry", "refused", "superseded", "dead_lettered"] {
            drop(self.deliveries.get_or_create(&Delivery { sink: sink.to_owned(), kind }));
        }
    }

    /// `accepted`, `retry`, `refused`, `superseded` or `dead_lettered`.
    pub(crate) fn delivery(&self, sink: &str, outcome: &'static str) {
        self.deliveries.get_or_create(&Delivery { sink: sink.to_owned(), kind: outcome }).inc();
    }

    pub(crate) fn set_position(&self, position: u64) {
        self.position.set(i64::try_from(position).unwrap_or(i64::MAX));
    }

    pub(crate) fn set_contract_problems(&self, count: usize) {
        self.contract_problems.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
