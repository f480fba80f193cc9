//! Blobs as files named by their content: `<data>/blobs/<algorithm>/ab/<hex>`.
//!
//! A blob is durable before its digest is answered. What is read is hashed again: a changed file is an error that
//! names both digests, never bytes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bus_schema::Digest;

use crate::durable;

/// The largest blob.
pub const BLOB_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The blobs of one data folder. Cloning gives another handle.
#[derive(Debug, Clone)]
pub struct Blobs {
    root: PathBuf,
    /// Where blobs are written before they have their name. No other part of the program uses it.
    arriving: PathBuf,
    next: Arc<AtomicU64>,
}

/// Why a blob could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("a blob has {bytes} bytes, the limit is {bytes_max}")]
    TooLarge { bytes: u64, bytes_max: u64 },
    #[error("the bytes have the digest {found}, not {expected}")]
    OtherDigest { expected: Digest, found: Box<Digest> },
    /// The file changed after it was written. Putting the same bytes again heals it.
    #[error("the blob {expected} is damaged: its file has the digest {found}")]
    Damaged { expected: Digest, found: Box<Digest> },
    #[error("write the blob {digest}: no space is left")]
    DiskFull { digest: Digest, source: io::Error },
    #[error("{doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
}

impl Blobs {
    /// Opens (or creates) the blobs of a data folder, and removes what a crash left unfinished.
    pub(crate) fn open(data: &Path) -> Result<Blobs, BlobError> {
        let blobs = Blobs::open_read_only(data);
        let prepare = || {
            match fs::remove_dir_all(&blobs.arriving) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            durable::create_folder(&blobs.root)?;
            durable::create_folder(&blobs.arriving)
        };
        prepare().map_err(|source| BlobError::Io { doing: "prepare", path: blobs.root.clone(), source })?;
        Ok(blobs)
    }

    /// The blobs of a data folder, to be read.
    pub(crate) fn open_read_only(data: &Path) -> Blobs {
        let root = data.join("blobs");
        Blobs { arriving: root.join("arriving"), root, next: Arc::default() }
    }

    /// Keeps bytes and returns their SHA-256 digest.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, BlobError> {
        let digest = Digest::sha256_of(bytes);
        self.put_as(&digest, bytes).map(|()| digest)
    }

    /// Keeps bytes that are said to have this digest.
    pub fn put_as(&self, digest: &Digest, bytes: &[u8]) -> Result<(), BlobError> {
        if bytes.len() > BLOB_BYTES_MAX {
            return Err(BlobError::TooLarge { bytes: bytes.len() as u64, bytes_max: BLOB_BYTES_MAX as u64 });
        }
        if !digest.matches(bytes) {
            return Err(BlobError::OtherDigest {
                expected: *digest,
                found: Box::new(digest_like(digest, bytes)),
            });
        }
        let path = self.path(digest);
        match self.get(digest) {
            // It was durable when it was first answered for; the name may not have been, when that was cut off.
            Ok(Some(_)) => return durable::sync_parent(&path).map_err(io_error("sync", &path)),
            Ok(None) | Err(BlobError::Damaged { .. } | BlobError::TooLarge { .. }) => {}
            Err(error) => return Err(error),
        }
        let arriving = self.arriving.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let keep = || {
            if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
                let algorithm = folder.parent().unwrap_or(&self.root);
                durable::create_folder(algorithm)?;
                durable::create_folder(folder)?;
            }
            durable::write_and_rename(&path, &arriving, bytes, durable::PUBLIC_MODE)
        };
        keep().map_err(|source| {
            // The error to report is the first one; a leftover is removed at the next start as well.
            let _ = fs::remove_file(&arriving);
            match durable::is_full(&source) {
                true => BlobError::DiskFull { digest: *digest, source },
                false => BlobError::Io { doing: "write", path: path.clone(), source },
            }
        })
    }

    /// The bytes with this digest, if they are kept.
    pub fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, BlobError> {
        let path = self.path(digest);
        let failed = |error| io_error("read", &path)(error);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let file_bytes = file.metadata().map_err(failed)?.len();
        if file_bytes > BLOB_BYTES_MAX as u64 {
            return Err(BlobError::TooLarge { bytes: file_bytes, bytes_max: BLOB_BYTES_MAX as u64 });
        }
        let mut bytes = Vec::new();
        file.take(BLOB_BYTES_MAX as u64).read_to_end(&mut bytes).map_err(failed)?;
        match digest.matches(&bytes) {
            true => Ok(Some(bytes)),
            false => {
                Err(BlobError::Damaged { expected: *digest, found: Box::new(digest_like(digest, &bytes)) })
            }
        }
    }

    /// Whether there is a file for this digest; its content is checked when it is read.
    pub fn contains(&self, digest: &Digest) -> Result<bool, BlobError> {
        let path = self.path(digest);
        path.try_exists().map_err(io_error("look for", &path))
    }

    /// Removes a blob, if it is there.
    pub fn remove(&self, digest: &Digest) -> Result<(), BlobError> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.root.join(digest.algorithm()).join(&hex[..2]).join(hex)
    }
}

