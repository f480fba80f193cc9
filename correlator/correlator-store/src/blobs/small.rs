//! Small blobs in one file, by their digest. Those that are put together wait for the disk once.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use bus_schema::Digest;
use redb::{
    Builder, Database, Durability, ReadOnlyDatabase, ReadTransaction, ReadableDatabase, TableDefinition,
    TableError,
};

use super::{BlobError, checked};
use crate::durable;
use crate::index::{is_damage, is_full, widen};

const FILE: &str = "small.redb";
/// By algorithm and hash.
const BLOBS: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("blobs");
/// Pages that are kept in memory: each blob is written once and read seldom.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// The file.
pub(super) struct Small {
    path: PathBuf,
    file: RwLock<File>,
}

enum File {
    Writable(Database),
    ReadOnly(ReadOnlyDatabase),
    /// There is none yet, and nobody writes one.
    Absent,
    /// A write failed: the database must be opened again before it is used again.
    Failed,
    NeedsRepair(String),
}

/// Bytes to keep under a key; nothing removes it.
type Change = (Vec<u8>, Option<Vec<u8>>);

impl fmt::Debug for Small {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Small").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Small {
    /// Opens the file, or begins it. One that is damaged is moved aside: what it held is missing, and is kept again when it
    /// is said again.
    pub(super) fn open(root: &Path) -> Result<Small, BlobError> {
        let path = root.join(FILE);
        let database = open(&path).map_err(|error| database_error("open", &path)(Arc::new(*error)))?;
        Ok(Small::with(path, File::Writable(database)))
    }

    pub(super) fn open_read_only(root: &Path) -> Small {
        let path = root.join(FILE);
        let file = match path.exists() {
            false => File::Absent,
            true => {
                let mut builder = Builder::new();
                builder.set_cache_size(CACHE_BYTES);
                match catch_unwind(AssertUnwindSafe(|| builder.open_read_only(&path))) {
                    Ok(Ok(database)) => File::ReadOnly(database),
                    Ok(Err(error)) => File::NeedsRepair(error.to_string()),
                    Err(_) => File::NeedsRepair("it is damaged".to_owned()),
                }
            }
        };
        Small::with(path, file)
    }

    fn with(path: PathBuf, file: File) -> Small {
        Small { path, file: RwLock::new(file) }
    }

    pub(super) fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, BlobError> {
        let Some(transaction) = self.begin_read()? else { return Ok(None) };
        let found = self.guarded("read", || {
            let table = transaction.open_table(BLOBS).map_err(widen)?;
            let value = table.get(key(digest).as_slice()).map_err(widen)?;
            Ok(value.map(|value| value.value().to_vec()))
        })?;
        found.map(|bytes| checked(digest, bytes)).transpose()
    }

    pub(super) fn contains(&self, digest: &Digest) -> Result<bool, BlobError> {
        let Some(transaction) = self.begin_read()? else { return Ok(false) };
        self.guarded("read", || {
            let table = transaction.open_table(BLOBS).map_err(widen)?;
            Ok(table.get(key(digest).as_slice()).map_err(widen)?.is_some())
        })
    }

    /// What became of each: all are written, or none.
    pub(super) fn put_all(&self, blobs: &[(Digest, &[u8])]) -> Vec<Result<(), BlobError>> {
        if blobs.is_empty() {
            return Vec::new();
        }
        let written =
            self.write(blobs.iter().map(|(digest, bytes)| (key(digest), Some(bytes.to_vec()))).collect());
        let failed = |digest: &Digest, source: Arc<redb::Error>| match &*source {
            redb::Error::Io(error) if is_full(&source) => {
                let source = io::Error::new(error.kind(), error.to_string());
                BlobError::DiskFull { digest: *digest, source }
            }
            _ => database_error("write", &self.path)(source),
        };
        blobs.iter().map(|(digest, _)| written.clone().map_err(|source| failed(digest, source))).collect()
    }

    pub(super) fn remove(&self, digest: &Digest) -> Result<(), BlobError> {
        match self.contains(digest)? {
            true => self.write(vec![(key(digest), None)]).map_err(database_error("write", &self.path)),
            false => Ok(()),
        }
    }

