//! What could not be understood, or did not succeed often enough: kept with its reason until a person decides.
//!
//! In: a payload with where it came from and why it was put aside. Out: lists and single letters for people, and the
//! message again on replay. Nothing is ever dropped here silently; a store that is full refuses, and then the work
//! itself (or the sender of a webhook) keeps what it has, or, where the owner gave a folder, the letter waits there.

mod aside;
mod letter;
mod writer;

use std::sync::Arc;

use bus_schema::{AgentId, Digest};
use bytes::Bytes;
use jiff::Timestamp;

use crate::bus::{BLOB_BYTES_MAX, Bus, BusError, Delivery, Message, Stored, Stream};

pub use aside::{Aside, BYTES_MAX as ASIDE_BYTES_MAX};
pub use letter::{DeadLetter, Kept, LetterError, Undelivered};
pub(crate) use writer::subject_of;
pub use writer::{Kinds, Writer};

/// Payloads up to this size lie in the letter itself, larger ones are blobs.
pub const INLINE_BYTES_MAX: usize = 64 << 10;

/// Letters that waited on this machine and are given to the bus in one go.
const BROUGHT_BACK_AT_ONCE: usize = 64;

/// The dead letters of one bus, written in the name of one writer.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    bus: Arc<dyn Bus>,
    writer: Writer,
    kinds: Option<Kinds>,
    aside: Option<Aside>,
}

/// A letter and its number, by which people name it. A letter that this version cannot read is shown as such.
#[derive(Debug)]
pub struct Listed {
    pub sequence: u64,
    pub letter: Result<DeadLetter, LetterError>,
}

