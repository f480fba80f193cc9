//! The durable bus inside one process: no server to install, everything in the data folder.
//!
//! In: the data folder (`bus/` for messages, consumers and buckets; `blobs/` for blobs). Out: the bus trait.
//!
//! What holds after `kill -9` at any point: every publish, key-value change and blob that was answered is there once;
//! a delivery is counted on disk before it is handed out, so a message that kills its reader is still counted; an
//! acknowledgement may be lost (it rides with a later commit) and then the message comes again. After a restart what
//! was unsettled is due at once, whatever delay a `retry` had asked for: its reader died with the process.
//! It never loses a message that a consumer still owes an answer to: a full stream refuses new ones instead.

mod blobs;
mod bucket;
mod command;
mod consumer;
mod duplicates;
mod folder;
mod key_value;
mod ledger;
mod limits;
mod owed;
mod read;
mod shared;
mod simulated;
mod standing;
mod tables;
mod watchers;
mod writer;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use self::blobs::FileBlobs;
use self::bucket::Bucket;
use self::command::{Command, Queue};
use self::consumer::EmbeddedConsumer;
use self::shared::Shared;
use super::{
    Blobs, Bus, BusError, BusStanding, Consumer, ConsumerConfig, FETCH_MESSAGES_MAX, KeyValue, Message,
    Published, Stored, Stream, StreamStanding, check_key,
};
use crate::database;

pub use limits::{EmbeddedLimits, StreamLimits};
pub use simulated::{Simulated, Storage};

/// The embedded bus. Dropping the last handle closes it.
#[derive(Debug)]
pub struct EmbeddedBus {
    queue: Arc<Queue>,
    shared: Arc<Shared>,
    blobs: Arc<dyn Blobs>,
    limits: EmbeddedLimits,
}

impl EmbeddedBus {
    /// Opens (or creates) the bus of a data folder. Fails with `InUse` when another process has it open and with
    /// `Format` when another version wrote it.
    pub async fn open(data: &Path, limits: EmbeddedLimits) -> Result<Arc<EmbeddedBus>, BusError> {
        let data = data.to_owned();
        let opened = tokio::task::spawn_blocking(move || {
            let folder = folder::Folder::open(&data)?;
            let blobs = FileBlobs::open(&data)?;
            let file = folder.database_file();
            let opener = Box::new(move || database::open(&file, limits.cache_bytes_max));
            let (queue, shared) = writer::start(folder, opener, limits)?;
            Ok(Arc::new(EmbeddedBus { queue, shared, blobs: Arc::new(blobs), limits }))
        });
        opened.await.map_err(|error| BusError::storage("open the bus", error))?
    }

    /// Opens a bus as a task of this runtime, for a simulation.
    pub fn simulate(simulated: &Simulated, limits: EmbeddedLimits) -> Result<Arc<EmbeddedBus>, BusError> {
        let (queue, shared) = writer::start_simulated(simulated, limits)?;
        Ok(Arc::new(EmbeddedBus { queue, shared, blobs: simulated.blobs.clone(), limits }))
    }
}

/// Fails with `Format` when another version wrote the bus of a data folder. Touches nothing; a folder without a bus is fine.
pub fn check_format(data: &Path) -> Result<(), BusError> {
    folder::check_format(data)
}

impl EmbeddedBus {
    /// Like [`Bus::read`], with a bound of the caller's choice for the payloads; the first message always fits.
    pub(crate) async fn read_within(
        &self,
        stream: Stream,
        from: u64,
        messages_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Stored>, BusError> {
        let messages_max = messages_max.min(FETCH_MESSAGES_MAX);
        let read = move |database: &_| read::from_sequence(database, stream, from, messages_max, bytes_max);
        self.shared.read(read).await
    }
}

#[async_trait]
impl Bus for EmbeddedBus {
    async fn publish(&self, message: Message) -> Result<Published, BusError> {
        message.check()?;
        let stream = Stream::of_subject(&message.subject)?;
        let bytes = message.payload.len();
        self.queue.ask(bytes, |reply| Command::Publish { stream, message, reply }).await
    }

    async fn consumer(&self, config: ConsumerConfig) -> Result<Arc<dyn Consumer>, BusError> {
        config.check()?;
        let owed = self.queue.ask(0, |reply| Command::Consumer { config, reply }).await?;
        Ok(Arc::new(EmbeddedConsumer::new(self.queue.clone(), self.shared.clone(), owed)))
    }

    async fn remove_consumer(&self, stream: Stream, name: &str) -> Result<(), BusError> {
        let name = name.to_owned();
        self.queue.ask(0, |reply| Command::RemoveConsumer { stream, name, reply }).await
    }

    async fn read(&self, stream: Stream, from: u64, messages_max: usize) -> Result<Vec<Stored>, BusError> {
        self.read_within(stream, from, messages_max, read::READ_BYTES_MAX).await
    }

    async fn remove(&self, stream: Stream, sequence: u64) -> Result<bool, BusError> {
        self.queue.ask(0, |reply| Command::Remove { stream, sequence, reply }).await
    }

    async fn key_value(&self, bucket: &str) -> Result<Arc<dyn KeyValue>, BusError> {
        check_key(bucket)?;
        Ok(Arc::new(Bucket::new(self.queue.clone(), self.shared.clone(), bucket)))
    }

    fn blobs(&self) -> Arc<dyn Blobs> {
        self.blobs.clone()
    }

    async fn standing(&self) -> Result<BusStanding, BusError> {
        let limits = self.limits;
        let read = self.shared.read(move |database| {
            Stream::ALL.into_iter().map(|stream| standing::of_stream(database, stream, &limits)).collect()
        });
        let mut streams: Vec<StreamStanding> = read.await?;
        for standing in &mut streams {
            let consumers = self.shared.consumers_of(standing.stream);
            let of_consumer = |owed: &Arc<owed::Owed>| standing::of_consumer(owed, standing.last_sequence);
            standing.consumers = consumers.iter().map(of_consumer).collect();
        }
        Ok(BusStanding { streams, ..BusStanding::default() })
    }

    async fn close(&self) -> Result<(), BusError> {
        match self.queue.ask(0, |reply| Command::Close { reply }).await {
            Err(BusError::Closed) => Ok(()),
            answer => answer,
        }
    }
}

#[cfg(test)]
mod tests;
