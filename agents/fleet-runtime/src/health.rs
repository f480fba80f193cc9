//! What this process can say about itself: named checks, each set by the part that knows, and how often a part began again.
//!
//! Ready means that every check is ready; alive means that no part has ended for good. Nothing is assumed: a check
//! that was never set is not ready.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use serde::Serialize;

use crate::instance::Instance;
use crate::metrics::Metrics;

const REASON_CHARS_MAX: usize = 300;

/// All checks of a process.
#[derive(Clone, Debug, Default)]
pub struct Health {
    inner: Arc<Mutex<Inner>>,
    instance: Instance,
    ready: Family<CheckLabel, Gauge>,
    restarts: Family<LoopLabel, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabel {
    check: String,
}

/// A loop has the name of its check.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LoopLabel {
    r#loop: String,
}

#[derive(Debug, Default)]
struct Inner {
    checks: BTreeMap<String, Standing>,
    is_draining: bool,
}

/// How one check stands, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    #[serde(flatten)]
    pub state: State,
    pub since: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "lowercase")]
pub enum State {
    Starting,
    Ready,
    Failing(String),
    /// It will not come back by itself.
    Ended(String),
}

/// The answer of `/healthz` and `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub alive: bool,
    pub ready: bool,
    pub draining: bool,
    pub checks: BTreeMap<String, Standing>,
}

impl Health {
    /// Shows the checks and the restarts among the process's metrics. Once per process.
    pub fn show_in(&self, metrics: &Metrics) {
        metrics.register(|registry| {
            let help = "Whether a check of the process is ready, 1 or 0";
            registry.register("check_ready", help, self.ready.clone());
            registry.register("loop_restarts", "Loops started again after an end", self.restarts.clone());
        });
    }

    /// Whose checks these are.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Adds a check, which is not ready until its owner says so.
    pub fn check(&self, name: impl Into<String>) -> Check {
        let name = name.into();
        let check = Check { health: self.clone(), name };
        check.set(State::Starting);
        check
    }

    /// From now on not ready, whatever the checks say.
    pub fn begin_draining(&self) {
        self.lock().is_draining = true;
    }

    pub fn report(&self) -> Report {
        let inner = self.lock();
        let checks = inner.checks.clone();
        let alive = !checks.values().any(|standing| matches!(standing.state, State::Ended(_)));
        let all_ready = checks.values().all(|standing| standing.state == State::Ready);
        Report { alive, ready: all_ready && !inner.is_draining, draining: inner.is_draining, checks }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One part's say about itself.
#[derive(Clone, Debug)]
pub struct Check {
    health: Health,
    name: String,
}

impl Check {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The check of a part of this check's owner, beside it.
    pub fn of_part(&self, part: &str) -> Check {
        self.health.check(format!("{} {part}", self.name))
    }

    pub fn ready(&self) {
        self.set(State::Ready);
    }

    pub fn failing(&self, reason: impl AsRef<str>) {
        self.set(State::Failing(cut(reason.as_ref())));
    }

    pub fn ended(&self, reason: impl AsRef<str>) {
        self.set(State::Ended(cut(reason.as_ref())));
    }

    /// Takes the check out: its part is no longer wanted.
    pub fn remove(self) {
        self.health.lock().checks.remove(&self.name);
        self.health.ready.remove(&CheckLabel { check: self.name });
    }

    /// How often the loop of this name was started again, from zero on: what is not there cannot be compared.
    pub(crate) fn restarts(&self) -> Counter {
        self.health.restarts.get_or_create_owned(&LoopLabel { r#loop: self.name.clone() })
    }

    fn set(&self, state: State) {
        let mut inner = self.health.lock();
        let label = CheckLabel { check: self.name.clone() };
        self.health.ready.get_or_create(&label).set(i64::from(state == State::Ready));
        let since = match inner.checks.get(&self.name) {
            Some(before) if std::mem::discriminant(&before.state) == std::mem::discriminant(&state) => {
                before.since
            }
            _ => {
                tracing::debug!(check = self.name, state = ?state, "a check changed");
                Timestamp::now()
            }
        };
        inner.checks.insert(self.name.clone(), Standing { state, since });
    }
}

fn cut(reason: &str) -> String {
    reason.chars().take(REASON_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_every_check_and_not_draining() {
        let health = Health::default();
        let (bus, poll) = (health.check("bus"), health.check("poll"));
        assert!(!health.report().ready);
        bus.ready();
        assert!(!health.report().ready);
        poll.ready();
        assert!(health.report().ready);
        poll.failing("the registry does not answer");
        assert!(!health.report().ready && health.report().alive);
        poll.ready();
        health.begin_draining();
        assert!(!health.report().ready);
    }

    #[test]
    fn a_part_that_ended_is_not_alive_and_since_stays_while_nothing_changes() {
        let health = Health::default();
        let check = health.check("writer");
        check.failing("one");
        let since = health.report().checks["writer"].since;
        check.failing("two");
        assert_eq!(health.report().checks["writer"].since, since);
        check.ended("its thread is gone");
        assert!(!health.report().alive);
    }
}
