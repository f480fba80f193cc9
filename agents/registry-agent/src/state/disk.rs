//! A disk for tests that is full when it is told so.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, Database, StorageBackend};

use super::{FILE, State, StateError};

/// The switch of a disk; cloning gives another handle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    is_full: Arc<AtomicBool>,
}

impl Disk {
    pub(crate) fn fill(&self) {
        self.is_full.store(true, Ordering::SeqCst);
    }

    pub(crate) fn make_room(&self) {
        self.is_full.store(false, Ordering::SeqCst);
    }

    /// The state of a folder on this disk.
    pub(crate) fn open(&self, folder: &Path) -> Result<State, StateError> {
        std::fs::create_dir_all(folder).unwrap();
        let (disk, path) = (self.clone(), folder.join(FILE));
        let opened = path.clone();
        State::open_by(
            path,
            Box::new(move || {
                let mut options = std::fs::OpenOptions::new();
                let file = options.create(true).truncate(false).read(true).write(true).open(&opened).unwrap();
                let file = OnDisk { file: FileBackend::new(file).unwrap(), disk: disk.clone() };
                Database::builder().create_with_backend(file).map_err(|source| StateError::Open {
                    path: FILE.to_owned(),
                    source: Box::new(source.into()),
                })
            }),
        )
    }

    fn room(&self) -> Result<(), std::io::Error> {
        match self.is_full.load(Ordering::SeqCst) {
            true => Err(std::io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

#[derive(Debug)]
struct OnDisk {
    file: FileBackend,
    disk: Disk,
}

impl StorageBackend for OnDisk {
    fn len(&self) -> Result<u64, std::io::Error> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.disk.room().and_then(|()| self.file.set_len(len))
    }
    fn sync_data(&self) -> Result<(), std::io::Error> {
        self.disk.room().and_then(|()| self.file.sync_data())
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        self.disk.room().and_then(|()| self.file.write(offset, data))
    }
    fn close(&self) -> Result<(), std::io::Error> {
        self.file.close()
    }
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }
    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}
