//! One namespace asks for digests that it made up: the work for each, what is asked of agents, and what one tick does stay bounded
//! however many there are.
//!
//! `CUSTODY_MADE_UP` chooses how many.

use bus_schema::Envelope;
use correlator_core::decision::{Decision, Outcome};
use correlator_core::input::{Entry, Input};
use correlator_core::ledger::Ledger;
use correlator_core::records::MemoryRecords;
use correlator_core::state::lane::OUT_MAX;
use jiff::{SignedDuration, Timestamp};
use scenarios::names::digest;
use scenarios::play::Play;
use scenarios::steps::{Script, Step, happening, start};

use crate::given;
use crate::said::say;

const MADE_UP: usize = 2000;
/// Records that one made-up digest may change: its place, its image, its question, its lane, its case.
const CHANGES_MAX: usize = 40;
/// Records that one tick may change, whatever is due.
const TICK_CHANGES_MAX: usize = 6_000;
/// The last tenth may cost this much of the first, in percent: numbers and times grow by digits.
const GROWTH_PERCENT_MAX: usize = 110;
/// Until after the contracts' `settle`.
const SETTLED: SignedDuration = SignedDuration::from_secs(120);

/// A ledger, and what it did last.
struct Flooded {
    ledger: Ledger,
    records: MemoryRecords,
    entries: u64,
    now: Timestamp,
    next_deadline: Option<Timestamp>,
    /// Questions that were asked.
    asked: usize,
}

/// What one entry cost.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    changes: usize,
    bytes: usize,
}

impl Flooded {
    fn new() -> Flooded {
        let script: Script = serde_saphyr::from_str("story: a flood\nsteps: []\n").unwrap();
        let records = MemoryRecords::default();
        let ledger = Ledger::open(&records).unwrap();
        let mut flooded =
            Flooded { ledger, records, entries: 0, now: start(), next_deadline: None, asked: 0 };
        for entry in Play::new(&script).entries {
            flooded.take(entry.input);
        }
        flooded
    }

    fn take(&mut self, input: Input) -> (Cost, Vec<Decision>) {
        self.entries += 1;
        let entry = Entry { position: self.entries, recorded: self.now, input };
        let Outcome { changes, decisions, next_deadline, .. } =
            self.ledger.apply(&self.records, &entry).unwrap();
        let bytes = changes.iter().map(|change| change.value.as_ref().map_or(0, Vec::len)).sum();
        let cost = Cost { changes: changes.len(), bytes };
        self.records.commit(changes);
        self.next_deadline = next_deadline;
        self.asked += decisions.iter().filter(|one| matches!(one, Decision::Ask { .. })).count();
        (cost, decisions)
    }
}

fn runs(namespace: &str, name: &str) -> Input {
    let container = format!("digest: {name}, namespace: {namespace}, name: {name}, pod: {name}");
    let step: Step = serde_saphyr::from_str(&format!("{{ at: 0, started: {{ {container} }} }}")).unwrap();
    let event: Box<Envelope> = happening(&step, 0).event.unwrap();
    Input::Event(event)
}

#[test]
fn what_a_made_up_digest_costs_does_not_grow_with_their_number() {
    let made_up = given("CUSTODY_MADE_UP", MADE_UP);
    let mut flooded = Flooded::new();
    let mut tenths = [Cost::default(); 10];
    for number in 0..made_up {
        let (cost, _) = flooded.take(runs("flooding", &format!("F{number}")));
        assert!(cost.changes <= CHANGES_MAX, "digest {number} changed {} records", cost.changes);
        let tenth = &mut tenths[number * 10 / made_up];
        tenth.changes += cost.changes;
        tenth.bytes += cost.bytes;
    }
    // Nobody answers: so many questions are out, and the rest waits.
    assert_eq!(flooded.asked, OUT_MAX);
    // Until its lane is full a digest is asked about at once.
    let (early, late) = (tenths[1], tenths[9]);
    assert!(late.changes * 100 <= early.changes * GROWTH_PERCENT_MAX, "{tenths:?}");
    assert!(late.bytes * 100 <= early.bytes * GROWTH_PERCENT_MAX, "{tenths:?}");
    let (_, decisions) = flooded.take(runs("payments", "D1"));
    let of_another = digest("D1").to_string();
    let asked = decisions.iter().any(|decision| match decision {
        Decision::Ask { request } => serde_json::to_string(request).unwrap().contains(&of_another),
        _ => false,
    });
    assert!(asked, "another namespace waits for the flood");
    let (ticks, changes) = settle(&mut flooded);
    let line = format!(
        "flood: {made_up} made-up digests, {OUT_MAX} questions out, {} bytes of records for each, {ticks} ticks of at most \
         {changes} changes",
        late.bytes / (made_up / 10)
    );
    say("scenarios", &line);
}

/// Lets every image settle; tells in how many ticks, and what the largest changed.
fn settle(flooded: &mut Flooded) -> (usize, usize) {
    flooded.now = flooded.now.checked_add(SETTLED).unwrap();
    let (mut ticks, mut largest) = (0, 0);
    while flooded.next_deadline.is_some_and(|due| due <= flooded.now) {
        let (cost, _) = flooded.take(Input::Tick);
        assert!(cost.changes <= TICK_CHANGES_MAX, "one tick changed {} records", cost.changes);
        (ticks, largest) = (ticks + 1, largest.max(cost.changes));
    }
    (ticks, largest)
}
