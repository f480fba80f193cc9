//! Work stays bounded: an index asks for itself and not for each of its manifests, a long branch is read whole, but once, an
//! event marks what it concerns, and what concerns very many images is judged in pages.

use std::cell::Cell;

use correlator_core::decision::Decision;
use correlator_core::input::Input;
use correlator_core::ledger::Ledger;
use correlator_core::records::{MemoryRecords, Records, RecordsError, Table};
use correlator_core::state::lane::OUT_MAX;
use scenarios::play::Play;
use scenarios::steps::Script;

/// Platforms of the large index. A registry agent lists up to a thousand; cost grows with the number, not with its square.
const PLATFORMS: usize = 250;
/// Pushes of the long branch.
const PUSHES: usize = 150;

fn play(steps: &str) -> Play {
    let text = format!("story: a large one\nwatchedSince: -86400\nsteps:\n{steps}");
    let mut script: Script = serde_saphyr::from_str(&text).unwrap();
    script.expand();
    Play::script(&script)
}

fn asked(play: &Play) -> usize {
    play.decisions.iter().flatten().filter(|decision| matches!(decision, Decision::Ask { .. })).count()
}

#[test]
fn a_large_index_is_asked_about_once_and_proves_everything_below_it() {
    let platforms: Vec<String> = (0..PLATFORMS).map(|number| format!("M{number}")).collect();
    let play = play(&format!(
        "  - {{ at: 0, release: {{ digest: D1, commit: C1, before: C0, run: 1, tag: v1 }} }}\n  \
           - {{ at: 10, resolved: {{ digest: D1, platforms: [{}] }} }}\n  \
           - {{ at: 60, started: {{ digest: M7 }} }}\n",
        platforms.join(", ")
    ));
    assert_eq!(play.trusted().len(), PLATFORMS + 1);
    assert!(asked(&play) <= 5, "{} questions for one index", asked(&play));
    assert!(play.cases().is_empty());
}

/// What one namespace makes up.
const MADE_UP: usize = 300;

fn flood(more: &str, wait: u64) -> Script {
    let started = |number| {
        let container = format!("digest: F{number}, namespace: flooding, name: f{number}, pod: f{number}");
        format!("  - {{ at: 1, started: {{ {container} }} }}\n")
    };
    let steps: String = (0..MADE_UP).map(started).collect();
    let text = format!("story: a flood\nwatchedSince: -86400\nwait: {wait}\nsteps:\n{more}{steps}");
    let mut script: Script = serde_saphyr::from_str(&text).unwrap();
    script.expand();
    script
}

#[test]
fn made_up_digests_of_one_namespace_starve_nobody_and_are_not_forgotten() {
    // Nobody answers at first, so that nothing is free by itself; another namespace runs an image that nobody saw pushed.
    let mut script = flood(
        "  - { at: 0, answers: { registry: silence, ci: silence, source: silence } }\n  \
           - { at: 5, started: { digest: D1, namespace: payments } }\n",
        5,
    );
    let mut play = Play::script(&script);
    let asked_of = |play: &Play, digest: &str| {
        let wanted = scenarios::names::digest(digest).to_string();
        let asks = play.decisions.iter().flatten().filter_map(|decision| match decision {
            Decision::Ask { request } => Some(serde_json::to_string(request).unwrap()),
            _ => None,
        });
        asks.filter(|request| request.contains(&wanted)).count()
    };
    assert!(asked_of(&play, "D1") > 0, "the other namespace is starved");
    assert_eq!(asked(&play) - asked_of(&play, "D1"), OUT_MAX, "the flood's questions that are out");
    // Whatever waits is not trusted, and is asked about in its turn: when nobody answers, when nobody waits any more.
    assert!(play.trusted().is_empty());
    script.wait = 4 * 3600;
    play.rest(&script);
    let unasked = (0..MADE_UP).filter(|number| asked_of(&play, &format!("F{number}")) == 0).count();
    assert_eq!(unasked, 0, "digests that were never asked about");
    assert!(play.trusted().is_empty());
}

#[test]
fn a_place_is_free_again_with_an_answer() {
    let script = flood("", 60);
    let play = Play::script(&script);
    assert!(asked(&play) >= MADE_UP, "{} questions", asked(&play));
}

/// Reviewed changes that were merged and pushed one after the other, ten seconds apart.
fn merged_changes(numbers: std::ops::Range<usize>) -> String {
    let change = |number: usize| {
        let (before, at) = (number - 1, number * 10);
        format!(
            "  - {{ at: {at}, review: {{ number: {number}, id: {number}, by: bob, head: H{number} }} }}\n  \
               - {{ at: {at}, merge: {{ number: {number}, commit: C{number}, head: H{number}, author: alice }} }}\n  \
               - {{ at: {at}, commits: {{ before: C{before}, ids: [C{number}] }} }}\n"
        )
    };
    numbers.map(change).collect()
}

fn release(at: usize, number: usize) -> String {
    let before = number - 1;
    format!(
        "  - {{ at: {at}, release: {{ digest: D{number}, commit: C{number}, before: C{before}, run: {number}, tag: v{number} }} }}\n"
    )
}

#[test]
fn an_unreviewed_push_deep_below_a_release_is_not_laundered() {
    let mut steps = String::from("  - { at: 1, commits: { before: C0, ids: [C1], pusher: admin } }\n");
    steps += &merged_changes(2..PUSHES);
    steps += &release(5000, PUSHES);
    let play = play(&steps);
    assert!(play.trusted().is_empty());
    let rules: Vec<String> = play.cases().into_iter().map(|record| record.case.rule).collect();
    assert_eq!(rules, ["unreviewed-commit-released"]);
}

