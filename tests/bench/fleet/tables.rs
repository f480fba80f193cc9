//! The figures for people, on standard error, and as JSON.

use serde::Serialize;
use serde_json::{Value, json};

use crate::branch::Releases;
use crate::cluster::ClusterAgent;
use crate::flood::Flood;
use crate::history::{History, JudgedAgain, Starts};
use crate::latency::Latency;
use crate::place::Memory;
use crate::rates::Rate;

pub(crate) fn rates_begin() {
    eprintln!(
        "{:<20} {:<18} {:>7} {:>7} {:>9} {:>9} {:>9} {:>6}",
        "bus", "evidence", "events", "bytes", "raw/s", "judged/s", "told/s", "ratio"
    );
}

pub(crate) fn rate(row: &Rate) {
    eprintln!(
        "{:<20} {:<18} {:>7} {:>7} {:>9.0} {:>9.0} {:>9.0} {:>6.2}",
        row.bus, row.evidence, row.events, row.bytes_per_event, row.raw, row.judged, row.told, row.ratio
    );
}

pub(crate) fn latencies(rows: Vec<Latency>) -> Value {
    eprintln!("{:>9} {:>7} {:>8} {:>8} {:>8}", "events/s", "alerts", "p50 ms", "p99 ms", "max ms");
    for row in &rows {
        eprintln!(
            "{:>9} {:>7} {:>8.1} {:>8.1} {:>8.1}",
            row.events_per_second, row.alerts, row.p50_ms, row.p99_ms, row.max_ms
        );
    }
    as_json(&rows)
}

pub(crate) fn history((rows, again, starts): (Vec<History>, JudgedAgain, Starts)) -> Value {
    eprintln!(
        "{:>9} {:>8} {:>10} {:>10} {:>9} {:>9} {:>6}",
        "events", "digests", "memory MB", "at most", "judged/s", "beside/s", "cost"
    );
    for row in &rows {
        eprintln!(
            "{:>9} {:>8} {:>10.1} {:>10.1} {:>9.0} {:>9.0} {:>6.2}",
            row.events, row.digests, row.memory.now, row.memory.most, row.judged, row.judged_beside, row.cost
        );
    }
    eprintln!(
        "changed contracts at {} digests: all judged again in {:.1} s; an event meanwhile {:.0} ms, at most {:.0} ms; {:.1} MB, \
         at most {:.1} MB",
        again.digests,
        again.seconds,
        again.event_p50_ms,
        again.event_max_ms,
        again.memory.now,
        again.memory.most
    );
    eprintln!(
        "start at {} digests, {} entries: {:.2} s with the index ({:.1} MB), {:.1} s rebuilding it",
        starts.digests, starts.entries, starts.with_index, starts.memory.now, starts.rebuilding
    );
    json!({ "rows": rows, "judgedAgain": again, "starts": starts })
}

pub(crate) fn releases(rows: Vec<Releases>) -> Value {
    eprintln!("{:>9} {:>10} {:>9} {:>6}", "pushes", "first ms", "judged/s", "cost");
    for row in &rows {
        eprintln!("{:>9} {:>10.1} {:>9.0} {:>6.2}", row.pushes, row.first_ms, row.judged, row.cost);
    }
    as_json(&rows)
}

pub(crate) fn flood(flood: Flood) -> Value {
    eprintln!(
        "{} made-up digests of one namespace: {:.0} a second at first, {:.0} at last; {} questions, {} changes of cases, {} \
         alerts; all decided {:.0} s after the last window; {:.1} MB, at most {:.1} MB; log {:.0} MB, index {:.0} MB",
        flood.made_up,
        flood.first_per_second,
        flood.last_per_second,
        flood.asked,
        flood.cases,
        flood.alerts,
        flood.settled_s,
        flood.memory.now,
        flood.memory.most,
        flood.log_mb,
        flood.index_mb
    );
    eprintln!(
        "{} images of others judged meanwhile; each alone {:.0} ms before, {:.0} ms after",
        flood.others, flood.other_before_ms, flood.other_after_ms
    );
    as_json(&flood)
}

pub(crate) fn cluster(rows: Vec<ClusterAgent>) -> Value {
    for row in &rows {
        eprintln!(
            "cluster agent, {} pods: {:.1} MB, at most {:.1} MB; the program is {:.1} MB of it",
            row.pods, row.memory.now, row.memory.most, row.memory.program
        );
    }
    as_json(&rows)
}

pub(crate) fn idle(memory: Memory) -> Value {
    eprintln!("custody up, idle: {:.1} MB, at most {:.1} MB", memory.now, memory.most);
    as_json(&memory)
}

pub(crate) fn as_json(figures: &impl Serialize) -> Value {
    serde_json::to_value(figures).unwrap_or_default()
}
