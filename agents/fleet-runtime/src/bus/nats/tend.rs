//! Keeps the streams in order: makes those anew that somebody deleted, and their consumers, and trims what
//! everybody has settled.
//!
//! In: the declarations and the clock. Out: streams with room, and who stands in the way where there is none. It never
//! removes a message that a durable consumer still owes an answer to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::apply::{State, apply, stream_info};
use super::consumer::{Known, KnownConsumers, create};
use super::declared::{Declaration, NatsLimits, consumer, settled_age_max};
use super::fault::Fault;
use super::link::Link;
use super::message::stored;
use super::read::next_message;
use crate::bus::Stream;

const INTERVAL: Duration = Duration::from_secs(60);
/// Asked for room, the least time between two rounds.
const HURRIED_INTERVAL: Duration = Duration::from_secs(1);
/// Streams and buckets that are looked after; further buckets are made and left alone.
const LOOKED_AFTER_MAX: usize = 64;
/// Consumers of one stream that are looked at; a stream with more is not trimmed.
const CONSUMERS_MAX: usize = 4096;
/// At this share of its bytes a stream is trimmed below age, down to the lower share.
const TRIM_ABOVE_PERCENT: u64 = 80;
const TRIM_TO_PERCENT: u64 = 50;

/// What is looked after, who stands in the way of trimming, and the wish for a round soon.
#[derive(Debug, Default)]
pub(super) struct Order {
    hurry: Notify,
    declared: Mutex<BTreeMap<String, Declaration>>,
    held_by: Mutex<BTreeMap<Stream, String>>,
}

impl Order {
    /// Looks after these too, from the next round on.
    pub(super) fn look_after(&self, declarations: impl IntoIterator<Item = Declaration>) {
        let mut declared = self.declared.lock().unwrap_or_else(PoisonError::into_inner);
        for declaration in declarations {
            if declared.len() < LOOKED_AFTER_MAX {
                declared.insert(declaration.name.clone(), declaration);
            }
        }
    }

    pub(super) fn looks_after(&self, name: &str) -> bool {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }

    fn declared(&self) -> Vec<Declaration> {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(super) fn hurry(&self) {
        self.hurry.notify_one();
    }

    pub(super) fn held_by(&self, stream: Stream) -> Option<String> {
        self.held_by.lock().unwrap_or_else(PoisonError::into_inner).get(&stream).cloned()
    }

    fn set_held_by(&self, stream: Stream, consumer: Option<String>) {
        let mut held_by = self.held_by.lock().unwrap_or_else(PoisonError::into_inner);
        match consumer {
            Some(consumer) => drop(held_by.insert(stream, consumer)),
            None => drop(held_by.remove(&stream)),
        }
    }
}

pub(super) async fn run(link: Link, order: Arc<Order>, known: KnownConsumers, limits: NatsLimits) {
    loop {
        tokio::select! {
            () = link.closed().cancelled() => return,
            () = sleep(INTERVAL) => {}
            () = order.hurry.notified() => {}
        }
        for declaration in order.declared() {
            if let Err(fault) = restore(&link, &declaration).await {
                tracing::warn!(stream = declaration.name, reason = %fault, "failed to look after a stream");
            }
        }
        for stream in Stream::ALL {
            if let Err(fault) = look_after(&link, &order, &known, stream, &limits).await {
                tracing::warn!(stream = %stream, reason = %fault, "failed to look after a stream");
            }
        }
        tokio::select! {
            () = link.closed().cancelled() => return,
            () = sleep(HURRIED_INTERVAL) => {}
        }
    }
}

/// Makes a stream anew that is gone. Other differences are reported and mended at the next start.
async fn restore(link: &Link, declaration: &Declaration) -> Result<(), Fault> {
    if stream_info(link, &declaration.name).await?.is_none() {
        tracing::error!(stream = declaration.name, "somebody deleted a stream; making it anew");
        apply(link, declaration).await?;
    }
    Ok(())
}

/// Makes the consumers of a stream anew that are gone, or trims it where none is.
async fn look_after(
    link: &Link,
    order: &Order,
    known: &KnownConsumers,
    stream: Stream,
    limits: &NatsLimits,
) -> Result<(), Fault> {
    // Both before its consumers are listed: one that is opened in between is not gone, and what is published in
    // between is settled by none.
    let wanted = known_of(known, stream);
    let Some(info) = stream_info(link, stream.name()).await? else { return Ok(()) };
    let consumers = consumers(link, stream.name()).await?;
    // To a consumer that was gone, nothing seems to be owed: the next round trims.
    if restore_consumers(link, stream, wanted, &consumers).await? {
        return Ok(());
    }
    trim(link, order, stream, limits, &info.state, &consumers).await
}

fn known_of(known: &KnownConsumers, stream: Stream) -> Vec<Arc<Known>> {
    let known = known.lock().unwrap_or_else(PoisonError::into_inner);
    known.iter().filter(|((of, _), _)| *of == stream).map(|(_, known)| Arc::clone(known)).collect()
}

/// Makes the consumers anew that are gone, an agent's too: it may not make its own. True where any was.
async fn restore_consumers(
    link: &Link,
    stream: Stream,
    wanted: Vec<Arc<Known>>,
    there: &[ConsumerInfo],
) -> Result<bool, Fault> {
    let mut is_any_restored = false;
    for wanted in wanted {
        let config = wanted.config();
        if wanted.is_removed() || there.iter().any(|one| one.name == config.name) {
            continue;
        }
        create(link, stream.name(), &consumer(&config)).await?;
        is_any_restored = true;
        tracing::error!(consumer = config.name, stream = %stream,
            "made a consumer anew that somebody had deleted; what is kept comes again");
    }
    Ok(is_any_restored)
}

/// What the consumers of a stream have settled.
#[derive(Debug, PartialEq, Eq)]
struct Settled {
    /// The last sequence that all of them have settled.
    through: u64,
    slowest: Option<String>,
}

/// The last sequence that every consumer of a stream has settled.
pub(super) async fn settled_through(link: &Link, stream: Stream, last: u64) -> Result<u64, Fault> {
    let consumers = consumers(link, stream.name()).await?;
    Ok(settled(&consumers, last, stream.waits_for_consumer()).through)
}

async fn trim(
    link: &Link,
    order: &Order,
    stream: Stream,
    limits: &NatsLimits,
    state: &State,
    consumers: &[ConsumerInfo],
) -> Result<(), Fault> {
    let Some(age_max) = settled_age_max(stream) else { return Ok(()) };
    if state.messages == 0 {
        order.set_held_by(stream, None);
        return Ok(());
    }
    let settled = settled(consumers, state.last_seq, stream.waits_for_consumer());
    order.set_held_by(stream, settled.slowest.clone());
    let for_room = through_for_room(state, limits.of(stream));
    let through = match for_room {
        Some(sequence) => sequence.min(settled.through),
        None => {
            let before = Timestamp::now().saturating_sub(age_max).unwrap_or(Timestamp::MIN);
            older_than(link, stream.name(), state, settled.through, before).await?
        }
    };
    if through < state.first_seq {
        return Ok(());
    }
    let purge = json!({ "seq": through + 1 });
    link.ask_until_answered::<Value>(&format!("STREAM.PURGE.{stream}"), &purge).await?;
    tracing::debug!(stream = %stream, through, "trimmed what everybody has settled");
    Ok(())
}

fn settled(consumers: &[ConsumerInfo], last: u64, waits_for_consumer: bool) -> Settled {
    let slowest = consumers.iter().map(|one| (one.settled_through(last), &one.name)).min();
    match slowest {
        Some((through, name)) => {
            let slowest = (through < last).then(|| format!("consumer {name}"));
            Settled { through, slowest }
        }
        None if waits_for_consumer => Settled { through: 0, slowest: Some("nobody reads it".to_owned()) },
        None => Settled { through: last, slowest: None },
    }
}

/// Through which sequence to trim a stream that is nearly full.
fn through_for_room(state: &State, bytes_max: u64) -> Option<u64> {
    if state.bytes.saturating_mul(100) < bytes_max.saturating_mul(TRIM_ABOVE_PERCENT) {
        return None;
    }
    let surplus = state.bytes.saturating_sub(bytes_max.saturating_mul(TRIM_TO_PERCENT) / 100);
    let sequences = u128::from(state.last_seq.saturating_sub(state.first_seq) + 1);
    let share = sequences * u128::from(surplus) / u128::from(state.bytes.max(1));
    Some(state.first_seq.saturating_add(u64::try_from(share).unwrap_or(u64::MAX)))
}

/// The last sequence not above `through` that was published before a time; found by halving.
pub(super) async fn older_than(
    link: &Link,
    stream: &str,
    state: &State,
    through: u64,
    before: Timestamp,
) -> Result<u64, Fault> {
    // All before `low` is old; `high` and all behind it is not, or not to be trimmed.
    let (mut low, mut high) = (state.first_seq, through.saturating_add(1));
    while low < high {
        let middle = low + (high - low) / 2;
        let message = next_message(link, stream, middle, ">").await?.map(stored);
        match message {
            Some(message) if message.published_at < before => low = message.sequence.max(middle) + 1,
            _ => high = middle,
        }
    }
    Ok(low.saturating_sub(1).min(through))
}

#[derive(Debug, Deserialize)]
struct ConsumerInfo {
    name: String,
    ack_floor: Floor,
    #[serde(default)]
    num_pending: u64,
    #[serde(default)]
    num_ack_pending: u64,
}

#[derive(Debug, Deserialize)]
struct Floor {
    stream_seq: u64,
}

impl ConsumerInfo {
    /// All through this sequence needs no answer of this consumer any more.
    fn settled_through(&self, last: u64) -> u64 {
        // A consumer of few subjects counts only those; with nothing left it has passed the rest.
        if self.num_pending == 0 && self.num_ack_pending == 0 { last } else { self.ack_floor.stream_seq }
    }
}

#[derive(Deserialize)]
struct ConsumerPage {
    #[serde(default)]
    total: usize,
    #[serde(default)]
    consumers: Vec<ConsumerInfo>,
    /// Consumers whose leader did not answer the servers; `total` counts them.
    #[serde(default)]
    missing: Option<Vec<String>>,
    /// Consumers that the servers cannot run, with the reason.
    #[serde(default)]
    offline: Option<BTreeMap<String, String>>,
}

/// The consumers of a stream, page by page; each once, should the pages shift meanwhile.
#[derive(Default)]
struct Listed {
    by_name: BTreeMap<String, ConsumerInfo>,
}

impl Listed {
    /// Takes a page; tells whether all are there. A consumer that is not seen might be owed anything.
    fn take(&mut self, page: ConsumerPage) -> Result<bool, Fault> {
        let unseen = page
            .missing
            .into_iter()
            .flatten()
            .chain(page.offline.into_iter().flatten().map(|(name, _)| name));
        let unseen: Vec<String> = unseen.collect();
        if !unseen.is_empty() {
            return Err(Fault::silent(format!("consumers do not say how they stand: {}", unseen.join(", "))));
        }
        let before = self.by_name.len();
        self.by_name.extend(page.consumers.into_iter().map(|consumer| (consumer.name.clone(), consumer)));
        if self.by_name.len() >= page.total {
            return Ok(true);
        }
        if self.by_name.len() == before || self.by_name.len() > CONSUMERS_MAX {
            return Err(Fault::silent("the list of consumers is not complete"));
        }
        Ok(false)
    }
}

async fn consumers(link: &Link, stream: &str) -> Result<Vec<ConsumerInfo>, Fault> {
    let mut listed = Listed::default();
    loop {
        let subject = format!("CONSUMER.LIST.{stream}");
        let offset = listed.by_name.len();
        let page: ConsumerPage = link.ask_until_answered(&subject, &json!({ "offset": offset })).await?;
        if listed.take(page)? {
            return Ok(listed.by_name.into_values().collect());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn standing_of(name: &str, floor: u64, num_pending: u64, num_ack_pending: u64) -> ConsumerInfo {
        let ack_floor = Floor { stream_seq: floor };
        ConsumerInfo { name: name.to_owned(), ack_floor, num_pending, num_ack_pending }
    }

    #[test]
    fn the_slowest_consumer_decides() {
        let all =
            [standing_of("quick", 90, 0, 0), standing_of("slow", 10, 5, 0), standing_of("busy", 40, 0, 3)];
        let found = settled(&all, 100, true);
        assert_eq!(found, Settled { through: 10, slowest: Some("consumer slow".to_owned()) });
        assert_eq!(settled(&all[..1], 100, true), Settled { through: 100, slowest: None });
    }

    #[test]
    fn a_consumer_that_is_not_seen_or_seen_twice_is_not_counted_as_settled() {
        let page = |total: usize, names: &[&str], more: Value| {
            let consumers: Vec<Value> =
                names.iter().map(|name| json!({ "name": name, "ack_floor": { "stream_seq": 1 } })).collect();
            let mut page = json!({ "total": total, "consumers": consumers });
            page.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value::<ConsumerPage>(page).unwrap()
        };
        let mut listed = Listed::default();
        assert!(!listed.take(page(3, &["a", "b"], json!({ "missing": null }))).unwrap());
        // The pages have shifted: one comes again, and one was never seen.
        assert!(listed.take(page(3, &["b"], json!({}))).is_err());
        assert!(listed.take(page(3, &["b", "c"], json!({}))).unwrap());
        for unseen in [json!({ "missing": ["c"] }), json!({ "offline": { "c": "unsupported" } })] {
            let refused = Listed::default().take(page(3, &["a", "b", "b"], unseen)).unwrap_err();
            assert!(refused.to_string().ends_with(": c"), "{refused}");
        }
    }

    #[test]
    fn work_waits_for_its_first_consumer_and_conclusions_do_not() {
        assert_eq!(settled(&[], 100, true).through, 0);
        assert_eq!(settled(&[], 100, false).through, 100);
    }

    #[test]
    fn a_nearly_full_stream_is_trimmed_to_half() {
        let state = State { messages: 100, bytes: 900, first_seq: 101, last_seq: 200 };
        assert_eq!(through_for_room(&state, 2000), None);
        assert_eq!(through_for_room(&state, 1000), Some(101 + 44));
    }
}