/// Records that count the rows which are read.
struct Counted<'a> {
    records: &'a MemoryRecords,
    rows: &'a Cell<usize>,
}

impl Records for Counted<'_> {
    fn get(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, RecordsError> {
        self.rows.set(self.rows.get() + 1);
        self.records.get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        prefix: &str,
        from: &str,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, RecordsError> {
        let found = self.records.scan(table, prefix, from, limit)?;
        self.rows.set(self.rows.get() + 1 + found.len());
        Ok(found)
    }
}

/// The rows that the inputs from a time on read, in seconds after the start.
fn rows_since(played: &Play, second: i64) -> usize {
    let since = scenarios::steps::start() + jiff::SignedDuration::from_secs(second);
    let (mut records, rows) = (MemoryRecords::default(), Cell::new(0));
    let mut ledger = Ledger::open(&records).unwrap();
    for entry in &played.entries {
        // A tick forgets events, so many at once.
        let (before, counts) = (rows.get(), entry.recorded >= since && !matches!(entry.input, Input::Tick));
        let outcome = ledger.apply(&Counted { records: &records, rows: &rows }, entry).unwrap();
        records.commit(outcome.changes);
        if !counts {
            rows.set(before);
        }
    }
    rows.get()
}

/// The rows that a second release from a branch reads, so many pushes after the branch was seen first.
fn rows_of_second_release(pushes: usize) -> usize {
    let first = pushes * 10 + 1000;
    let steps = merged_changes(1..pushes) + &release(first, pushes) + &release(first + 1000, pushes + 1);
    let played = play(&steps);
    assert_eq!(played.trusted().len(), 2);
    rows_since(&played, first as i64 + 900)
}

#[test]
fn a_release_from_a_long_branch_reads_what_is_new_on_it() {
    let (short, long) = (rows_of_second_release(20), rows_of_second_release(8 * PUSHES));
    eprintln!("scenarios: a release from a branch of 20 pushes reads {short} rows, of {} {long}", 8 * PUSHES);
    assert!(long <= short + short / 10, "{short} rows from a short branch, {long} from a long one");
}

/// The rows that a run reads a day after so many images were pushed without provenance.
fn rows_of_a_run(images: usize) -> usize {
    let push = |number| {
        format!("  - {{ at: {number}, push: {{ digest: U{number}, tag: v{number}, actor: ci-bot }} }}\n")
    };
    let steps: String = (0..images).map(push).collect();
    let day = 24 * 3600;
    let run = format!("  - {{ at: {}, run: {{ id: 1, commit: C1, conclusion: success }} }}\n", 2 * day);
    let played = play(&(steps + &run));
    assert!(played.trusted().is_empty());
    rows_since(&played, 2 * day - 100)
}

#[test]
fn a_run_concerns_no_image_that_was_pushed_long_before_it() {
    let (few, many) = (rows_of_a_run(3), rows_of_a_run(40));
    assert!(few > 0 && many == few, "{few} rows beside a few images, {many} beside many");
}

/// The rows that a container's start reads, of an image that nobody claims beside so many others.
fn rows_of_a_stranger(strangers: usize) -> usize {
    let start = |number| {
        let image =
            format!("image: docker.io/library/x{number}, namespace: lab, name: n{number}, pod: p{number}");
        format!("  - {{ at: {number}, started: {{ digest: U{number}, {image} }} }}\n")
    };
    let played = play(&(0..=strangers).map(start).collect::<String>());
    rows_since(&played, strangers as i64)
}

#[test]
fn images_that_nobody_claims_are_not_judged_again_with_each_other() {
    let (few, many) = (rows_of_a_stranger(10), rows_of_a_stranger(60));
    eprintln!("scenarios: a start reads {few} rows beside 10 others, {many} beside 60");
    // Whether anything that is claimed runs beside it, each of the others tells.
    assert!(many - few <= 4 * 50, "{few} rows beside 10 others, {many} beside 60");
}

/// More than one input judges.
const BUILT_FROM_ONE_COMMIT: usize = 520;

#[test]
fn a_push_that_concerns_very_many_images_is_judged_in_pages() {
    let platforms: Vec<String> = (0..BUILT_FROM_ONE_COMMIT).map(|number| format!("M{number}")).collect();
    let mut play = play(&format!(
        "  - {{ at: 0, release: {{ digest: D1, commit: C1, before: C0, run: 1, tag: v1 }} }}\n  \
           - {{ at: 10, resolved: {{ digest: D1, platforms: [{}] }} }}\n",
        platforms.join(", ")
    ));
    assert_eq!(play.trusted().len(), BUILT_FROM_ONE_COMMIT + 1);
    let before = play.decisions.len();
    let text = "story: a forced push\nsteps:\n  - { at: 10000, commits: { before: C1, ids: [C2], forced: true, parent: C0 } }\n";
    let script: Script = serde_saphyr::from_str(text).unwrap();
    play.step(&script.steps[0], 1_000_000);
    play.rest(&script);
    let published = |decision: &&Decision| matches!(decision, Decision::PublishVerdict { .. });
    let judged = |decisions: &Vec<Decision>| decisions.iter().filter(published).count();
    let pages: Vec<usize> =
        play.decisions[before..].iter().map(judged).filter(|judged| *judged > 0).collect();
    assert!(play.trusted().is_empty());
    assert!(pages.len() > 1 && pages.iter().all(|page| *page <= 500), "{pages:?}");
}
