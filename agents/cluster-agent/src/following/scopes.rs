//! How the followed scopes stand.

use jiff::Timestamp;

use crate::epoch::seconds_since;

/// All scopes of the agent.
#[derive(Debug)]
pub(super) struct Scopes {
    began_at: Timestamp,
    scopes: Vec<Scope>,
}

#[derive(Debug, Clone, Default)]
struct Scope {
    is_connected: bool,
    /// Everything up to this time has been seen and said; absent until the first list.
    seen_until: Option<Timestamp>,
    problem: Option<String>,
}

impl Scopes {
    pub(super) fn new(count: usize, began_at: Timestamp) -> Scopes {
        Scopes { began_at, scopes: vec![Scope::default(); count] }
    }

    pub(super) fn listed(&mut self, index: usize, at: Timestamp) {
        self.change(index, |scope| {
            scope.seen_until = Some(at);
            scope.problem = None;
        });
    }

    pub(super) fn connected(&mut self, index: usize) {
        self.change(index, |scope| {
            scope.is_connected = true;
            scope.problem = None;
        });
    }

    pub(super) fn in_touch(&mut self, index: usize, at: Timestamp) {
        self.change(index, |scope| {
            scope.seen_until = scope.seen_until.map(|before| before.max(at));
        });
    }

    pub(super) fn out_of_touch(&mut self, index: usize, reason: String) {
        self.change(index, |scope| {
            scope.is_connected = false;
            scope.problem = Some(reason);
        });
    }

    /// Whether every scope was listed once.
    pub(super) fn are_listed(&self) -> bool {
        self.scopes.iter().all(|scope| scope.seen_until.is_some())
    }

    /// What stands in the way of seeing everything.
    pub(super) fn problem(&self) -> Option<&str> {
        let found = self.scopes.iter().find_map(|scope| scope.problem.as_deref());
        found.or_else(|| (!self.are_listed()).then_some("the pods are not listed yet"))
    }

    /// Everything up to this time has been seen and said.
    pub(super) fn seen_until(&self) -> Option<Timestamp> {
        let times: Option<Vec<Timestamp>> = self.scopes.iter().map(|scope| scope.seen_until).collect();
        times?.into_iter().min()
    }

    /// How far the agent is behind: nothing while it is connected, however quiet the cluster is.
    pub(super) fn lag_seconds(&self, now: Timestamp) -> u64 {
        let lag = |scope: &Scope| match scope.is_connected {
            true => 0,
            false => seconds_since(scope.seen_until.unwrap_or(self.began_at), now),
        };
        self.scopes.iter().map(lag).max().unwrap_or(0)
    }

    fn change(&mut self, index: usize, change: impl FnOnce(&mut Scope)) {
        if let Some(scope) = self.scopes.get_mut(index) {
            change(scope);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn everything_is_seen_up_to_where_the_slowest_scope_is() {
        let mut scopes = Scopes::new(2, at(50));
        assert!(scopes.problem().is_some());
        scopes.listed(0, at(100));
        assert_eq!(scopes.seen_until(), None);
        scopes.listed(1, at(90));
        scopes.in_touch(0, at(120));
        assert_eq!(scopes.seen_until(), Some(at(90)));
        assert_eq!(scopes.problem(), None);
    }

    #[test]
    fn a_broken_connection_is_a_problem_and_a_lag_until_it_is_back() {
        let mut scopes = Scopes::new(1, at(50));
        assert_eq!(scopes.lag_seconds(at(60)), 10);
        scopes.listed(0, at(100));
        scopes.connected(0);
        assert_eq!(scopes.lag_seconds(at(500)), 0);
        scopes.out_of_touch(0, "no route".to_owned());
        assert_eq!(scopes.problem(), Some("no route"));
        assert_eq!(scopes.lag_seconds(at(500)), 400);
        scopes.connected(0);
        assert_eq!(scopes.problem(), None);
        assert_eq!(scopes.lag_seconds(at(500)), 0);
    }
}
