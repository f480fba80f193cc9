//! Folding, over all combinations of link states.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bus_schema::verdict::{Link, LinkKind, LinkState, UnknownReason, VerdictState};
use jiff::Timestamp;

use super::fold;

const STATES: usize = 13;

fn state(number: usize) -> LinkState {
    let time = |second| Timestamp::from_second(second).unwrap();
    let unknown = |reason| LinkState::Unknown { reason, detail: String::new() };
    match number {
        0 => LinkState::NotRequired,
        1 => LinkState::Proven { witnesses: Vec::new(), copied_from: None },
        2 => LinkState::Waived { exception: "first".to_owned(), instead_of: "absent".to_owned() },
        3 => LinkState::Waived { exception: "second".to_owned(), instead_of: "broken".to_owned() },
        4 => LinkState::Pending { until: time(10), waiting_for: String::new() },
        5 => LinkState::Pending { until: time(20), waiting_for: String::new() },
        6 => LinkState::Claimed { why: String::new() },
        7 => LinkState::Absent { looked_at: Vec::new() },
        8 => LinkState::Broken { breaks: Vec::new() },
        9 => LinkState::Expired { since: time(0), what: String::new() },
        10 => LinkState::Revoked { since: time(0), what: String::new() },
        11 => unknown(UnknownReason::Uncovered),
        _ => unknown(UnknownReason::Other("new".to_owned())),
    }
}

fn fails(number: usize) -> bool {
    number >= 6
}

/// The specification once more, as a table over the numbers of the states.
fn expected(numbers: &[usize], kinds: &[LinkKind]) -> VerdictState {
    let failing: Vec<LinkKind> =
        numbers.iter().zip(kinds).filter(|(number, _)| fails(**number)).map(|(_, kind)| *kind).collect();
    let required = numbers.iter().any(|number| *number != 0);
    if !failing.is_empty() || !required {
        return VerdictState::Untrusted { failing };
    }
    if let Some(last) = numbers.iter().filter(|number| matches!(number, 4 | 5)).max() {
        let second = if *last == 5 { 20 } else { 10 };
        return VerdictState::Pending { until: Timestamp::from_second(second).unwrap() };
    }
    let names = [(2, "first"), (3, "second")];
    let exceptions: Vec<String> = names
        .into_iter()
        .filter(|(number, _)| numbers.contains(number))
        .map(|(_, name)| name.to_owned())
        .collect();
    match exceptions.is_empty() {
        true => VerdictState::Trusted,
        false => VerdictState::Waived { exceptions },
    }
}

#[test]
fn every_combination_of_four_links_folds_as_specified() {
    for number in 0..STATES.pow(4) {
        let numbers: Vec<usize> = (0..4).map(|place| number / STATES.pow(place) % STATES).collect();
        let kinds = &LinkKind::ALL[..4];
        let links: Vec<Link> = numbers
            .iter()
            .zip(kinds)
            .map(|(number, kind)| Link { kind: *kind, state: state(*number), carried_by: None })
            .collect();
        assert_eq!(fold(&links), expected(&numbers, kinds), "{links:?}");
    }
}

#[test]
fn one_link_that_fails_is_enough_among_seven_of_any_other_state() {
    for failing in LinkKind::ALL {
        for state_that_fails in 6..STATES {
            for other in 0..6 {
                let links: Vec<Link> = LinkKind::ALL
                    .into_iter()
                    .map(|kind| {
                        let number = if kind == failing { state_that_fails } else { other };
                        Link { kind, state: state(number), carried_by: None }
                    })
                    .collect();
                assert_eq!(fold(&links), VerdictState::Untrusted { failing: vec![failing] });
            }
        }
    }
}

#[test]
fn nothing_required_is_never_trust() {
    assert_eq!(fold(&[]), VerdictState::Untrusted { failing: Vec::new() });
}
