//! Blobs in the servers' object store, named by their SHA-256, in NATS' own layout.
//!
//! In: bytes. Out: their digest, when the store has confirmed all of it. What is read is hashed again: other bytes under a
//! name are an error that names both hashes, never bytes. A blob lies on the bus for a while; whoever puts it again
//! renews it. Chunks are written one after the other, so that a chunk that is tried again cannot pass the next.
//!
//! Whoever does not manage the servers may only write: it puts without looking, and remembers for a while what it has put.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_nats::header::{HeaderValue, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_ROLLUP};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bus_schema::Digest;
use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::declared::BLOB_AGE_MAX;
use super::link::Link;
use super::message::with_id;
use super::publish::{NotPublished, Outbound, Outgoing};
use super::read::{last_message, next_message};
use crate::bus::{BLOB_BYTES_MAX, Blobs, BusError};

const CHUNK_BYTES: usize = 256 << 10;
/// More chunks than the largest blob has in the smallest chunks that others write.
const CHUNKS_MAX: usize = 1024;
/// Blobs that are written or read at once; with the size bound this bounds their memory.
const BLOBS_IN_FLIGHT_MAX: usize = 8;
/// How long a writer that may not look does not put the same again.
pub(super) const PUT_REMEMBERED: Duration = Duration::from_secs(3600);
const PUTS_REMEMBERED_MAX: usize = 4096;
/// A blob that is older is written again, so that it does not end soon after it was put.
const RENEWED_AFTER: Duration = Duration::from_secs(BLOB_AGE_MAX.as_secs() / 4);

#[derive(Debug)]
pub(super) struct ObjectBlobs {
    link: Link,
    outbound: Outbound,
    /// The first is written to; all are read.
    buckets: Vec<String>,
    /// Whether the own bucket may be read and tidied.
    may_look: bool,
    /// What was put without looking, and when.
    put: Mutex<BTreeMap<String, Instant>>,
    in_flight: Semaphore,
    /// One writer per digest in this process: the others find what it has put.
    writing: Mutex<BTreeMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

/// What the object store keeps about an object: the fields that we write and read.
#[derive(Debug, Serialize, Deserialize)]
struct ObjectInfo {
    name: String,
    bucket: String,
    nuid: String,
    size: u64,
    chunks: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    options: Value,
}

/// An object as it lies there.
struct Found {
    /// None where somebody has written what is no description.
    info: Option<ObjectInfo>,
    /// The place of its description.
    sequence: u64,
    at: Timestamp,
}

impl ObjectBlobs {
    pub(super) fn new(
        link: Link,
        outbound: Outbound,
        own: &str,
        others: &[String],
        may_look: bool,
    ) -> ObjectBlobs {
        let buckets = std::iter::once(own.to_owned()).chain(others.iter().cloned()).collect();
        let in_flight = Semaphore::new(BLOBS_IN_FLIGHT_MAX);
        let (put, writing) = (Mutex::default(), Mutex::default());
        ObjectBlobs { link, outbound, buckets, may_look, put, in_flight, writing }
    }

    fn was_put(&self, name: &str) -> bool {
        let mut put = self.put.lock().unwrap_or_else(PoisonError::into_inner);
        put.retain(|_, at| at.elapsed() < PUT_REMEMBERED);
        put.contains_key(name)
    }

    fn remember_put(&self, name: String) {
        let mut put = self.put.lock().unwrap_or_else(PoisonError::into_inner);
        // Forgotten too early it is only put once more.
        if put.len() >= PUTS_REMEMBERED_MAX {
            put.clear();
        }
        put.insert(name, Instant::now());
    }

    /// The lock of one digest; forgotten when nobody holds it.
    fn turn(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        writing.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = writing.get(name).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        writing.insert(name.to_owned(), Arc::downgrade(&turn));
        turn
    }

    async fn find(&self, bucket: &str, name: &str) -> Result<Option<Found>, BusError> {
        let read = last_message(&self.link, &format!("OBJ_{bucket}"), &description_of(bucket, name)).await;
        let Some(message) = read.map_err(|fault| fault.into_bus("look for a blob"))? else {
            return Ok(None);
        };
        let info = serde_json::from_slice(&message.payload).ok();
        let stored = super::message::stored(message);
        Ok(Some(Found { info, sequence: stored.sequence, at: stored.published_at }))
    }

