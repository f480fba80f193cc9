//! Trims what agents keep among the blobs. The correlator copies each blob when it takes the event that names it; after that
//! it is needed on the bus only where a dead letter names it.
//!
//! In: what the reader of events has settled, the dead letters, the clock. Out: agents' buckets with room. It removes by age,
//! and nothing that an event which is not settled yet, or a letter that may be given back, can still name. The bucket of
//! whoever manages is left alone: it holds letters only.

use std::collections::BTreeMap;
use std::time::Duration;

use bus_schema::{Envelope, Subject};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::apply::stream_info;
use super::blobs::PUT_REMEMBERED;
use super::fault::Fault;
use super::link::Link;
use super::message::stored;
use super::read::{last_message, next_message};
use super::roles::OF_BUCKETS;
use super::tend;
use crate::bus::{Bus, BusError, Stored, Stream};
use crate::dead_letters::{DeadLetter, DeadLetters, Kept, Listed, Writer};

const INTERVAL: Duration = Duration::from_secs(600);
/// How long before an event its blobs may have been put: what an agent has put it does not put again for a while, and a look
/// may take its time between a blob and the event.
pub(super) const PUT_BEFORE_MAX: Duration = Duration::from_secs(PUT_REMEMBERED.as_secs() * 2);
const LETTERS_READ_MAX: usize = 200;
/// Letters that hold blobs; with more nothing is trimmed.
const HELD_MAX: usize = 1 << 16;

/// What is known of the dead letters, so that each is read once.
#[derive(Debug, Default)]
pub(super) struct Letters {
    next: u64,
    /// By number: whose blobs a letter holds, and since when they may have been put.
    held: BTreeMap<u64, Held>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    agent: String,
    since: Timestamp,
}

pub(super) async fn run(link: Link, bus: std::sync::Arc<dyn Bus>, buckets: Vec<String>) {
    let mut letters = Letters::default();
    loop {
        tokio::select! {
            () = link.closed().cancelled() => return,
            () = sleep(INTERVAL) => {}
        }
        if let Err(error) = round(&link, &bus, &buckets, &mut letters, PUT_BEFORE_MAX).await {
            tracing::warn!(reason = crate::error_chain(&error), "failed to trim the blobs of agents");
        }
    }
}

/// One round over the buckets. What was put `put_before_max` before the first event that is not settled goes.
pub(super) async fn round(
    link: &Link,
    bus: &std::sync::Arc<dyn Bus>,
    buckets: &[String],
    letters: &mut Letters,
    put_before_max: Duration,
) -> Result<(), BusError> {
    let failed = |fault: Fault| fault.into_bus("trim the blobs of agents");
    let Some(events) = stream_info(link, Stream::Events.name()).await.map_err(failed)? else { return Ok(()) };
    let settled = tend::settled_through(link, Stream::Events, events.state.last_seq).await.map_err(failed)?;
    letters.read_on(&DeadLetters::new(bus.clone())).await?;
    for bucket in buckets {
        let Some(agent) = bucket.strip_prefix(OF_BUCKETS) else { continue };
        let Some(said) = said_before(link, agent, settled).await.map_err(failed)? else { continue };
        let since = letters.oldest_of(link, agent).await.map_err(failed)?;
        let needed = since.map_or(said, |since| since.min(said)).min(Timestamp::now());
        let before = needed.saturating_sub(put_before_max).unwrap_or(Timestamp::MIN);
        trim(link, &format!("OBJ_{bucket}"), before).await.map_err(failed)?;
    }
    Ok(())
}

/// Everything that an agent said before this time is settled; nothing where that is not known. By the time at which it was
/// said, not sent: what it says waits in its outbox, where its blobs do not.
async fn said_before(link: &Link, agent: &str, settled: u64) -> Result<Option<Timestamp>, Fault> {
    let (stream, subject) = (Stream::Events.name(), format!("custody.in.*.{agent}.>"));
    let unsettled = next_message(link, stream, settled + 1, &subject).await?;
    let message = match unsettled {
        Some(message) => Some(message),
        None => last_message(link, stream, &subject).await?,
    };
    Ok(message.map(stored).and_then(|message| said_at(&message)))
}

fn said_at(message: &Stored) -> Option<Timestamp> {
    let envelope = Envelope::from_json(&message.message.payload).ok()?;
    Some(envelope.seen.min(message.published_at))
}

impl Letters {
    /// Reads the letters that were written since.
    async fn read_on(&mut self, letters: &DeadLetters) -> Result<(), BusError> {
        loop {
            let listed = letters.list(self.next, LETTERS_READ_MAX).await?;
            let Some(last) = listed.last() else { return Ok(()) };
            self.next = last.sequence + 1;
            for Listed { sequence, letter } in listed {
                let Ok(letter) = letter else { continue };
                let payload = match (&letter.payload, &letter.undelivered) {
                    (Kept::Blob { .. }, Some(_)) => {
                        letters.show(sequence).await.ok().and_then(|(_, payload)| payload)
                    }
                    _ => None,
                };
                if let Some(held) = held_by(&letter, payload.as_deref()) {
                    self.held.insert(sequence, held);
                }
            }
        }
    }

