//! One writer per data folder: a lock on a file in it, which ends with the process however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

use super::StoreError;

const LOCK_FILE: &str = "lock";
const HOLDER_BYTES_MAX: u64 = 32;

/// The lock, held as long as this lives.
#[derive(Debug)]
pub(super) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Locks the folder against every other opener.
    pub(super) fn exclusive(folder: &Path) -> Result<FolderLock, StoreError> {
        let path = folder.join(LOCK_FILE);
        let failed = StoreError::io("open", &path);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        check(file.try_lock(), &file, folder, &path)?;
        // For the message that a second opener gets; the lock does not depend on it.
        let _ = file.set_len(0).and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
        Ok(FolderLock { _file: file })
    }

    /// Locks the folder against writers.
    pub(super) fn shared(folder: &Path) -> Result<FolderLock, StoreError> {
        let path = folder.join(LOCK_FILE);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::NotAStore { folder: folder.to_owned() });
            }
            Err(error) => return Err(StoreError::io("open", &path)(error)),
        };
        check(file.try_lock_shared(), &file, folder, &path)?;
        Ok(FolderLock { _file: file })
    }
}

/// Who has the folder to write in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The process, as far as its lock file says it.
    pub process: Option<u32>,
}

impl Holder {
    pub(super) fn of(folder: &Path) -> Result<Option<Holder>, StoreError> {
        match FolderLock::shared(folder) {
            Ok(_) | Err(StoreError::NotAStore { .. }) => Ok(None),
            Err(StoreError::InUse { process, .. }) => Ok(Some(Holder { process })),
            Err(error) => Err(error),
        }
    }
}

fn check(
    locked: Result<(), TryLockError>,
    file: &File,
    folder: &Path,
    path: &Path,
) -> Result<(), StoreError> {
    match locked {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            Err(StoreError::InUse { folder: folder.to_owned(), process: holder(file) })
        }
        Err(TryLockError::Error(error)) => Err(StoreError::io("lock", path)(error)),
    }
}

/// The process that wrote its id into the lock file, as far as it can be read.
fn holder(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(HOLDER_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
