//! Keeps and verifies the bytes of many events at once: what arrives together waits for the disk once, and is then verified
//! on as many threads as there are processors.
//!
//! In: bytes with their digest, and what they are as evidence. Out: when they are durable, what they are known to prove.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bus_schema::Digest;
use bytes::Bytes;
use correlator_core::facts::Verified;
use correlator_store::{BlobError, Blobs};
use tokio::sync::oneshot;

use super::early::{Arrived, Early};

/// A thread of its own is worth it for so many pieces of evidence.
const VERIFIED_BY_ONE_MIN: usize = 8;

/// See the module.
#[derive(Debug)]
pub(super) struct Shelf {
    kept: Blobs,
    early: Early,
    jobs: Mutex<Jobs>,
}

#[derive(Debug, Default)]
struct Jobs {
    waiting: Vec<Job>,
    is_working: bool,
}

#[derive(Debug)]
struct Job {
    digest: Digest,
    bytes: Bytes,
    arrived: Option<Arrived>,
    answer: oneshot::Sender<Result<Option<Verified>, BlobError>>,
}

/// Why bytes are not kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum ShelfError {
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error("keeping bytes was ended")]
    Ended,
}

impl Shelf {
    pub(super) fn new(kept: Blobs, early: Early) -> Shelf {
        Shelf { kept, early, jobs: Mutex::default() }
    }

    /// Returns when the bytes are durable.
    pub(super) async fn keep(
        self: &Arc<Shelf>,
        digest: Digest,
        bytes: Bytes,
        arrived: Option<Arrived>,
    ) -> Result<Option<Verified>, ShelfError> {
        let (answer, answered) = oneshot::channel();
        let begins = {
            let mut jobs = self.jobs();
            jobs.waiting.push(Job { digest, bytes, arrived, answer });
            !std::mem::replace(&mut jobs.is_working, true)
        };
        if begins {
            tokio::spawn(Working { shelf: Arc::clone(self), is_done: false }.work());
        }
        Ok(answered.await.map_err(|_| ShelfError::Ended)??)
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one that works, until nothing waits.
struct Working {
    shelf: Arc<Shelf>,
    is_done: bool,
}

impl Drop for Working {
    fn drop(&mut self) {
        if !self.is_done {
            // It was ended: whoever waits is told so, and the next begins anew.
            let mut jobs = self.shelf.jobs();
            jobs.waiting.clear();
            jobs.is_working = false;
        }
    }
}

impl Working {
    async fn work(mut self) {
        loop {
            // Others that are ready come along.
            tokio::task::yield_now().await;
            let jobs = {
                let mut jobs = self.shelf.jobs();
                if jobs.waiting.is_empty() {
                    jobs.is_working = false;
                    self.is_done = true;
                    return;
                }
                std::mem::take(&mut jobs.waiting)
            };
            self.do_all(jobs).await;
        }
    }

    async fn do_all(&self, jobs: Vec<Job>) {
        let (kept, early) = (self.shelf.kept.clone(), self.shelf.early.clone());
        // A thread that was ended answers nobody.
        let Ok(mut jobs) = tokio::task::spawn_blocking(move || put_all(&kept, jobs)).await else { return };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let at_once = jobs.len().div_ceil(threads).max(VERIFIED_BY_ONE_MIN);
        let mut verifying = Vec::new();
        while !jobs.is_empty() {
            let rest = jobs.split_off(jobs.len().min(at_once));
            let (early, part) = (early.clone(), std::mem::replace(&mut jobs, rest));
            verifying.push(tokio::task::spawn_blocking(move || verify_all(&early, part)));
        }
        for part in verifying {
            let _ = part.await;
        }
    }
}

/// Those whose bytes are durable now; the others are answered.
fn put_all(kept: &Blobs, jobs: Vec<Job>) -> Vec<Job> {
    let blobs: Vec<(Digest, &[u8])> = jobs.iter().map(|job| (job.digest, &job.bytes[..])).collect();
    let results = kept.put_all(&blobs);
    let mut durable = Vec::with_capacity(jobs.len());
    for (job, result) in jobs.into_iter().zip(results) {
        match result {
            Ok(()) => durable.push(job),
            // Whoever asked may be gone.
            Err(error) => _ = job.answer.send(Err(error)),
        }
    }
    durable
}

fn verify_all(early: &Early, jobs: Vec<Job>) {
    for Job { bytes, arrived, answer, .. } in jobs {
        let verified = arrived.as_ref().and_then(|arrived| early.verified(arrived, &bytes));
        let _ = answer.send(Ok(verified));
    }
}