/// Why a letter could not be shown or replayed.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    #[error("there is no dead letter {0}")]
    NotFound(u64),
    #[error("dead letter {sequence} cannot be read")]
    Unreadable { sequence: u64, source: LetterError },
    #[error("dead letter {sequence} came over HTTP from {source_name}: have it sent there again")]
    NotFromBus { sequence: u64, source_name: String },
    #[error("only the hash and size of the payload of dead letter {0} were kept")]
    PayloadNotKept(u64),
    /// A letter is no way around what its writer may say.
    #[error("dead letter {sequence} was written by {writer}, who may not have a message for `{subject}`")]
    NotItsWriters { sequence: u64, writer: Writer, subject: String },
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl DeadLetters {
    /// For the correlator, and for everything that only reads.
    pub fn new(bus: Arc<dyn Bus>) -> DeadLetters {
        DeadLetters { bus, writer: Writer::Fleet, kinds: None, aside: None }
    }

    /// For what one agent puts aside.
    pub fn of_agent(bus: Arc<dyn Bus>, agent: AgentId) -> DeadLetters {
        DeadLetters { bus, writer: Writer::Agent(agent), kinds: None, aside: None }
    }

    /// Gives an agent's letter back only as a question of its kind, or as its own words.
    pub fn from_agents(self, kinds: Kinds) -> DeadLetters {
        DeadLetters { kinds: Some(kinds), ..self }
    }

    /// Keeps in this folder what a consumer gave up and the bus has no room for.
    pub fn with_aside(self, aside: Aside) -> DeadLetters {
        DeadLetters { aside: Some(aside), ..self }
    }

    /// Why letters wait on this machine, if any does.
    pub fn waiting(&self) -> Option<String> {
        self.aside.as_ref().and_then(Aside::says)
    }

    /// Gives the bus the oldest letters that wait on this machine, as far as it takes them.
    pub async fn bring_back(&self) -> Result<(), BusError> {
        let Some(aside) = self.aside.as_ref().filter(|aside| aside.says().is_some()) else { return Ok(()) };
        for waits in aside.oldest(BROUGHT_BACK_AT_ONCE) {
            let Some(bytes) = aside.read(&waits).await? else {
                aside.remove(&waits).await?;
                continue;
            };
            let Ok(mut letter) = DeadLetter::from_json(&bytes, self.writer.clone()) else {
                aside.set_apart(&waits).await?;
                continue;
            };
            if let Kept::Inline { base64 } = letter.payload {
                letter.payload = self.keep(base64).await?;
            }
            self.publish(letter, waits.id().to_owned()).await?;
            aside.remove(&waits).await?;
        }
        Ok(())
    }

    /// Keeps what an intake received and could not understand. `source` names the intake (`registry-agent`), `what`
    /// the kind of payload. The same body from the same source is one letter within the bus's window.
    pub async fn put_received(
        &self,
        source: &str,
        reason: &str,
        traceparent: Option<&str>,
        body: Bytes,
    ) -> Result<u64, BusError> {
        let id = format!("received-{}-{}", letter::token(source), Digest::sha256_of(&body).hex());
        let payload = self.keep(body).await?;
        let now = Timestamp::now();
        let headers = traceparent.map(|value| ("traceparent".to_owned(), value.to_owned()));
        let letter = DeadLetter {
            writer: self.writer.clone(),
            source: source.to_owned(),
            reason: letter::cut_reason(reason),
            undelivered: None,
            headers: headers.into_iter().collect(),
            payload,
            first_seen: now,
            at: now,
        };
        self.publish(letter, id).await
    }

    /// Keeps what is known of a body that was cut off at a bound: its size as far as it is known, the hash of what
    /// was read, and the beginning is not kept.
    pub async fn put_cut(
        &self,
        source: &str,
        reason: &str,
        read: &[u8],
        bytes: u64,
    ) -> Result<u64, BusError> {
        let hash = Digest::sha256_of(read);
        let id = format!("cut-{}-{}", letter::token(source), hash.hex());
        let now = Timestamp::now();
        let letter = DeadLetter {
            writer: self.writer.clone(),
            source: source.to_owned(),
            reason: letter::cut_reason(reason),
            undelivered: None,
            headers: Default::default(),
            payload: Kept::Hash { digest: hash, bytes },
            first_seen: now,
            at: now,
        };
        self.publish(letter, id).await
    }

    /// Keeps a message that a consumer gave up. Done twice for one delivery (a crash in between), it is one
    /// letter. Where the bus has no room for it, it waits on this machine, if it may.
    pub async fn bury(&self, consumer: &str, reason: &str, delivery: &Delivery) -> Result<(), BusError> {
        let full = match self.put_undelivered(consumer, reason, delivery).await {
            Err(error @ BusError::Full { .. }) => error,
            other => return other.map(|_| ()),
        };
        let Some(aside) = &self.aside else { return Err(full) };
        let payload = Kept::Inline { base64: delivery.message.payload.clone() };
        let (id, letter) = self.undelivered(consumer, reason, delivery, payload);
        let bytes = letter.to_json().map_err(|error| BusError::storage("write a dead letter", error))?;
        aside.put(&id, letter.first_seen, bytes, &full).await
    }

    /// The same, on the bus alone: answers the letter's number.
    pub async fn put_undelivered(
        &self,
        consumer: &str,
        reason: &str,
        delivery: &Delivery,
    ) -> Result<u64, BusError> {
        let payload = self.keep(delivery.message.payload.clone()).await?;
        let (id, letter) = self.undelivered(consumer, reason, delivery, payload);
        self.publish(letter, id).await
    }

    fn undelivered(
        &self,
        consumer: &str,
        reason: &str,
        delivery: &Delivery,
        payload: Kept,
    ) -> (String, DeadLetter) {
        let Message { subject, id, headers, .. } = delivery.message.clone();
        let letter_id = format!(
            "undelivered-{consumer}-{}-{}",
            delivery.sequence,
            delivery.published_at.as_microsecond()
        );
        let letter = DeadLetter {
            writer: self.writer.clone(),
            source: consumer.to_owned(),
            reason: letter::cut_reason(reason),
            undelivered: Some(Undelivered { subject, id, deliveries: delivery.deliveries }),
            headers,
            payload,
            first_seen: delivery.published_at,
            at: Timestamp::now(),
        };
        (letter_id, letter)
    }

    /// Letters from number `from` on, oldest first.
    pub async fn list(&self, from: u64, letters_max: usize) -> Result<Vec<Listed>, BusError> {
        let stored = self.bus.read(Stream::DeadLetters, from, letters_max).await?;
        Ok(stored.into_iter().map(listed).collect())
    }

    /// One letter and its payload, where it was kept.
    pub async fn show(&self, sequence: u64) -> Result<(DeadLetter, Option<Bytes>), DeadLetterError> {
        let stored = self.bus.read(Stream::DeadLetters, sequence, 1).await?;
        let found = stored.into_iter().find(|stored| stored.sequence == sequence);
        let found = found.ok_or(DeadLetterError::NotFound(sequence))?;
        let letter =
            listed(found).letter.map_err(|source| DeadLetterError::Unreadable { sequence, source })?;
        let payload = match &letter.payload {
            Kept::Inline { base64 } => Some(base64.clone()),
            Kept::Blob { digest, .. } => self.bus.blobs().get(digest, BLOB_BYTES_MAX).await?,
            Kept::Hash { .. } => None,
        };
        Ok((letter, payload))
    }

    /// Publishes the message of a letter again and removes the letter. The new message has an id of its own, because
    /// the bus still remembers the first one; whoever reads it drops repeats by the event's own id.
    pub async fn replay(&self, sequence: u64) -> Result<u64, DeadLetterError> {
        let (letter, payload) = self.show(sequence).await?;
        let Some(undelivered) = letter.undelivered else {
            return Err(DeadLetterError::NotFromBus { sequence, source_name: letter.source });
        };
        if !letter.writer.may_have_had(&undelivered.subject, self.kinds.as_ref()) {
            let (writer, subject) = (letter.writer, undelivered.subject);
            return Err(DeadLetterError::NotItsWriters { sequence, writer, subject });
        }
        let payload = payload.ok_or(DeadLetterError::PayloadNotKept(sequence))?;
        let id = letter::replay_id(&undelivered.id, sequence);
        let message = Message { subject: undelivered.subject, id, headers: letter.headers, payload };
        let published = self.bus.publish(message).await?;
        self.bus.remove(Stream::DeadLetters, sequence).await?;
        Ok(published.sequence)
    }

    /// Removes a letter for good. False when it was not there.
    pub async fn discard(&self, sequence: u64) -> Result<bool, BusError> {
        self.bus.remove(Stream::DeadLetters, sequence).await
    }

    async fn keep(&self, payload: Bytes) -> Result<Kept, BusError> {
        let bytes = payload.len() as u64;
        if payload.len() <= INLINE_BYTES_MAX {
            return Ok(Kept::Inline { base64: payload });
        }
        if payload.len() > BLOB_BYTES_MAX {
            return Ok(Kept::Hash { digest: Digest::sha256_of(&payload), bytes });
        }
        let digest = self.bus.blobs().put(payload).await?;
        Ok(Kept::Blob { digest, bytes })
    }

    async fn publish(&self, letter: DeadLetter, id: String) -> Result<u64, BusError> {
        let subject = self.writer.subject();
        let payload = letter.to_json().map_err(|error| BusError::storage("write a dead letter", error))?;
        let published = self.bus.publish(Message::new(subject, id, payload)).await?;
        if !published.duplicate {
            tracing::warn!(
                source = letter.source,
                reason = letter.reason,
                sequence = published.sequence,
                "put a message into the dead letter"
            );
        }
        Ok(published.sequence)
    }
}

fn listed(stored: Stored) -> Listed {
    let writer = Writer::of_subject(&stored.message.subject);
    Listed { sequence: stored.sequence, letter: DeadLetter::from_json(&stored.message.payload, writer) }
}
