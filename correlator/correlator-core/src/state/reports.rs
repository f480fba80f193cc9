//! The reports of one agent by their numbers: which came, and which are missing between them.
//!
//! An agent counts its reports from 1 within its epoch, and none is skipped. So a number that is missing between two that
//! came is a report that was lost, and whatever else the agent said around it may be lost with it. The record is a set of
//! numbers, kept as ranges: it grows in any order to the same value.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The most epochs whose numbers are remembered: the newest.
pub const EPOCHS_MAX: usize = 8;
/// The most ranges of one epoch: of more holes the lowest are remembered only as a time.
pub const RANGES_MAX: usize = 32;

/// One report, as the end of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub number: u64,
    /// The agent's time.
    pub reported_at: Timestamp,
    /// The log's time.
    pub recorded: Timestamp,
}

/// Reports without a hole between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Range {
    first: Report,
    last: Report,
}

/// The numbers of an agent's reports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reports {
    epochs: BTreeMap<Timestamp, Vec<Range>>,
    /// There were epochs before the first that is remembered.
    #[serde(default)]
    has_older: bool,
    /// Until when something was missing in what is no longer remembered number by number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forgotten_until: Option<Timestamp>,
}

/// Reports that did not come though a later one did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// The missing numbers, where they are still known.
    pub numbers: Option<(u64, u64)>,
    /// The agent's times around them.
    pub from: Timestamp,
    pub until: Timestamp,
    /// Since when, in the log's time, both sides are known.
    pub known_since: Timestamp,
}

impl Reports {
    /// Adds a report. Returns whether it is new.
    pub fn insert(&mut self, epoch: Timestamp, report: Report) -> bool {
        let is_older = self.epochs.first_key_value().is_some_and(|(first, _)| epoch < *first);
        if is_older && self.epochs.len() >= EPOCHS_MAX {
            return !std::mem::replace(&mut self.has_older, true);
        }
        let ranges = self.epochs.entry(epoch).or_default();
        if !insert(ranges, report) {
            return false;
        }
        if ranges.len() > RANGES_MAX {
            self.forgotten_until = self.forgotten_until.max(join_lowest(ranges));
        }
        self.forget_oldest_epoch();
        true
    }

    /// What is missing, by time. Before the first report of all nothing is: the log may have begun later than the agent.
    pub fn holes(&self) -> Vec<Hole> {
        let mut holes = Vec::new();
        holes.extend(self.forgotten_until.map(|until| Hole {
            numbers: None,
            from: until,
            until,
            known_since: until,
        }));
        for (index, (epoch, ranges)) in self.epochs.iter().enumerate() {
            if index > 0 || self.has_older {
                holes.extend(hole_at_the_beginning(*epoch, ranges));
            }
            holes.extend(holes_between(ranges));
        }
        holes
    }

    fn forget_oldest_epoch(&mut self) {
        if self.epochs.len() <= EPOCHS_MAX {
            return;
        }
        let Some((epoch, ranges)) = self.epochs.pop_first() else { return };
        let beginning = self.has_older.then(|| hole_at_the_beginning(epoch, &ranges)).flatten();
        let last = holes_between(&ranges).into_iter().chain(beginning).map(|hole| hole.until).max();
        self.forgotten_until = self.forgotten_until.max(last);
        self.has_older = true;
    }
}

/// Adds a number to sorted ranges. Returns whether it is new.
fn insert(ranges: &mut Vec<Range>, report: Report) -> bool {
    let at = ranges.partition_point(|range| range.first.number <= report.number);
    let follows = at.checked_sub(1).filter(|before| is_next(ranges[*before].last.number, report.number));
    if at > 0 && follows.is_none() && report.number <= ranges[at - 1].last.number {
        return false;
    }
    let precedes = ranges.get(at).is_some_and(|range| is_next(report.number, range.first.number));
    match (follows, precedes) {
        (Some(before), true) => {
            ranges[before].last = ranges[at].last;
            ranges.remove(at);
        }
        (Some(before), false) => ranges[before].last = report,
        (None, true) => ranges[at].first = report,
        (None, false) => ranges.insert(at, Range { first: report, last: report }),
    }
    true
}

fn is_next(number: u64, after: u64) -> bool {
    number.checked_add(1) == Some(after)
}

/// Joins the two lowest ranges though something is missing between them. Returns until when.
fn join_lowest(ranges: &mut Vec<Range>) -> Option<Timestamp> {
    let joined = ranges.get(1)?.clone();
    ranges.remove(1);
    ranges.first_mut()?.last = joined.last;
    Some(joined.first.reported_at)
}