    /// Returns when the changes are durable.
    fn write(&self, changes: Vec<Change>) -> Result<(), Arc<redb::Error>> {
        self.open_again().map_err(|error| Arc::new(*error))?;
        let written = match &*self.file() {
            File::Writable(database) => unharmed(|| commit(database, changes)),
            _ => return Err(Arc::new(redb::Error::DatabaseClosed)),
        };
        if written.is_err() {
            let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
            *file = File::Failed;
        }
        written.map_err(|error| Arc::new(*error))
    }

    /// After a write failed, as on a full disk.
    fn open_again(&self) -> Result<(), Box<redb::Error>> {
        if matches!(*self.file(), File::Failed) {
            let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
            if matches!(*file, File::Failed) {
                *file = File::Writable(open(&self.path)?);
            }
        }
        Ok(())
    }

    fn begin_read(&self) -> Result<Option<ReadTransaction>, BlobError> {
        let failed = |error: Box<redb::Error>| database_error("read", &self.path)(Arc::new(*error));
        self.open_again().map_err(failed)?;
        let file = self.file();
        let begun = match &*file {
            File::Writable(database) => database.begin_read(),
            File::ReadOnly(database) => database.begin_read(),
            File::Absent => return Ok(None),
            File::Failed => return Err(failed(Box::new(redb::Error::DatabaseClosed))),
            File::NeedsRepair(reason) => {
                return Err(BlobError::NeedsRepair { path: self.path.clone(), reason: reason.clone() });
            }
        };
        begun.map(Some).map_err(|error| failed(widen(error)))
    }

    fn guarded<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce() -> Result<T, Box<redb::Error>>,
    ) -> Result<T, BlobError> {
        unharmed(work).map_err(|error| database_error(doing, &self.path)(Arc::new(*error)))
    }

    fn file(&self) -> RwLockReadGuard<'_, File> {
        self.file.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The database may panic on a file that was altered.
fn unharmed<T>(work: impl FnOnce() -> Result<T, Box<redb::Error>>) -> Result<T, Box<redb::Error>> {
    let damaged = || Box::new(redb::Error::Corrupted("the database cannot make sense of it".to_owned()));
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(damaged()))
}

fn open(path: &Path) -> Result<Database, Box<redb::Error>> {
    let begin = || {
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES);
        builder.set_check_integrity_on_open(false);
        let database = builder.create(path).map_err(widen)?;
        // On a full disk what is there can still be read: nothing is written that is there already.
        if !has_table(&database)? {
            let transaction = database.begin_write().map_err(widen)?;
            transaction.open_table(BLOBS).map_err(widen)?;
            transaction.commit().map_err(widen)?;
            durable::sync_parent(path).map_err(|error| Box::new(redb::Error::Io(error)))?;
        }
        Ok(database)
    };
    match unharmed(begin) {
        Err(error) if is_damage(&error) => {
            let aside = path.with_extension("redb.damaged");
            tracing::error!(
                file = %path.display(),
                aside = %aside.display(),
                "the small blobs are damaged and moved aside, what they held is missing until it is found again: {error}"
            );
            std::fs::rename(path, aside).map_err(|error| Box::new(redb::Error::Io(error)))?;
            unharmed(begin)
        }
        opened => opened,
    }
}

fn has_table(database: &Database) -> Result<bool, Box<redb::Error>> {
    match database.begin_read().map_err(widen)?.open_table(BLOBS) {
        Ok(_) => Ok(true),
        Err(TableError::TableDoesNotExist(_)) => Ok(false),
        Err(error) => Err(widen(error)),
    }
}

fn commit(database: &Database, changes: Vec<Change>) -> Result<(), Box<redb::Error>> {
    let mut transaction = database.begin_write().map_err(widen)?;
    transaction.set_durability(Durability::Immediate).map_err(widen)?;
    // Without it, the start after a crash walks the whole file.
    transaction.set_quick_repair(true);
    {
        let mut table = transaction.open_table(BLOBS).map_err(widen)?;
        for (key, bytes) in changes {
            match bytes {
                Some(bytes) => table.insert(key.as_slice(), bytes.as_slice()).map(|_| ()),
                None => table.remove(key.as_slice()).map(|_| ()),
            }
            .map_err(widen)?;
        }
    }
    transaction.commit().map_err(widen)
}

fn key(digest: &Digest) -> Vec<u8> {
    let algorithm = match digest {
        Digest::Sha256(_) => 1,
        Digest::Sha512(_) => 2,
    };
    [&[algorithm], digest.bytes()].concat()
}