    /// Since when blobs of an agent are held by letters that are still there.
    async fn oldest_of(&mut self, link: &Link, agent: &str) -> Result<Option<Timestamp>, Fault> {
        if self.held.len() > HELD_MAX {
            return Ok(Some(Timestamp::MIN));
        }
        loop {
            let of_agent = self.held.iter().filter(|(_, held)| held.agent == agent);
            let oldest = of_agent.min_by_key(|(_, held)| held.since);
            let Some((sequence, since)) = oldest.map(|(sequence, held)| (*sequence, held.since)) else {
                return Ok(None);
            };
            let found = next_message(link, Stream::DeadLetters.name(), sequence, ">").await?;
            if found.is_some_and(|message| message.sequence == sequence) {
                return Ok(Some(since));
            }
            self.held.remove(&sequence);
        }
    }
}

/// Whose blobs a letter holds. An agent's own letter may lie among its blobs; a letter about an event holds what the event
/// names, which its payload says where it is not in the letter itself.
fn held_by(letter: &DeadLetter, payload: Option<&[u8]>) -> Option<Held> {
    let written = letter.first_seen.min(letter.at);
    if let (Writer::Agent(agent), Kept::Blob { .. }) = (&letter.writer, &letter.payload) {
        return Some(Held { agent: agent.to_string(), since: written });
    }
    let undelivered = letter.undelivered.as_ref()?;
    let Ok(Subject::In { agent, .. }) = undelivered.subject.parse() else { return None };
    let bytes = match &letter.payload {
        Kept::Inline { base64 } => base64,
        Kept::Blob { .. } => payload?,
        Kept::Hash { .. } => return None,
    };
    // A version that this one cannot read may be given back to the next.
    let said = serde_json::from_slice::<Value>(bytes).ok();
    let said = said.and_then(|event| event.get("seentime")?.as_str()?.parse().ok());
    Some(Held { agent: agent.to_string(), since: said.map_or(written, |said: Timestamp| said.min(written)) })
}

async fn trim(link: &Link, stream: &str, before: Timestamp) -> Result<(), Fault> {
    let Some(info) = stream_info(link, stream).await? else { return Ok(()) };
    if info.state.messages == 0 {
        return Ok(());
    }
    let through = tend::older_than(link, stream, &info.state, info.state.last_seq, before).await?;
    if through < info.state.first_seq {
        return Ok(());
    }
    link.ask_until_answered::<Value>(&format!("STREAM.PURGE.{stream}"), &json!({ "seq": through + 1 }))
        .await?;
    tracing::debug!(stream, through, "trimmed blobs that nothing names any more");
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use bus_schema::Digest;
    use bytes::Bytes;

    use super::*;
    use crate::dead_letters::Undelivered;

    const EVENT: &str = "custody.in.registry.registry-1.0123456789abcdef.attestation.attached.v1";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn letter(writer: Writer, subject: Option<&str>, payload: Kept) -> DeadLetter {
        let undelivered = subject.map(|subject| Undelivered {
            subject: subject.to_owned(),
            id: String::new(),
            deliveries: 1,
        });
        DeadLetter {
            writer,
            source: "a test".to_owned(),
            reason: String::new(),
            undelivered,
            headers: BTreeMap::new(),
            payload,
            first_seen: at("2026-01-02T10:00:00Z"),
            at: at("2026-01-02T11:00:00Z"),
        }
    }

    fn inline(text: &str) -> Kept {
        Kept::Inline { base64: Bytes::copy_from_slice(text.as_bytes()) }
    }

    #[test]
    fn a_letter_holds_what_it_and_its_event_may_name() {
        let held = |agent: &str, since| Some(Held { agent: agent.to_owned(), since: at(since) });
        let agent = || Writer::Agent("ci-1".parse().unwrap());
        let blob = || Kept::Blob { digest: Digest::sha256_of(b"x"), bytes: 100_000 };
        let waited = r#"{"seentime":"2026-01-01T09:00:00Z","specversion":"9"}"#;
        let ask = Some("custody.ask.ci.0123456789abcdef");
        for (letter, payload, expected) in [
            (letter(agent(), None, blob()), None, held("ci-1", "2026-01-02T10:00:00Z")),
            (letter(agent(), ask, blob()), None, held("ci-1", "2026-01-02T10:00:00Z")),
            (letter(agent(), None, inline("{}")), None, None),
            (letter(Writer::Fleet, None, blob()), None, None),
            (letter(Writer::Fleet, ask, inline("{}")), None, None),
            (
                letter(Writer::Fleet, Some(EVENT), inline(waited)),
                None,
                held("registry-1", "2026-01-01T09:00:00Z"),
            ),
            (
                letter(Writer::Fleet, Some(EVENT), blob()),
                Some(waited),
                held("registry-1", "2026-01-01T09:00:00Z"),
            ),
            (
                letter(Writer::Fleet, Some(EVENT), inline("?")),
                None,
                held("registry-1", "2026-01-02T10:00:00Z"),
            ),
        ] {
            let found = held_by(&letter, payload.map(str::as_bytes));
            assert_eq!(found, expected, "{letter:?}");
        }
    }
}