fn hole_at_the_beginning(epoch: Timestamp, ranges: &[Range]) -> Option<Hole> {
    let first = ranges.first()?.first;
    (first.number > 1).then(|| Hole {
        numbers: Some((1, first.number - 1)),
        from: epoch,
        until: first.reported_at,
        known_since: first.recorded,
    })
}

fn holes_between(ranges: &[Range]) -> Vec<Hole> {
    let between = |pair: &[Range]| {
        let [before, after] = pair else { return None };
        Some(Hole {
            numbers: Some((before.last.number.saturating_add(1), after.first.number.saturating_sub(1))),
            from: before.last.reported_at,
            until: after.first.reported_at,
            known_since: before.last.recorded.max(after.first.recorded),
        })
    };
    ranges.windows(2).filter_map(between).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn report(number: u64) -> Report {
        let time = at(i64::try_from(number).unwrap() * 30);
        Report { number, reported_at: time, recorded: time }
    }

    fn of(epoch: i64, numbers: &[u64]) -> Reports {
        let mut reports = Reports::default();
        add(&mut reports, epoch, numbers);
        reports
    }

    fn add(reports: &mut Reports, epoch: i64, numbers: &[u64]) {
        numbers.iter().for_each(|number| {
            reports.insert(at(epoch), report(*number));
        });
    }

    fn missing(reports: &Reports) -> Vec<Option<(u64, u64)>> {
        reports.holes().into_iter().map(|hole| hole.numbers).collect()
    }

    #[test]
    fn what_is_missing_between_two_reports_is_a_hole_in_any_order() {
        let orders: [&[u64]; 5] =
            [&[1, 2, 5, 6, 8], &[8, 6, 5, 2, 1], &[5, 1, 8, 2, 6], &[2, 8, 5, 1, 6, 2, 8], &[6, 1, 8, 5, 2]];
        for order in orders {
            assert_eq!(of(0, order), of(0, orders[0]), "{order:?}");
            assert_eq!(missing(&of(0, order)), [Some((3, 4)), Some((7, 7))], "{order:?}");
        }
        let holes = of(0, orders[0]).holes();
        assert_eq!((holes[0].from, holes[0].until), (at(60), at(150)));
    }

    #[test]
    fn a_hole_is_filled_from_either_end_and_in_the_middle() {
        let mut reports = of(0, &[1, 7]);
        for (number, left) in [
            (2, vec![Some((3, 6))]),
            (6, vec![Some((3, 5))]),
            (4, vec![Some((3, 3)), Some((5, 5))]),
            (3, vec![Some((5, 5))]),
            (5, vec![]),
        ] {
            assert!(reports.insert(at(0), report(number)));
            assert!(!reports.insert(at(0), report(number)), "it is known");
            assert_eq!(missing(&reports), left, "with {number}");
        }
        assert_eq!(reports, of(0, &[1, 2, 3, 4, 5, 6, 7]));
    }

    #[test]
    fn an_epoch_counts_anew_and_only_the_first_of_all_may_begin_in_the_middle() {
        let mut reports = of(0, &[40, 41]);
        assert_eq!(missing(&reports), []);
        add(&mut reports, 5000, &[1, 2]);
        assert_eq!(missing(&reports), []);
        add(&mut reports, 9000, &[3]);
        assert_eq!(missing(&reports), [Some((1, 2))]);
        // An epoch before all others shows that the log had begun.
        add(&mut reports, -5000, &[7]);
        assert_eq!(missing(&reports), [Some((1, 39)), Some((1, 2))]);
    }

    #[test]
    fn what_is_no_longer_remembered_by_numbers_is_still_missing() {
        let mut reports = Reports::default();
        let odd: Vec<u64> = (0..200).map(|number| number * 2 + 1).collect();
        add(&mut reports, 0, &odd);
        assert_eq!(reports.holes().len(), RANGES_MAX);
        assert_eq!(reports.holes()[0].numbers, None);

        let mut reports = of(0, &[1, 3]);
        for epoch in 1..=20 {
            add(&mut reports, epoch * 1000, &[1, 2, 3]);
        }
        assert_eq!(missing(&reports), [None]);
        assert_eq!(reports.holes()[0].until, at(90));
        assert_eq!(reports.epochs.len(), EPOCHS_MAX);
    }

    #[test]
    fn numbers_at_the_end_of_their_range_do_no_harm() {
        let report = |number| Report { number, reported_at: at(0), recorded: at(0) };
        let mut reports = Reports::default();
        for number in [u64::MAX, 0, u64::MAX - 1, 1, u64::MAX] {
            reports.insert(at(0), report(number));
        }
        assert_eq!(missing(&reports), [Some((2, u64::MAX - 2))]);
    }
}
