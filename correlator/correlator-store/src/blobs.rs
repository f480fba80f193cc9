//! Blobs by their content: small ones next to each other in one file, large ones in a file each.
//!
//! A blob is durable before its digest is answered. What is read is hashed again: changed bytes are an error that names
//! both digests, never bytes.

mod files;
mod small;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bus_schema::Digest;

use files::Files;
use small::Small;

/// The largest blob.
pub const BLOB_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The largest blob that lies with others in one file: signatures and attestations are so small, SBOMs mostly not.
const SMALL_BYTES_MAX: usize = 64 * 1024;

/// The blobs of one data folder. Cloning gives another handle.
#[derive(Debug, Clone)]
pub struct Blobs {
    small: Arc<Small>,
    files: Files,
}

/// Why a blob could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("a blob has {bytes} bytes, the limit is {bytes_max}")]
    TooLarge { bytes: u64, bytes_max: u64 },
    #[error("the bytes have the digest {found}, not {expected}")]
    OtherDigest { expected: Digest, found: Box<Digest> },
    /// The bytes changed after they were written. Putting the same bytes again heals it.
    #[error("the blob {expected} is damaged: its bytes have the digest {found}")]
    Damaged { expected: Digest, found: Box<Digest> },
    #[error("write the blob {digest}: no space is left")]
    DiskFull { digest: Digest, source: io::Error },
    #[error("{doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{doing} {}", path.display())]
    Database { doing: &'static str, path: PathBuf, source: Arc<redb::Error> },
    #[error("a blob was put and nothing said that it is kept")]
    Unanswered,
    /// An unclean end or damage: a reader does not repair.
    #[error("{} cannot be read without repair: {reason}; start custody on this folder once", path.display())]
    NeedsRepair { path: PathBuf, reason: String },
}

impl Blobs {
    /// Opens (or creates) the blobs of a data folder, and removes what a crash left unfinished.
    pub(crate) fn open(data: &Path) -> Result<Blobs, BlobError> {
        let root = data.join("blobs");
        let files = Files::open(&root)?;
        Ok(Blobs { small: Arc::new(Small::open(&root)?), files })
    }

    /// The blobs of a data folder, to be read.
    pub(crate) fn open_read_only(data: &Path) -> Blobs {
        let root = data.join("blobs");
        Blobs { small: Arc::new(Small::open_read_only(&root)), files: Files::of(&root) }
    }

