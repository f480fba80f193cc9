//! Publishing: sent, confirmed, bounded in flight, and tried again under the same id.
//!
//! In: a subject, headers with an id, a payload. Out: the place in the stream, or why there is none. A repeat after an
//! unheard confirmation is dropped by its id, so that trying again never makes a second message.

use std::sync::Arc;
use std::time::Duration;

use async_nats::header::HeaderMap;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::fault::{Fault, code};
use super::link::Link;
use super::tend::Order;
use crate::bus::Published;

/// Bytes that wait for their confirmation.
const IN_FLIGHT_BYTES_MAX: usize = 16 << 20;
/// What a message costs beside its payload, so that small ones are bounded too.
const MESSAGE_COST_BYTES: usize = 8 << 10;
const UNIT_BYTES: usize = 1 << 10;

/// The way into the streams.
#[derive(Clone, Debug)]
pub(super) struct Outbound {
    link: Link,
    room: Arc<Semaphore>,
    within: Duration,
    order: Arc<Order>,
}

/// What is published.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) subject: String,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
}

/// Why it is not in the stream, besides faults.
#[derive(Clone, Debug)]
pub(super) enum NotPublished {
    /// More than the server takes in one message.
    TooLarge {
        bytes_max: usize,
    },
    /// The stream has no room.
    Full,
    /// A condition on the subject's last revision did not hold.
    Conflict,
    Fault(Fault),
}

impl Outbound {
    pub(super) fn new(link: Link, within: Duration, order: Arc<Order>) -> Outbound {
        Outbound { link, room: Arc::new(Semaphore::new(IN_FLIGHT_BYTES_MAX / UNIT_BYTES)), within, order }
    }

    pub(super) async fn publish(&self, outgoing: &Outgoing) -> Result<Published, NotPublished> {
        if let Some(message_bytes_max) = self.link.message_bytes_max() {
            // The server counts headers too.
            let bytes_max = message_bytes_max.saturating_sub(bytes_of(&outgoing.headers));
            if outgoing.payload.len() > bytes_max {
                return Err(NotPublished::TooLarge { bytes_max });
            }
        }
        let units = (outgoing.payload.len() + MESSAGE_COST_BYTES) / UNIT_BYTES;
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let closed = |_| NotPublished::Fault(Fault::Closed);
        let waiting = self.room.acquire_many(units);
        let _share = tokio::select! {
            () = self.link.closed().cancelled() => return Err(NotPublished::Fault(Fault::Closed)),
            share = waiting => share.map_err(closed)?,
        };
        let attempt = || self.attempt(outgoing);
        self.link.persist(self.within, attempt).await.map_err(NotPublished::from)
    }

    /// Both waits: until it is sent, and until the stream has it.
    async fn attempt(&self, outgoing: &Outgoing) -> Result<Published, Fault> {
        let Outgoing { subject, headers, payload } = outgoing.clone();
        let confirmed = async {
            let message = PublishMessage::build().headers(headers).payload(payload);
            let confirmation = self.link.context().send_publish(subject, message).await?;
            let confirmed = confirmation.await?;
            Ok(Published { sequence: confirmed.sequence, duplicate: confirmed.duplicate })
        };
        let attended = self.link.attend(&outgoing.subject, confirmed).await;
        if matches!(attended, Err(Fault::NoStream)) {
            // Between two leaders, or deleted: whoever manages the streams looks soon.
            self.order.hurry();
        }
        attended
    }
}

impl From<Fault> for NotPublished {
    fn from(fault: Fault) -> NotPublished {
        match fault {
            Fault::Answer { code: code::STORE_FAILED, text } if text.contains("maximum") => {
                NotPublished::Full
            }
            Fault::Answer { code, .. } if code::MESSAGE_TOO_LARGE.contains(&code) => {
                NotPublished::TooLarge { bytes_max: super::declared::MESSAGE_BYTES_MAX }
            }
            Fault::Answer {
                code: code::WRONG_LAST_SEQUENCE | code::WRONG_LAST_SEQUENCE_IN_FLIGHT, ..
            } => NotPublished::Conflict,
            fault => NotPublished::Fault(fault),
        }
    }
}

/// Names and values with what stands between them on the wire.
fn bytes_of(headers: &HeaderMap) -> usize {
    const LINE_BYTES: usize = 4;
    const FRAME_BYTES: usize = 16;
    let lines = headers.iter().flat_map(|(name, values)| {
        let name_bytes = name.to_string().len();
        values.iter().map(move |value| name_bytes + value.as_str().len() + LINE_BYTES)
    });
    FRAME_BYTES + lines.sum::<usize>()
}
