//! A handle on a key-value bucket.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use redb::ReadableDatabase;

use super::command::{Command, Queue, WatchReply};
use super::shared::Shared;
use super::tables::KEY_VALUE;
use crate::bus::{BusError, Entry, KeyValue, PAYLOAD_BYTES_MAX, Watched, check_key};

#[derive(Debug)]
pub(super) struct Bucket {
    queue: Arc<Queue>,
    shared: Arc<Shared>,
    name: String,
}

impl Bucket {
    pub(super) fn new(queue: Arc<Queue>, shared: Arc<Shared>, name: &str) -> Bucket {
        Bucket { queue, shared, name: name.to_owned() }
    }

    async fn change(&self, key: &str, value: Option<Bytes>, expected: Option<u64>) -> Result<u64, BusError> {
        check_key(key)?;
        let bytes = value.as_ref().map_or(0, Bytes::len);
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(BusError::PayloadTooLarge { bytes, bytes_max: PAYLOAD_BYTES_MAX });
        }
        let (bucket, key) = (self.name.clone(), key.to_owned());
        self.queue.ask(bytes, |reply| Command::Put { bucket, key, value, expected, reply }).await
    }
}

#[async_trait]
impl KeyValue for Bucket {
    async fn get(&self, key: &str) -> Result<Option<Entry>, BusError> {
        check_key(key)?;
        let (bucket, key) = (self.name.clone(), key.to_owned());
        let read = self.shared.read(move |database| {
            let read = || -> Result<Option<Entry>, redb::Error> {
                let table = database.begin_read()?.open_table(KEY_VALUE)?;
                let found = table.get((bucket.as_str(), key.as_str()))?;
                Ok(found.map(|row| {
                    let (revision, value) = row.value();
                    Entry { value: Bytes::copy_from_slice(value), revision }
                }))
            };
            read().map_err(|error| BusError::storage("read a key", error))
        });
        read.await
    }

    async fn put(&self, key: &str, value: Bytes) -> Result<u64, BusError> {
        self.change(key, Some(value), None).await
    }

    async fn put_if(&self, key: &str, value: Bytes, expected: u64) -> Result<u64, BusError> {
        self.change(key, Some(value), Some(expected)).await
    }

    async fn delete(&self, key: &str) -> Result<(), BusError> {
        self.change(key, None, None).await.map(|_| ())
    }

    async fn watch(&self, prefix: &str) -> Result<BoxStream<'static, Result<Watched, BusError>>, BusError> {
        if !prefix.is_empty() {
            // A prefix may end with the dot before the part that varies.
            check_key(prefix.trim_end_matches('.'))?;
        }
        let (bucket, prefix) = (self.name.clone(), prefix.to_owned());
        self.queue.ask(0, |reply| Command::Watch { bucket, prefix, reply: WatchReply(reply) }).await
    }
}
