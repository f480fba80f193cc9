//! What the writer is asked to do, and the bounded queue in front of it.

use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use futures::stream::BoxStream;
use tokio::sync::mpsc::Sender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::owed::Owed;
use crate::bus::{BusError, ConsumerConfig, Message, Published, Stream, Watched};

pub(super) type Reply<T> = oneshot::Sender<Result<T, BusError>>;
pub(super) type Watch = BoxStream<'static, Result<Watched, BusError>>;

/// One change of what is durable. Each but `Settle` is answered after the commit that holds it.
#[derive(Debug)]
pub(super) enum Command {
    Publish {
        stream: Stream,
        message: Message,
        reply: Reply<Published>,
    },
    Remove {
        stream: Stream,
        sequence: u64,
        reply: Reply<bool>,
    },
    Consumer {
        config: ConsumerConfig,
        reply: Reply<Arc<Owed>>,
    },
    RemoveConsumer {
        stream: Stream,
        name: String,
        reply: Reply<()>,
    },
    /// Deliveries are counted on disk before they are handed out.
    Deliver {
        owed: Arc<Owed>,
        rows: Vec<(u64, u32)>,
        looked_at: u64,
        reply: Reply<()>,
    },
    /// An acknowledgement; rides with the next commit.
    Settle {
        owed: Arc<Owed>,
        sequence: u64,
    },
    Put {
        bucket: String,
        key: String,
        value: Option<Bytes>,
        expected: Option<u64>,
        reply: Reply<u64>,
    },
    Watch {
        bucket: String,
        prefix: String,
        reply: WatchReply,
    },
    Close {
        reply: Reply<()>,
    },
}

/// The answer to a watch; a type of its own because a stream has no `Debug`.
pub(super) struct WatchReply(pub(super) Reply<Watch>);

impl std::fmt::Debug for WatchReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WatchReply")
    }
}

/// A command and its share of the queue's bytes, given back when the command is dropped.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) command: Command,
    pub(super) bytes: usize,
    _share: OwnedSemaphorePermit,
}

/// The queue to the writer. Waits for room; never holds more than its byte bound.
#[derive(Debug)]
pub(super) struct Queue {
    way: Mutex<Option<Way>>,
    room: Arc<Semaphore>,
    units_max: usize,
}

/// The way to the writer.
#[derive(Debug)]
pub(super) enum Way {
    ToThread(mpsc::Sender<Queued>, JoinHandle<()>),
    ToTask(Sender<Queued>),
}

impl Way {
    fn send(&self, queued: Queued) -> Result<(), BusError> {
        match self {
            Way::ToThread(sender, _) => sender.send(queued).map_err(|_| BusError::Closed),
            // There is room for as many as there are shares of the queue.
            Way::ToTask(sender) => sender.try_send(queued).map_err(|_| BusError::Closed),
        }
    }
}

const UNIT_BYTES: usize = 1024;

impl Queue {
    pub(super) fn new(way: Way, bytes_max: usize) -> Queue {
        let units_max = Queue::units_max(bytes_max);
        Queue { way: Mutex::new(Some(way)), room: Arc::new(Semaphore::new(units_max)), units_max }
    }

    /// The most commands in a queue of so many bytes: each takes one unit or more.
    pub(super) fn units_max(bytes_max: usize) -> usize {
        (bytes_max / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS)
    }

    /// Sends a command and waits for its answer.
    pub(super) async fn ask<T>(
        &self,
        bytes: usize,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, BusError> {
        let (reply, answer) = oneshot::channel();
        self.send(bytes, command(reply)).await?;
        answer.await.map_err(|_| BusError::Closed)?
    }

    /// Sends a command that nobody waits for.
    pub(super) async fn send(&self, bytes: usize, command: Command) -> Result<(), BusError> {
        let units = (1 + bytes / UNIT_BYTES).min(self.units_max);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let share = self.room.clone().acquire_many_owned(units).await.map_err(|_| BusError::Closed)?;
        let way = self.way.lock().unwrap_or_else(PoisonError::into_inner);
        way.as_ref().ok_or(BusError::Closed)?.send(Queued { command, bytes, _share: share })
    }
}

impl Drop for Queue {
    /// Lets the writer finish what it has, so that the folder is free when the last handle is gone.
    fn drop(&mut self) {
        let way = self.way.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Way::ToThread(sender, thread)) = way {
            drop(sender);
            // A panic of the writer has been reported by the panic hook; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}