    /// The bytes of an object, cut off at one byte more than `bytes_max`.
    async fn bytes(&self, bucket: &str, info: &ObjectInfo, bytes_max: usize) -> Result<Bytes, BusError> {
        if info.size > bytes_max as u64 {
            return Err(BusError::BlobTooLarge { bytes: info.size, bytes_max: bytes_max as u64 });
        }
        if crate::bus::check_subject(&info.nuid).is_err() {
            return Ok(Bytes::new());
        }
        let (stream, subject) = (format!("OBJ_{bucket}"), chunks_of(bucket, &info.nuid));
        let mut bytes = BytesMut::new();
        let mut next = 1;
        for _ in 0..info.chunks.min(CHUNKS_MAX) {
            let read = next_message(&self.link, &stream, next, &subject).await;
            let Some(chunk) = read.map_err(|fault| fault.into_bus("read a blob"))? else { break };
            next = chunk.sequence + 1;
            let room = (bytes_max + 1).saturating_sub(bytes.len());
            bytes.extend_from_slice(&chunk.payload[..chunk.payload.len().min(room)]);
            if bytes.len() > bytes_max {
                break;
            }
        }
        Ok(bytes.freeze())
    }

    async fn read(&self, bucket: &str, digest: &Digest, bytes_max: usize) -> Result<Option<Bytes>, BusError> {
        let Some(found) = self.find(bucket, &name_of(digest)?).await? else { return Ok(None) };
        self.intact(bucket, &found, digest, bytes_max).await
    }

    async fn intact(
        &self,
        bucket: &str,
        found: &Found,
        digest: &Digest,
        bytes_max: usize,
    ) -> Result<Option<Bytes>, BusError> {
        let bytes = match &found.info {
            Some(info) if info.deleted => return Ok(None),
            Some(info) => self.bytes(bucket, info, bytes_max).await?,
            None => Bytes::new(),
        };
        let too_large = |bytes: u64| BusError::BlobTooLarge { bytes, bytes_max: bytes_max as u64 };
        if bytes.len() > bytes_max {
            return Err(too_large(bytes.len() as u64));
        }
        let hash = Digest::sha256_of(&bytes);
        match hash == *digest {
            true => Ok(Some(bytes)),
            false => Err(BusError::BlobTampered { expected: Box::new(*digest), found: Box::new(hash) }),
        }
    }

    async fn write(
        &self,
        digest: &Digest,
        name: &str,
        bytes: &Bytes,
        before: Option<Found>,
    ) -> Result<(), BusError> {
        let bucket = &self.buckets[..1].concat();
        let inbox = self.link.client().new_inbox();
        let nuid = inbox.rsplit('.').next().unwrap_or(&inbox).to_owned();
        let chunks: Vec<Bytes> = bytes.chunks(CHUNK_BYTES).map(|chunk| bytes.slice_ref(chunk)).collect();
        for (number, chunk) in chunks.iter().enumerate() {
            let outgoing = Outgoing {
                subject: chunks_of(bucket, &nuid),
                headers: with_id(&format!("{nuid}-{number}"))?,
                payload: chunk.clone(),
            };
            let written = self.outbound.publish(&outgoing).await;
            written.map_err(|refused| self.refused(refused, chunk.len()))?;
        }
        let info = ObjectInfo {
            name: name.to_owned(),
            bucket: bucket.clone(),
            nuid: nuid.clone(),
            size: bytes.len() as u64,
            chunks: chunks.len(),
            digest: Some(format!("SHA-256={}", URL_SAFE.encode(raw(digest)))),
            deleted: false,
            options: json!({ "max_chunk_size": CHUNK_BYTES }),
        };
        let payload = serde_json::to_vec(&info)
            .map_err(|error| BusError::storage("write the description of a blob", error))?;
        let mut headers = with_id(&nuid)?;
        headers.insert(NATS_ROLLUP, HeaderValue::from("sub"));
        if self.may_look {
            let last = before.as_ref().map_or(0, |found| found.sequence);
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, HeaderValue::from(last));
        }
        let outgoing = Outgoing { subject: description_of(bucket, name), headers, payload: payload.into() };
        match self.outbound.publish(&outgoing).await {
            Ok(_) => {
                let before = before.and_then(|found| found.info).filter(|info| info.nuid != nuid);
                if let Some(before) = before.filter(|info| crate::bus::check_subject(&info.nuid).is_ok()) {
                    self.forget(bucket, &before.nuid).await;
                }
                Ok(())
            }
            // Another process has put the same at the same time.
            Err(NotPublished::Conflict) => {
                self.forget(bucket, &nuid).await;
                match self.read(bucket, digest, BLOB_BYTES_MAX).await? {
                    Some(_) => Ok(()),
                    None => Err(BusError::Unavailable { reason: "others write the same blob".to_owned() }),
                }
            }
            Err(refused) => Err(self.refused(refused, outgoing.payload.len())),
        }
    }