fn database_error(doing: &'static str, path: &Path) -> impl FnOnce(Arc<redb::Error>) -> BlobError {
    let path = path.to_owned();
    move |source| BlobError::Database { doing, path, source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    impl Small {
        pub(in crate::blobs) fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<(), BlobError> {
            self.put_all(&[(*digest, bytes)]).pop().unwrap()
        }
    }

    fn put_all(small: &Small, numbers: std::ops::Range<usize>) -> Vec<Digest> {
        let each: Vec<Vec<u8>> =
            numbers.map(|number| vec![u8::try_from(number % 251).unwrap(); number]).collect();
        std::thread::scope(|scope| {
            let puts: Vec<_> = each
                .iter()
                .map(|bytes| {
                    scope.spawn(move || {
                        let digest = Digest::sha256_of(bytes);
                        small.put(&digest, bytes).unwrap();
                        assert_eq!(small.get(&digest).unwrap().as_ref(), Some(bytes));
                        digest
                    })
                })
                .collect();
            puts.into_iter().map(|put| put.join().unwrap()).collect()
        })
    }

    #[test]
    fn what_arrives_at_once_is_all_there() {
        let folder = tempfile::tempdir().unwrap();
        let small = Small::open(folder.path()).unwrap();
        let digests = put_all(&small, 0..200);
        // A crash: what was answered for is in the file, whoever holds it.
        let crashed = tempfile::tempdir().unwrap();
        std::fs::copy(folder.path().join(FILE), crashed.path().join(FILE)).unwrap();
        let reader = Small::open_read_only(crashed.path());
        assert!(matches!(reader.get(&digests[0]), Err(BlobError::NeedsRepair { .. })));
        drop(reader);
        for small in [Small::open(crashed.path()).unwrap(), small] {
            assert!(digests.iter().all(|digest| small.get(digest).unwrap().is_some()));
        }
    }

    #[test]
    fn after_a_failed_write_the_next_one_opens_the_file_again() {
        let folder = tempfile::tempdir().unwrap();
        let small = Small::open(folder.path()).unwrap();
        let digest = Digest::sha256_of(b"before");
        small.put(&digest, b"before").unwrap();
        *small.file.write().unwrap() = File::Absent;
        std::thread::scope(|scope| {
            let puts: Vec<_> = (0..20_u8)
                .map(|number| {
                    let small = &small;
                    scope.spawn(move || small.put(&Digest::sha256_of(&[number]), &[number]))
                })
                .collect();
            let results: Vec<_> = puts.into_iter().map(|put| put.join().unwrap()).collect();
            let failed = |result: &Result<(), BlobError>| matches!(result, Err(BlobError::Database { .. }));
            assert!(
                results.iter().any(failed) && results.iter().all(|result| result.is_ok() || failed(result))
            );
            for (number, result) in (0..20_u8).zip(results) {
                let is_kept = small.contains(&Digest::sha256_of(&[number])).unwrap();
                assert_eq!(is_kept, result.is_ok());
            }
        });
        *small.file.write().unwrap() = File::Failed;
        assert_eq!(small.get(&digest).unwrap().as_deref(), Some(&b"before"[..]));
        *small.file.write().unwrap() = File::Failed;
        small.put(&Digest::sha256_of(b"after"), b"after").unwrap();
        assert!(small.contains(&digest).unwrap());
    }

    #[test]
    fn a_damaged_file_is_moved_aside_and_a_reader_says_that_it_needs_repair() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), [7; 4096]).unwrap();
        let digest = Digest::sha256_of(b"evidence");
        let reader = Small::open_read_only(folder.path());
        assert!(matches!(reader.get(&digest), Err(BlobError::NeedsRepair { .. })));
        let small = Small::open(folder.path()).unwrap();
        assert_eq!(small.get(&digest).unwrap(), None);
        small.put(&digest, b"evidence").unwrap();
        assert_eq!(std::fs::read(folder.path().join("small.redb.damaged")).unwrap(), [7; 4096]);
        drop(small);
        let reader = Small::open_read_only(folder.path());
        assert_eq!(reader.get(&digest).unwrap().as_deref(), Some(&b"evidence"[..]));
        assert!(reader.put(&digest, b"evidence").is_err());
        let nothing = Small::open_read_only(&folder.path().join("elsewhere"));
        assert!(!nothing.contains(&digest).unwrap());
    }
}
