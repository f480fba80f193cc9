//! Agents whose clock is off: noted once each, never a reason to refuse what they say.
//!
//! In: when an agent saw something by its own clock, and when the bus took it by ours. Out: whether the two are too far apart.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use bus_schema::{AgentId, Envelope};
use jiff::{SignedDuration, Timestamp};

use crate::metrics::CorrelatorMetrics;

/// An agent's clock may be this far from the bus's without a word.
const SKEW_SILENT: SignedDuration = SignedDuration::from_secs(5 * 60);

/// How an agent's clock is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Skew {
    Ahead,
    Behind,
}

impl Skew {
    fn of(seen: Timestamp, published_at: Timestamp) -> Option<Skew> {
        let ahead = seen.duration_since(published_at);
        match ahead {
            _ if ahead > SKEW_SILENT => Some(Skew::Ahead),
            _ if ahead < -SKEW_SILENT => Some(Skew::Behind),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Skew::Ahead => "ahead",
            Skew::Behind => "behind",
        }
    }
}

/// The agents of which it was told that their clock is off. Only those of the settings get here, so it is bounded.
#[derive(Debug)]
pub(super) struct Clocks {
    metrics: CorrelatorMetrics,
    told: Mutex<BTreeSet<(AgentId, Skew)>>,
}

impl Clocks {
    pub(super) fn new(metrics: CorrelatorMetrics) -> Clocks {
        Clocks { metrics, told: Mutex::default() }
    }

    /// Counts an event that was seen long before or after the bus took it, and says so once for its agent.
    pub(super) fn note(&self, envelope: &Envelope, published_at: Timestamp) {
        let Some(skew) = Skew::of(envelope.seen, published_at) else { return };
        self.metrics.skewed(skew.as_str());
        if !self.is_first(&envelope.agent, skew) {
            return;
        }
        let (agent, seen) = (&envelope.agent, envelope.seen);
        match skew {
            Skew::Ahead => tracing::warn!(%agent, %seen, %published_at,
                "the agent saw an event after the bus took it: its clock is ahead"),
            // What waited for a bus that was away looks the same.
            Skew::Behind => tracing::warn!(%agent, %seen, %published_at,
                "the agent saw an event long before the bus took it: its clock is behind, or the event waited"),
        }
    }

    fn is_first(&self, agent: &AgentId, skew: Skew) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert((agent.clone(), skew))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_agent_is_told_of_once_in_each_direction() {
        let clocks = Clocks::new(CorrelatorMetrics::default());
        let (one, other): (AgentId, AgentId) = ("one".parse().unwrap(), "other".parse().unwrap());
        let told = [(&one, Skew::Behind), (&one, Skew::Behind), (&one, Skew::Ahead), (&other, Skew::Behind)];
        let first = told.map(|(agent, skew)| clocks.is_first(agent, skew));
        assert_eq!(first, [true, false, true, true]);
    }

    #[test]
    fn a_clock_is_off_in_either_direction_beyond_five_minutes() {
        let published_at = Timestamp::UNIX_EPOCH;
        let check = |seconds: i64, expected: Option<Skew>| {
            let seen = Timestamp::from_second(seconds).unwrap();
            assert_eq!(Skew::of(seen, published_at), expected, "{seconds} s");
        };
        check(0, None);
        check(300, None);
        check(-300, None);
        check(301, Some(Skew::Ahead));
        check(-301, Some(Skew::Behind));
        check(-3600, Some(Skew::Behind));
    }
}
