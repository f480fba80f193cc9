//! Blobs as files named by their SHA-256: `<data>/blobs/sha256/ab/<hex>`.
//!
//! A blob is written beside its place, fsynced, renamed, and its folder fsynced, before its digest is answered. What
//! is read is hashed again: a changed file is an error that names both hashes, never bytes.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bus_schema::Digest;
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::folder::create_private;
use crate::bus::{BLOB_BYTES_MAX, Blobs, BusError};

/// Blobs that are written or read at once; with the size bound this bounds their memory.
const BLOBS_IN_FLIGHT_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct FileBlobs {
    files: Files,
    in_flight: Arc<Semaphore>,
}

#[derive(Clone, Debug)]
struct Files {
    root: PathBuf,
    unfinished: PathBuf,
    next: Arc<AtomicU64>,
}

impl FileBlobs {
    pub(super) fn open(data: &Path) -> Result<FileBlobs, BusError> {
        let blobs = data.join("blobs");
        let (root, unfinished) = (blobs.join("sha256"), blobs.join("unfinished"));
        let prepare = || -> std::io::Result<()> {
            // What a crash left half-written was never answered.
            match fs::remove_dir_all(&unfinished) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            create_private(&root)?;
            create_private(&unfinished)?;
            sync_folder(&blobs)?;
            sync_folder(data)
        };
        prepare().map_err(|error| BusError::storage("prepare the blobs folder", error))?;
        let files = Files { root, unfinished, next: Arc::default() };
        Ok(FileBlobs { files, in_flight: Arc::new(Semaphore::new(BLOBS_IN_FLIGHT_MAX)) })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(Files) -> Result<T, BusError> + Send + 'static,
    ) -> Result<T, BusError> {
        let permit = self.in_flight.clone().acquire_owned().await.map_err(|_| BusError::Closed)?;
        let files = self.files.clone();
        // The permit goes with the work, which goes on when the caller no longer waits.
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(files)
        });
        done.await.map_err(|error| BusError::storage("work on a blob", error))?
    }
}

#[async_trait]
impl Blobs for FileBlobs {
    async fn put(&self, bytes: Bytes) -> Result<Digest, BusError> {
        if bytes.len() > BLOB_BYTES_MAX {
            let (bytes, bytes_max) = (bytes.len() as u64, BLOB_BYTES_MAX as u64);
            return Err(BusError::BlobTooLarge { bytes, bytes_max });
        }
        self.blocking(move |files| files.put(&bytes)).await
    }

    async fn get(&self, digest: &Digest, bytes_max: usize) -> Result<Option<Bytes>, BusError> {
        let digest = *digest;
        self.blocking(move |files| files.get(digest, bytes_max.min(BLOB_BYTES_MAX) as u64)).await
    }

    async fn exists(&self, digest: &Digest) -> Result<bool, BusError> {
        let digest = *digest;
        let exists = move |files: Files| {
            files.path(digest)?.try_exists().map_err(|error| BusError::storage("look for a blob", error))
        };
        self.blocking(exists).await
    }
}

impl Files {
    fn path(&self, digest: Digest) -> Result<PathBuf, BusError> {
        if !matches!(digest, Digest::Sha256(_)) {
            return Err(BusError::BlobAlgorithm { digest });
        }
        let hex = digest.hex();
        Ok(self.root.join(&hex[..2]).join(hex))
    }

    fn put(&self, bytes: &[u8]) -> Result<Digest, BusError> {
        let digest = Digest::sha256_of(bytes);
        let path = self.path(digest)?;
        let folder = path.parent().unwrap_or(&self.root).to_owned();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.unfinished.join(format!("{number}"));
        let write = || -> std::io::Result<()> {
            if holds(&path, bytes)? {
                return sync_folder(&folder);
            }
            let mut file = File::create(&unfinished)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            if !folder.exists() {
                create_private(&folder)?;
                sync_folder(&self.root)?;
            }
            fs::rename(&unfinished, &path)?;
            sync_folder(&folder)
        };
        write().map(|()| digest).map_err(|error| {
            // A leftover is removed at the next start as well.
            let _ = fs::remove_file(&unfinished);
            BusError::storage("write a blob", error)
        })
    }

    fn get(&self, digest: Digest, bytes_max: u64) -> Result<Option<Bytes>, BusError> {
        let failed = |error| BusError::storage("read a blob", error);
        let file = match File::open(self.path(digest)?) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > bytes_max {
            return Err(BusError::BlobTooLarge { bytes: bytes.len() as u64, bytes_max });
        }
        let found = Digest::sha256_of(&bytes);
        match found == digest {
            true => Ok(Some(Bytes::from(bytes))),
            false => Err(BusError::BlobTampered { expected: Box::new(digest), found: Box::new(found) }),
        }
    }
}

/// Whether the file is there with exactly these bytes; a damaged one is written again.
fn holds(path: &Path, bytes: &[u8]) -> std::io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    file.take(bytes.len() as u64 + 1).read_to_end(&mut found)?;
    Ok(found == bytes)
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}
