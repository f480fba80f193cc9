//! What the servers no longer deliver goes into our own dead letter.
//!
//! In: the servers' word that a message was delivered as often as its consumer allows. Out: a dead letter with that
//! message. A reader buries what it sees beyond its own limit; this is for those that its process never lived to see. The
//! word is settled after the letter is kept, and never before.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::consumer::create;
use super::declared::{GIVEN_UP, given_up_consumer};
use super::fault::Fault;
use super::link::Link;
use super::message::{delivery, stored};
use super::pull::{End, Place, Pulled, Request};
use super::read::next_message;
use crate::bus::{Bus, BusError, Delivery, Stream};
use crate::dead_letters::DeadLetters;

const WORDS_AT_ONCE: usize = 16;
const REQUEST_WAIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_secs(1);

/// The servers' word, as far as we need it.
#[derive(Debug, Deserialize)]
struct Word {
    stream: String,
    consumer: String,
    stream_seq: u64,
    deliveries: u32,
}

pub(super) async fn run(link: Link, bus: Arc<dyn Bus>) {
    let dead_letters = DeadLetters::new(bus);
    while !link.closed().is_cancelled() {
        match look(&link).await {
            Pulled::Messages(messages) => {
                for message in messages {
                    let Some(word) = delivery(&link, message) else { continue };
                    take(&link, &dead_letters, &word).await;
                }
                continue;
            }
            Pulled::Ended(End::Nothing) => continue,
            Pulled::Ended(End::Gone) => {
                if let Err(fault) = create(&link, GIVEN_UP, &given_up_consumer()).await {
                    tracing::warn!(reason = %fault, "failed to read what the servers gave up");
                }
            }
            ended => tracing::debug!(reason = ?ended, "asking again for what the servers gave up"),
        }
        tokio::select! {
            () = link.closed().cancelled() => return,
            () = sleep(PAUSE) => {}
        }
    }
}

async fn look(link: &Link) -> Pulled {
    let place = Place { stream: GIVEN_UP, consumer: GIVEN_UP };
    match Request::send(link, place, WORDS_AT_ONCE, REQUEST_WAIT).await {
        Ok(mut request) => request.look(link, WORDS_AT_ONCE, Instant::now() + REQUEST_WAIT * 2).await,
        Err(end) => Pulled::Ended(end),
    }
}

/// Keeps one message and settles the word; a word that is not settled comes again.
async fn take(link: &Link, dead_letters: &DeadLetters, word: &Delivery) {
    let read: Word = match serde_json::from_slice(&word.message.payload) {
        Ok(read) => read,
        Err(error) => {
            tracing::error!(error = %error, "the servers' word on a message cannot be read");
            return settle(link, word).await;
        }
    };
    match keep(link, dead_letters, &read).await {
        Ok(()) => settle(link, word).await,
        Err(error) => tracing::error!(stream = read.stream, sequence = read.stream_seq, error = %error,
            "failed to put a given up message into the dead letter, it comes again"),
    }
}

async fn keep(link: &Link, dead_letters: &DeadLetters, word: &Word) -> Result<(), BusError> {
    let Some(stream) = Stream::ALL.into_iter().find(|stream| stream.name() == word.stream) else {
        return Ok(());
    };
    let found = next_message(link, stream.name(), word.stream_seq, ">").await;
    let found = found.map_err(|fault: Fault| fault.into_bus("read a given up message"))?.map(stored);
    let Some(found) = found.filter(|found| found.sequence == word.stream_seq) else {
        // A reader has buried it and it was trimmed, or a person has removed it.
        tracing::warn!(
            stream = word.stream,
            sequence = word.stream_seq,
            "a given up message is no longer there"
        );
        return Ok(());
    };
    let given_up = Delivery {
        message: found.message,
        sequence: found.sequence,
        deliveries: word.deliveries,
        published_at: found.published_at,
        handle: String::new(),
    };
    let reason = format!("delivered {} times, and its reader never said why not", word.deliveries);
    dead_letters.put_undelivered(&word.consumer, &reason, &given_up).await.map(|_| ())
}

async fn settle(link: &Link, word: &Delivery) {
    // A word whose settling is lost comes again and makes the same letter.
    if let Err(error) = link.client().publish(word.handle.clone(), "+ACK".into()).await {
        tracing::debug!(error = %error, "failed to settle the servers' word");
    }
}
