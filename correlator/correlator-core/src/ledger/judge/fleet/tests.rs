//! Silence while the correlator itself was away, and gaps however many there were before.

#![allow(clippy::unwrap_used)]

use bus_schema::fleet::{AgentGap, AgentReported};
use bus_schema::{AgentId, Envelope, Event};
use jiff::Timestamp;

use crate::decision::Decision;
use crate::input::{Entry, Input};
use crate::ledger::Ledger;
use crate::records::{MemoryRecords, Records, Table};
use crate::state::agent::{self, GAPS_MAX};

/// Reports at 0 s, and a deadline at 120 s.
const SILENT_AT: i64 = 120;
const SCOPE: &str = "ghcr.io";
/// One gap more than are remembered, each at a second of its own.
const MANY: u64 = GAPS_MAX as u64 + 1;

struct Bench {
    records: MemoryRecords,
    ledger: Ledger,
    position: u64,
    told: Vec<String>,
    next_deadline: Option<Timestamp>,
}

impl Bench {
    fn new() -> Bench {
        let records = MemoryRecords::default();
        let ledger = Ledger::open(&records).unwrap();
        Bench { records, ledger, position: 0, told: Vec::new(), next_deadline: None }
    }

    fn apply(&mut self, second: i64, input: Input) {
        self.position += 1;
        let entry = Entry { position: self.position, recorded: at(second), input };
        let outcome = self.ledger.apply(&self.records, &entry).unwrap();
        self.records.commit(outcome.changes);
        self.next_deadline = outcome.next_deadline;
        for decision in outcome.decisions {
            if let Decision::Deliver { change, case } = decision {
                self.told.push(format!("{second} {} {}", case.rule, change.as_str()));
            }
        }
    }

    fn report(&mut self, second: i64, number: u64) {
        let agent: AgentId = "registry".parse().unwrap();
        let report = AgentReported {
            agent: agent.clone(),
            kind: "registry".to_owned(),
            version: "0.1.0".to_owned(),
            epoch: at(0),
            sequence: number,
            interval_seconds: Some(30),
            coverage: Vec::new(),
            lag_seconds: 0,
            events_published: 0,
            dead_lettered: 0,
            api_budget_left: None,
            reported_at: at(second),
        };
        let envelope = Envelope::new(agent, at(second), at(second), None, Event::AgentReported(report));
        self.apply(second, Input::Event(Box::new(envelope)));
    }

    /// A gap of ten seconds that ends now, or that it is made up for.
    fn gap(&mut self, second: i64, number: u64, recovered: bool) {
        let agent: AgentId = "registry".parse().unwrap();
        let gap = AgentGap {
            agent: agent.clone(),
            epoch: at(0),
            sequence: number,
            scope: SCOPE.to_owned(),
            reason: "it was not running".to_owned(),
            from: at(second - 10),
            until: at(second),
            recovered,
        };
        let envelope = Envelope::new(agent, at(second), at(second), None, Event::AgentGap(gap));
        self.apply(second, Input::Event(Box::new(envelope)));
    }

    fn gaps(&self) -> usize {
        let prefix = agent::gaps_prefix(&"registry".parse().unwrap(), SCOPE);
        self.records.scan(Table::Agents, &prefix, &prefix, usize::MAX).unwrap().len()
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn a_deadline_that_is_seen_when_it_comes_says_that_the_agent_is_silent() {
    let mut bench = Bench::new();
    bench.report(0, 1);
    assert_eq!(bench.next_deadline, Some(at(SILENT_AT)));
    bench.apply(SILENT_AT + 1, Input::Tick);
    assert_eq!(bench.told, ["121 agent-silent opened"]);
    assert_eq!(bench.next_deadline, None);
}

#[test]
fn a_deadline_that_was_missed_gives_the_agent_its_time_again_and_only_once() {
    let mut bench = Bench::new();
    bench.report(0, 1);
    bench.apply(3600, Input::Tick);
    assert_eq!(bench.told, [""; 0], "the correlator was away, and the reports of an hour wait on the bus");
    assert_eq!(bench.next_deadline, Some(at(3600 + SILENT_AT)));
    bench.apply(3600 + SILENT_AT + 600, Input::Tick);
    assert_eq!(bench.told, ["4320 agent-silent opened"]);

    bench.report(4400, 2);
    bench.apply(8000, Input::Tick);
    bench.apply(8000 + SILENT_AT, Input::Tick);
    assert_eq!(
        bench.told,
        ["4320 agent-silent opened", "4400 agent-silent resolved", "8120 agent-silent opened"],
        "a report gives it back what it was given once"
    );
}

#[test]
fn a_report_that_was_waiting_while_the_correlator_was_away_is_heard() {
    let mut bench = Bench::new();
    bench.report(0, 1);
    bench.apply(3600, Input::Tick);
    bench.report(3601, 2);
    assert_eq!(bench.next_deadline, Some(at(3601 + SILENT_AT)));
    assert_eq!(bench.told, [""; 0]);
}

#[test]
fn a_gap_is_told_after_however_many_that_were_made_up_for() {
    let mut bench = Bench::new();
    for (second, number) in (1000..).zip(1..=MANY) {
        bench.gap(second, number, false);
        bench.gap(second, number, true);
    }
    assert_eq!(bench.gaps(), 0, "what is made up for is not kept");
    bench.told.clear();
    bench.gap(9000, MANY + 1, false);
    assert_eq!(bench.told, ["9000 events-missing opened"]);
    bench.gap(9001, MANY + 1, true);
    assert_eq!(bench.told[1..], ["9001 events-missing resolved"]);
}

#[test]
fn a_recovery_that_is_heard_of_first_makes_up_for_its_gap() {
    let mut bench = Bench::new();
    bench.gap(1000, 1, true);
    bench.gap(1000, 1, false);
    bench.gap(900, 2, false);
    assert_eq!(bench.told, [""; 0]);
    bench.gap(1001, 3, false);
    assert_eq!(bench.told, ["1001 events-missing opened"]);
}

#[test]
fn a_recovery_makes_up_for_its_own_gap_though_the_clock_was_set_back() {
    let mut bench = Bench::new();
    bench.gap(1000, 1, false);
    bench.gap(900, 1, true);
    assert_eq!(bench.told, ["1000 events-missing opened", "900 events-missing resolved"]);
}

#[test]
fn gaps_that_nothing_makes_up_for_stay_open_and_bounded() {
    let mut bench = Bench::new();
    for (second, number) in (1000..).zip(1..=MANY) {
        bench.gap(second, number, false);
    }
    assert_eq!(bench.gaps(), GAPS_MAX);
    let last = 1000 + i64::try_from(MANY).unwrap() - 1;
    bench.gap(last - 1, MANY + 1, true);
    assert_eq!(bench.told, ["1000 events-missing opened"], "the last one is still open");
    assert_eq!(bench.gaps(), 1);
    bench.gap(last, MANY + 2, true);
    assert_eq!(bench.told.len(), 2);
}