fn digest_like(digest: &Digest, bytes: &[u8]) -> Digest {
    match digest {
        Digest::Sha256(_) => Digest::sha256_of(bytes),
        Digest::Sha512(_) => Digest::sha512_of(bytes),
    }
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BlobError {
    let path = path.to_owned();
    move |source| BlobError::Io { doing, path, source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn blobs() -> (tempfile::TempDir, Blobs) {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        (folder, blobs)
    }

    #[test]
    fn what_was_put_is_there_after_reopening_and_twice_is_once() {
        let (folder, blobs) = blobs();
        let digest = blobs.put(b"an attestation").unwrap();
        assert_eq!(blobs.put(b"an attestation").unwrap(), digest);
        let again = Blobs::open(folder.path()).unwrap();
        assert_eq!(again.get(&digest).unwrap().as_deref(), Some(&b"an attestation"[..]));
        assert!(again.contains(&digest).unwrap());
        again.remove(&digest).unwrap();
        again.remove(&digest).unwrap();
        assert_eq!(again.get(&digest).unwrap(), None);
        assert_eq!(fs::read_dir(folder.path().join("blobs/arriving")).unwrap().count(), 0);
    }

    #[test]
    fn both_algorithms_are_kept_apart() {
        let (_folder, blobs) = blobs();
        let long = Digest::sha512_of(b"x");
        blobs.put_as(&long, b"x").unwrap();
        assert_eq!(blobs.get(&long).unwrap().as_deref(), Some(&b"x"[..]));
        assert_eq!(blobs.get(&Digest::sha256_of(b"x")).unwrap(), None);
    }

    #[test]
    fn bytes_of_another_digest_are_refused() {
        let (_folder, blobs) = blobs();
        let error = blobs.put_as(&Digest::sha256_of(b"a"), b"b").unwrap_err();
        assert!(matches!(error, BlobError::OtherDigest { .. }), "{error}");
    }

    #[test]
    fn a_changed_file_is_an_error_at_every_byte_and_putting_heals_it() {
        let (folder, blobs) = blobs();
        let digest = blobs.put(b"evidence").unwrap();
        let file = folder.path().join("blobs/sha256").join(&digest.hex()[..2]).join(digest.hex());
        for offset in 0..8 {
            let mut bytes = b"evidence".to_vec();
            bytes[offset] ^= 1;
            fs::write(&file, &bytes).unwrap();
            let found = Digest::sha256_of(&bytes);
            let error = blobs.get(&digest).unwrap_err();
            assert!(matches!(error, BlobError::Damaged { found: ref f, .. } if **f == found), "{error}");
            blobs.put(b"evidence").unwrap();
            assert_eq!(blobs.get(&digest).unwrap().as_deref(), Some(&b"evidence"[..]));
        }
    }

    #[test]
    fn the_limit_holds_for_writing_and_for_reading() {
        let (folder, blobs) = blobs();
        let most = vec![7; BLOB_BYTES_MAX];
        let digest = blobs.put(&most).unwrap();
        assert_eq!(blobs.get(&digest).unwrap().map(|bytes| bytes.len()), Some(BLOB_BYTES_MAX));
        assert!(matches!(blobs.put(&vec![7; BLOB_BYTES_MAX + 1]), Err(BlobError::TooLarge { .. })));
        let file = folder.path().join("blobs/sha256").join(&digest.hex()[..2]).join(digest.hex());
        fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(1 << 40).unwrap();
        assert!(matches!(blobs.get(&digest), Err(BlobError::TooLarge { .. })));
    }
}
