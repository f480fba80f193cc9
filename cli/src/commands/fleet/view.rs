//! `custody fleet`: every agent and how the bus stands, as the running correlator knows them.

use correlator_service::api::types::{AgentStatus, Fleet, StreamStatus};
use jiff::Timestamp;

use crate::client::Api;
use crate::data::DataFolder;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::output::paint::Paint;

/// A stream that is so full refuses soon, in percent.
const NEARLY_FULL_PERCENT: u64 = 90;

pub(crate) async fn run(data: &DataFolder, output: Output) -> anyhow::Result<Exit> {
    let Some(api) = Api::of_running(data).await? else {
        return Err(Failure::unreachable(format!(
            "no correlator runs on {}: start one with `custody correlator` or `custody up`, or name its folder with --data",
            data.path().display()
        )));
    };
    let fleet: Fleet = api.get("/fleet", &()).await?;
    output.either(&fleet, |paint| text(&fleet, paint))?;
    Ok(if is_well(&fleet) { Exit::Fine } else { Exit::Finding })
}

fn is_well(fleet: &Fleet) -> bool {
    let at = fleet.asked_at;
    fleet.bus_problem.is_none()
        && fleet.differences.is_empty()
        && fleet.agents.iter().all(|agent| !agent.is_silent(at) && agent.refused == 0)
        && !fleet.streams.iter().any(is_nearly_full)
}

fn is_nearly_full(stream: &StreamStatus) -> bool {
    stream.bytes_max > 0 && stream.bytes.saturating_mul(100) / stream.bytes_max >= NEARLY_FULL_PERCENT
}

fn text(fleet: &Fleet, paint: Paint) -> String {
    let mut text = String::new();
    if fleet.agents.is_empty() {
        text.push_str("no agent may speak: name them with [[agent]], or watch something in this process\n");
    } else {
        let mut table =
            table(["AGENT", "KIND", "VERSION", "REPORTED", "LAST EVENT", "LAG", "EVENTS", "BUDGET"]);
        for agent in &fleet.agents {
            table.add_row(row(agent, fleet.asked_at));
        }
        text.push_str(&(table.trim_fmt() + "\n"));
    }
    for agent in &fleet.agents {
        text.push_str(&details(agent, fleet.asked_at, paint));
    }
    text.push('\n');
    match &fleet.bus_problem {
        Some(problem) => text.push_str(&format!("the bus does not answer: {problem}\n")),
        None => text.push_str(&streams(&fleet.streams)),
    }
    for difference in &fleet.differences {
        text.push_str(&format!("differs  {difference}\n"));
    }
    text
}

fn table<const COLUMNS: usize>(head: [&str; COLUMNS]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(head);
    table
}

fn row(agent: &AgentStatus, at: Timestamp) -> [String; 8] {
    [
        agent.id.clone(),
        agent.kind.clone(),
        agent.version.clone().unwrap_or_default(),
        agent.reported_at.map_or_else(|| "never".to_owned(), |time| ago(time, at)),
        agent.last_event_at.map_or_else(|| "none".to_owned(), |time| ago(time, at)),
        agent.lag_seconds.map_or_else(String::new, |lag| format!("{lag} s")),
        agent.events_published.to_string(),
        agent.api_budget_left.map_or_else(String::new, |left| left.to_string()),
    ]
}

/// What an agent covers, and what is wrong with it.
fn details(agent: &AgentStatus, at: Timestamp, paint: Paint) -> String {
    let mut lines: Vec<String> = agent
        .coverage
        .iter()
        .map(|covered| format!("{} watches {} since {}", agent.id, covered.scope, covered.since))
        .collect();
    if agent.is_silent(at) {
        lines.push(paint.strong(&format!("{} is silent", agent.id)));
    }
    if agent.dead_lettered > 0 {
        lines.push(format!(
            "{} could not understand {} payloads: custody deadletter list",
            agent.id, agent.dead_lettered
        ));
    }
    if agent.refused > 0 {
        let why = agent.last_refusal.as_deref().unwrap_or_default();
        lines.push(paint.strong(&format!(
            "{} events in the name of {} were refused, the last: {why}",
            agent.refused, agent.id
        )));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn streams(streams: &[StreamStatus]) -> String {
    let mut table = table(["STREAM", "MESSAGES", "MIB", "OF", "CONSUMER", "WAITING", "UNSETTLED"]);
    for stream in streams {
        let mib = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
        let mut first =
            [stream.name.clone(), stream.messages.to_string(), mib(stream.bytes), mib(stream.bytes_max)];
        if stream.consumers.is_empty() {
            table.add_row(first.iter().cloned().chain([String::new(), String::new(), String::new()]));
        }
        for consumer in &stream.consumers {
            let rest = [consumer.name.clone(), consumer.waiting.to_string(), consumer.unsettled.to_string()];
            table.add_row(first.iter().cloned().chain(rest));
            first = Default::default();
        }
    }
    table.trim_fmt() + "\n"
}

fn ago(time: Timestamp, at: Timestamp) -> String {
    let seconds = at.duration_since(time).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        _ => format!("{} h ago", seconds / 3600),
    }
}
