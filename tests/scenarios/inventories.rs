//! What an inventory does not list has stopped; but clocks differ, and what a later one lists runs.

use correlator_core::records::{Records, Table};
use correlator_core::state::placement::{self, PlacementRecord};
use scenarios::play::Play;
use scenarios::steps::Script;

/// Whether the one placement of the play runs.
fn runs(steps: &str) -> bool {
    let text = format!("story: a list\nwatchedSince: -86400\nwait: 1\nsteps:\n{steps}");
    let mut script: Script = serde_saphyr::from_str(&text).unwrap();
    script.expand();
    let play = Play::script(&script);
    let rows = play.records.scan(Table::Placements, &placement::all_prefix(), "", 10).unwrap();
    let [(_, bytes)] = &rows[..] else { panic!("{} placements", rows.len()) };
    serde_json::from_slice::<PlacementRecord>(bytes).unwrap().is_running()
}

const STARTED: &str = "  - { at: 1000, started: { digest: D1, began: 999 } }\n";
const LISTED: &str = "inventory: { containers: [{ digest: D1, began: 999 }] }";
const EMPTY: &str = "inventory: { containers: [] }";

#[test]
fn a_container_that_started_while_the_list_was_made_runs() {
    assert!(runs(&format!("  - {{ at: 1000, {EMPTY} }}\n{STARTED}")));
    assert!(runs(&format!("{STARTED}  - {{ at: 1000, {EMPTY} }}\n")));
    // The node's clock is a few minutes behind the agent's.
    assert!(runs(&format!(
        "  - {{ at: 1200, {EMPTY} }}\n  - {{ at: 1200, started: {{ digest: D1, began: 999 }} }}\n"
    )));
}

#[test]
fn what_a_list_lacks_has_stopped_until_a_later_one_has_it() {
    let gone = format!("{STARTED}  - {{ at: 2000, {EMPTY} }}\n");
    assert!(!runs(&gone));
    assert!(runs(&format!("{gone}  - {{ at: 2300, {LISTED} }}\n")));
    assert!(!runs(&format!("{gone}  - {{ at: 2300, {LISTED} }}\n  - {{ at: 4000, {EMPTY} }}\n")));
}

#[test]
fn an_end_that_was_told_is_not_taken_back_by_a_list() {
    let stopped = "  - { at: 1100, stopped: { digest: D1, began: 999 } }\n";
    assert!(!runs(&format!("{STARTED}{stopped}  - {{ at: 1101, {LISTED} }}\n")));
    let gone = format!("{STARTED}  - {{ at: 2000, {EMPTY} }}\n");
    assert!(!runs(&format!("{gone}{}  - {{ at: 2300, {LISTED} }}\n", stopped.replace("1100", "2100"))));
}
