//! Keeps the bytes that an event names among the correlator's own before the event is recorded, so that no agent can
//! replace another's bytes later.
//!
//! In: an event. Out: the same without bytes inside, every blob that it names durable and checked against its hash; and what
//! its evidence proves, where that is known at once.

use std::sync::Arc;

use bus_schema::registry::{BLOB_BYTES_MAX, BlobRef, EVIDENCE_ITEMS_MAX};
use bus_schema::{Digest, Envelope, Event};
use correlator_core::facts::Verified;
use correlator_store::{BlobError, Blobs};
use fleet_runtime::bus::{self, BusError};
use fleet_runtime::error_chain;
use tokio::sync::Semaphore;

use super::early::{Arrived, Early};
use super::refusal::Refusal;
use super::shelf::{Shelf, ShelfError};

/// Blobs that are fetched from the bus and in memory at once.
const FETCHED_MAX: usize = 16;

/// Why an event's bytes are not kept.
#[derive(Debug)]
pub(super) enum KeepError {
    Refused(Refusal),
    /// They may still come.
    Missing {
        digest: Digest,
    },
    /// A failure of our own.
    Trouble(String),
}

/// The two blob stores.
#[derive(Debug)]
pub(super) struct Keeper {
    arriving: Arc<dyn bus::Blobs>,
    kept: Blobs,
    shelf: Arc<Shelf>,
    fetching: Semaphore,
}

impl Keeper {
    pub(super) fn new(arriving: Arc<dyn bus::Blobs>, kept: Blobs, early: Early) -> Keeper {
        let shelf = Arc::new(Shelf::new(kept.clone(), early));
        Keeper { arriving, kept, shelf, fetching: Semaphore::new(FETCHED_MAX) }
    }

    /// Keeps every blob of the event and takes its bytes out. The event's id does not depend on them. Returns results of
    /// verification that are known by then.
    pub(super) async fn keep(&self, envelope: &mut Envelope) -> Result<Vec<Verified>, KeepError> {
        let Event::AttestationAttached(attached) = &mut envelope.event else { return Ok(Vec::new()) };
        let found = attached.items.len();
        if found > EVIDENCE_ITEMS_MAX {
            let refusal = Refusal::TooManyItems { found, items_max: EVIDENCE_ITEMS_MAX };
            return Err(KeepError::Refused(refusal));
        }
        let (mut results, mut bytes_before) = (Vec::new(), 0_u64);
        for item in &attached.items {
            let arrived = Arrived::of(attached, item, bytes_before);
            results.extend(self.keep_one(&item.blob, arrived).await?);
            bytes_before = bytes_before.saturating_add(item.blob.size_bytes);
        }
        for item in &mut attached.items {
            item.blob.inline = None;
        }
        Ok(results)
    }

    async fn keep_one(
        &self,
        blob: &BlobRef,
        arrived: Option<Arrived>,
    ) -> Result<Option<Verified>, KeepError> {
        let refused = |refusal| Err(KeepError::Refused(refusal));
        if blob.size_bytes > BLOB_BYTES_MAX {
            return refused(Refusal::BlobTooLarge { bytes: blob.size_bytes, bytes_max: BLOB_BYTES_MAX });
        }
        let digest = blob.digest;
        let mut in_hand = None;
        let bytes = match blob.inline_bytes() {
            Ok(Some(bytes)) => bytes::Bytes::from(bytes),
            Ok(None) => {
                in_hand = self.fetching.acquire().await.ok();
                match self.fetch(&digest).await? {
                    Some(bytes) => bytes,
                    None => return Err(KeepError::Missing { digest }),
                }
            }
            Err(error) => return refused(Refusal::Inline(error)),
        };
        if bytes.len() as u64 != blob.size_bytes {
            let (stated, found) = (blob.size_bytes, bytes.len() as u64);
            return refused(Refusal::BlobSize { digest, stated, found });
        }
        let put = self.shelf.keep(digest, bytes, arrived).await;
        drop(in_hand);
        match put {
            Ok(verified) => Ok(verified),
            Err(ShelfError::Blob(BlobError::OtherDigest { .. })) => refused(Refusal::BlobTampered { digest }),
            Err(error) => Err(KeepError::Trouble(error_chain(&error))),
        }
    }

    /// The bytes from our own store, where an earlier event brought them, or from the bus.
    async fn fetch(&self, digest: &Digest) -> Result<Option<bytes::Bytes>, KeepError> {
        let (kept, wanted) = (self.kept.clone(), *digest);
        let own = tokio::task::spawn_blocking(move || kept.get(&wanted)).await;
        if let Ok(Ok(Some(bytes))) = own {
            return Ok(Some(bytes.into()));
        }
        let bytes_max = usize::try_from(BLOB_BYTES_MAX).unwrap_or(usize::MAX);
        match self.arriving.get(digest, bytes_max).await {
            Ok(bytes) => Ok(bytes),
            // An agent that cannot store under this hash must carry the bytes in the event.
            Err(BusError::BlobAlgorithm { .. }) => Ok(None),
            Err(BusError::BlobTampered { .. }) => {
                Err(KeepError::Refused(Refusal::BlobTampered { digest: *digest }))
            }
            Err(BusError::BlobTooLarge { bytes, bytes_max }) => {
                Err(KeepError::Refused(Refusal::BlobTooLarge { bytes, bytes_max }))
            }
            Err(error) => Err(KeepError::Trouble(error_chain(&error))),
        }
    }
}