    /// Keeps bytes and returns their SHA-256 digest.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, BlobError> {
        let digest = Digest::sha256_of(bytes);
        self.put_as(&digest, bytes).map(|()| digest)
    }

    /// Keeps bytes that are said to have this digest.
    pub fn put_as(&self, digest: &Digest, bytes: &[u8]) -> Result<(), BlobError> {
        self.put_all(&[(*digest, bytes)]).pop().unwrap_or(Err(BlobError::Unanswered))
    }

    /// The same for many: the small ones wait for the disk once. What became of each, in their order.
    pub fn put_all(&self, blobs: &[(Digest, &[u8])]) -> Vec<Result<(), BlobError>> {
        let mut results = Vec::with_capacity(blobs.len());
        let mut together = Vec::new();
        for (digest, bytes) in blobs {
            let is_new = self.check_new(digest, bytes);
            results.push(match is_new {
                Ok(true) if bytes.len() <= SMALL_BYTES_MAX => {
                    together.push((*digest, *bytes));
                    Ok(true)
                }
                Ok(true) => self.files.put(digest, bytes).map(|()| false),
                Ok(false) => Ok(false),
                Err(error) => Err(error),
            });
        }
        let mut written = self.small.put_all(&together).into_iter();
        let is_done = |result| match result {
            Ok(true) => written.next().unwrap_or(Err(BlobError::Unanswered)),
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        results.into_iter().map(is_done).collect()
    }

    /// Whether these bytes are to be written: they are what they are said to be, and not there.
    fn check_new(&self, digest: &Digest, bytes: &[u8]) -> Result<bool, BlobError> {
        if bytes.len() > BLOB_BYTES_MAX {
            return Err(BlobError::TooLarge { bytes: bytes.len() as u64, bytes_max: BLOB_BYTES_MAX as u64 });
        }
        if !digest.matches(bytes) {
            return Err(BlobError::OtherDigest {
                expected: *digest,
                found: Box::new(digest_like(digest, bytes)),
            });
        }
        match self.small.get(digest) {
            Ok(Some(_)) => return Ok(false),
            Ok(None) | Err(BlobError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
        match self.files.get(digest) {
            Ok(Some(_)) => self.files.sync(digest).map(|()| false),
            Ok(None) | Err(BlobError::Damaged { .. } | BlobError::TooLarge { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The bytes with this digest, if they are kept.
    pub fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, BlobError> {
        match self.small.get(digest)? {
            Some(bytes) => Ok(Some(bytes)),
            None => self.files.get(digest),
        }
    }

    /// Whether something is kept for this digest; its content is checked when it is read.
    pub fn contains(&self, digest: &Digest) -> Result<bool, BlobError> {
        Ok(self.small.contains(digest)? || self.files.contains(digest)?)
    }

    /// Removes a blob, if it is there.
    pub fn remove(&self, digest: &Digest) -> Result<(), BlobError> {
        self.small.remove(digest)?;
        self.files.remove(digest)
    }
}

/// What was read, when it is what was asked for.
fn checked(digest: &Digest, bytes: Vec<u8>) -> Result<Vec<u8>, BlobError> {
    match digest.matches(&bytes) {
        true => Ok(bytes),
        false => Err(BlobError::Damaged { expected: *digest, found: Box::new(digest_like(digest, &bytes)) }),
    }
}

fn digest_like(digest: &Digest, bytes: &[u8]) -> Digest {
    match digest {
        Digest::Sha256(_) => Digest::sha256_of(bytes),
        Digest::Sha512(_) => Digest::sha512_of(bytes),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::fs;

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
        drop(blobs);
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
    fn small_ones_lie_together_and_large_ones_in_files_and_both_read_alike() {
        let (folder, blobs) = blobs();
        for bytes in [SMALL_BYTES_MAX, SMALL_BYTES_MAX + 1] {
            let digest = blobs.put(&vec![1; bytes]).unwrap();
            assert_eq!(blobs.files.path(&digest).exists(), bytes > SMALL_BYTES_MAX);
            assert_eq!(blobs.get(&digest).unwrap().map(|found| found.len()), Some(bytes));
            assert!(blobs.contains(&digest).unwrap());
            blobs.remove(&digest).unwrap();
            assert!(!blobs.contains(&digest).unwrap());
            blobs.put(&vec![1; bytes]).unwrap();
        }
        drop(blobs);
        let reader = Blobs::open_read_only(folder.path());
        for bytes in [SMALL_BYTES_MAX, SMALL_BYTES_MAX + 1] {
            assert!(reader.get(&Digest::sha256_of(&vec![1; bytes])).unwrap().is_some());
        }
    }

    #[test]
    fn of_many_each_has_its_own_result() {
        let (_folder, blobs) = blobs();
        blobs.put(b"there").unwrap();
        let large = vec![1; SMALL_BYTES_MAX + 1];
        let each: [(Digest, &[u8]); 5] = [
            (Digest::sha256_of(b"one"), b"one"),
            (Digest::sha256_of(b"there"), b"there"),
            (Digest::sha256_of(b"other"), b"bytes"),
            (Digest::sha256_of(&large), &large),
            (Digest::sha512_of(b"two"), b"two"),
        ];
        let results = blobs.put_all(&each);
        let refused = |result: &Result<(), BlobError>| matches!(result, Err(BlobError::OtherDigest { .. }));
        for (at, ((digest, bytes), result)) in each.iter().zip(&results).enumerate() {
            assert_eq!((result.is_ok(), refused(result)), (at != 2, at == 2));
            let found = blobs.get(digest).unwrap();
            assert_eq!(found.as_deref(), (at != 2).then_some(*bytes));
        }
        assert!(blobs.put_all(&[]).is_empty());
    }

    #[test]
    fn a_small_one_in_a_file_of_its_own_is_found_there() {
        let (_folder, blobs) = blobs();
        let digest = Digest::sha256_of(b"evidence");
        blobs.files.put(&digest, b"evidence").unwrap();
        blobs.put(b"evidence").unwrap();
        assert!(!blobs.small.contains(&digest).unwrap());
        assert_eq!(blobs.get(&digest).unwrap().as_deref(), Some(&b"evidence"[..]));
    }

    #[test]
    fn a_changed_file_is_an_error_at_every_byte_and_putting_heals_it() {
        let (_folder, blobs) = blobs();
        let evidence = vec![5; SMALL_BYTES_MAX + 1];
        let digest = blobs.put(&evidence).unwrap();
        let file = blobs.files.path(&digest);
        for offset in [0, 1, SMALL_BYTES_MAX - 1, SMALL_BYTES_MAX] {
            let mut bytes = evidence.clone();
            bytes[offset] ^= 1;
            fs::write(&file, &bytes).unwrap();
            let found = Digest::sha256_of(&bytes);
            let error = blobs.get(&digest).unwrap_err();
            assert!(matches!(error, BlobError::Damaged { found: ref f, .. } if **f == found), "{error}");
            blobs.put(&evidence).unwrap();
            assert_eq!(blobs.get(&digest).unwrap().as_ref(), Some(&evidence));
        }
    }

    #[test]
    fn changed_bytes_among_the_small_ones_are_an_error_and_putting_heals_them() {
        let (_folder, blobs) = blobs();
        let digest = blobs.put(b"evidence").unwrap();
        for offset in 0..8 {
            let mut bytes = b"evidence".to_vec();
            bytes[offset] ^= 1;
            blobs.small.put(&digest, &bytes).unwrap();
            let found = Digest::sha256_of(&bytes);
            let error = blobs.get(&digest).unwrap_err();
            assert!(matches!(error, BlobError::Damaged { found: ref f, .. } if **f == found), "{error}");
            blobs.put(b"evidence").unwrap();
            assert_eq!(blobs.get(&digest).unwrap().as_deref(), Some(&b"evidence"[..]));
        }
    }

    #[test]
    fn the_limit_holds_for_writing_and_for_reading() {
        let (_folder, blobs) = blobs();
        let most = vec![7; BLOB_BYTES_MAX];
        let digest = blobs.put(&most).unwrap();
        assert_eq!(blobs.get(&digest).unwrap().map(|bytes| bytes.len()), Some(BLOB_BYTES_MAX));
        assert!(matches!(blobs.put(&vec![7; BLOB_BYTES_MAX + 1]), Err(BlobError::TooLarge { .. })));
        let file = blobs.files.path(&digest);
        fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(1 << 40).unwrap();
        assert!(matches!(blobs.get(&digest), Err(BlobError::TooLarge { .. })));
    }
}