    /// Removes chunks that nothing describes. What is left behind goes by age.
    async fn forget(&self, bucket: &str, nuid: &str) {
        let subject = format!("STREAM.PURGE.OBJ_{bucket}");
        let purged = self.link.ask::<Value>(&subject, &json!({ "filter": chunks_of(bucket, nuid) })).await;
        if let Err(fault) = purged {
            tracing::debug!(reason = %fault, "failed to remove the chunks of a replaced blob");
        }
    }

    fn refused(&self, refused: NotPublished, bytes: usize) -> BusError {
        match refused {
            NotPublished::TooLarge { bytes_max } => BusError::PayloadTooLarge { bytes, bytes_max },
            NotPublished::Full => BusError::Full {
                what: "the bucket of blobs".to_owned(),
                bound: "its size".to_owned(),
                held_by: None,
            },
            NotPublished::Conflict => {
                BusError::Unavailable { reason: "others write the same blob".to_owned() }
            }
            NotPublished::Fault(fault) => fault.into_bus("write a blob"),
        }
    }

    async fn permit(&self) -> Result<tokio::sync::SemaphorePermit<'_>, BusError> {
        tokio::select! {
            () = self.link.closed().cancelled() => Err(BusError::Closed),
            permit = self.in_flight.acquire() => permit.map_err(|_| BusError::Closed),
        }
    }
}

#[async_trait]
impl Blobs for ObjectBlobs {
    async fn put(&self, bytes: Bytes) -> Result<Digest, BusError> {
        if bytes.len() > BLOB_BYTES_MAX {
            let (bytes, bytes_max) = (bytes.len() as u64, BLOB_BYTES_MAX as u64);
            return Err(BusError::BlobTooLarge { bytes, bytes_max });
        }
        let digest = Digest::sha256_of(&bytes);
        let name = name_of(&digest)?;
        let turn = self.turn(&name);
        let _turn = turn.lock().await;
        let _permit = self.permit().await?;
        let Some(own) = self.buckets.first() else { return Err(BusError::Closed) };
        if !self.may_look {
            if !self.was_put(&name) {
                self.write(&digest, &name, &bytes, None).await?;
                self.remember_put(name);
            }
            return Ok(digest);
        }
        let before = self.find(own, &name).await?;
        if let Some(found) = &before {
            let age = Timestamp::now().duration_since(found.at);
            let is_young = age.as_secs() < i64::try_from(RENEWED_AFTER.as_secs()).unwrap_or(i64::MAX);
            if is_young && matches!(self.intact(own, found, &digest, BLOB_BYTES_MAX).await, Ok(Some(_))) {
                return Ok(digest);
            }
        }
        self.write(&digest, &name, &bytes, before).await?;
        Ok(digest)
    }

    async fn get(&self, digest: &Digest, bytes_max: usize) -> Result<Option<Bytes>, BusError> {
        let bytes_max = bytes_max.min(BLOB_BYTES_MAX);
        name_of(digest)?;
        let _permit = self.permit().await?;
        let (mut damaged, mut unknown) = (None, None);
        for bucket in &self.buckets {
            match self.read(bucket, digest, bytes_max).await {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                // Another bucket may hold it whole: nobody hides a blob by what he puts under its name.
                Err(error @ (BusError::BlobTampered { .. } | BusError::BlobTooLarge { .. })) => {
                    damaged = Some(error);
                }
                Err(error) => unknown = Some(error),
            }
        }
        // What one bucket does not answer, the others cannot say to be absent.
        unknown.or(damaged).map_or(Ok(None), Err)
    }

    async fn exists(&self, digest: &Digest) -> Result<bool, BusError> {
        let name = name_of(digest)?;
        for bucket in &self.buckets {
            let found = self.find(bucket, &name).await?.and_then(|found| found.info);
            if found.is_some_and(|info| !info.deleted) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn name_of(digest: &Digest) -> Result<String, BusError> {
    match digest {
        Digest::Sha256(_) => Ok(format!("sha256-{}", digest.hex())),
        _ => Err(BusError::BlobAlgorithm { digest: *digest }),
    }
}

fn raw(digest: &Digest) -> Vec<u8> {
    // A digest prints its own bytes.
    hex::decode(digest.hex()).unwrap_or_default()
}

fn description_of(bucket: &str, name: &str) -> String {
    format!("$O.{bucket}.M.{}", URL_SAFE.encode(name))
}

fn chunks_of(bucket: &str, nuid: &str) -> String {
    format!("$O.{bucket}.C.{nuid}")
}
