//! The data folder of the correlator: one lock, one format, the log, the index and the blobs.
//!
//! In: the folder and the settings. Out: the open parts, and the entries of the log that the index lacks. A folder that
//! another process has open, or that another version wrote, is refused before anything in it is touched.

mod format;
mod lock;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use crate::blobs::{BlobError, Blobs};
use crate::durable;
use crate::index::{Index, IndexError};
use crate::log::{EvidenceLog, Identity, LogError, LogSettings};
use crate::replay::Replay;
use lock::FolderLock;

pub use lock::Holder;

const LOG_FOLDER: &str = "log";
const INDEX_FILE: &str = "index.redb";
const INDEX_CACHE_BYTES: usize = 32 * 1024 * 1024;

/// How a data folder is kept.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    pub log: LogSettings,
    /// The memory in which the index keeps pages that are hot.
    pub index_cache_bytes: usize,
    /// The format of the ledger's records: an index of another one is built anew from the log. Raise it whenever the
    /// same inputs lead to other records.
    pub records_format: u32,
}

impl Default for StoreSettings {
    fn default() -> StoreSettings {
        StoreSettings { log: LogSettings::default(), index_cache_bytes: INDEX_CACHE_BYTES, records_format: 1 }
    }
}

/// Why a data folder cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "the data folder {} is in use by another custody process{}: stop it, ask it through its API, or choose another \
         folder with --data",
        folder.display(), of_process(*process)
    )]
    InUse { folder: PathBuf, process: Option<u32> },
    #[error(
        "the data folder {} has format {found:?}, this version of custody reads format {expected}: use the version \
         that wrote it, or choose another folder with --data",
        folder.display()
    )]
    OtherFormat { folder: PathBuf, found: String, expected: u32 },
    #[error("there is no custody data in {}: start custody there first, or name another folder with --data", folder.display())]
    NotAStore { folder: PathBuf },
    #[error(
        "the evidence log in {} is gone, but an index of it is there: restore the log from a copy, or delete {} to \
         begin without what it held",
        log.display(), index.display()
    )]
    LogMissing { log: PathBuf, index: PathBuf },
    #[error("open the evidence log in {}", folder.display())]
    Log { folder: PathBuf, source: Box<LogError> },
    #[error("open the index {}", path.display())]
    Index { path: PathBuf, source: Box<IndexError> },
    #[error("open the blobs in {}", folder.display())]
    Blobs { folder: PathBuf, source: Box<BlobError> },
    #[error("{doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
}

fn of_process(process: Option<u32>) -> String {
    process.map(|process| format!(" (process {process})")).unwrap_or_default()
}

impl StoreError {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.to_owned();
        move |source| StoreError::Io { doing, path, source }
    }
}

/// An open data folder.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    log: EvidenceLog,
    index: Result<Index, IndexError>,
    blobs: Blobs,
    // Last, so that the folder is free only when everything else is closed.
    _lock: FolderLock,
}

impl Store {
    /// Opens the folder, or begins it. The caller then applies [`Store::pending_replay`] before anything else.
    pub fn open(folder: &Path, settings: StoreSettings) -> Result<Store, StoreError> {
        durable::create_folder(folder).map_err(StoreError::io("create", folder))?;
        let lock = FolderLock::exclusive(folder)?;
        let log_folder = folder.join(LOG_FOLDER);
        let index_path = folder.join(INDEX_FILE);
        format::check_or_mark(folder, &log_folder)?;
        let log_failed = |error| StoreError::Log { folder: log_folder.clone(), source: Box::new(error) };
        let has_log = Identity::load(&log_folder).map_err(log_failed)?.is_some();
        if !has_log && index_path.exists() {
            return Err(StoreError::LogMissing { log: log_folder, index: index_path });
        }
        let identity = EvidenceLog::identity_for_writing(&log_folder, &settings.log).map_err(log_failed)?;
        // Before an index that does not fit is deleted: what it is built from anew must be there.
        EvidenceLog::check_segments(&log_folder, &identity).map_err(log_failed)?;
        let index = Index::open(&index_path, &identity, settings.records_format, settings.index_cache_bytes)
            .map_err(|error| StoreError::Index { path: index_path, source: Box::new(error) })?;
        let log = EvidenceLog::open(&log_folder, settings.log, index.position()).map_err(log_failed)?;
        let blobs = Blobs::open(folder)
            .map_err(|error| StoreError::Blobs { folder: folder.to_owned(), source: Box::new(error) })?;
        Ok(Store { folder: folder.to_owned(), log, index: Ok(index), blobs, _lock: lock })
    }

    /// Refuses a folder of another version and touches nothing; one in which nothing began is fine.
    pub fn check_format(folder: &Path) -> Result<(), StoreError> {
        format::is_marked(folder, &folder.join(LOG_FOLDER)).map(|_| ())
    }

    /// Who has the folder to write in it, if anybody has.
    pub fn holder(folder: &Path) -> Result<Option<Holder>, StoreError> {
        Holder::of(folder)
    }

    /// Opens the folder to be read, while nothing writes to it. Nothing in it is changed; an index that needs repair is
    /// an error of [`Store::index`], small blobs that do are one of reading them, and the log can be read without both.
    pub fn open_read_only(folder: &Path, settings: &StoreSettings) -> Result<Store, StoreError> {
        let lock = FolderLock::shared(folder)?;
        format::check_only(folder)?;
        let log_folder = folder.join(LOG_FOLDER);
        let log_failed = |error| StoreError::Log { folder: log_folder.clone(), source: Box::new(error) };
        let identity = Identity::load(&log_folder)
            .map_err(log_failed)?
            .ok_or_else(|| StoreError::NotAStore { folder: folder.to_owned() })?;
        let path = folder.join(INDEX_FILE);
        let cache_bytes = settings.index_cache_bytes;
        let index = Index::open_read_only(&path, &identity, settings.records_format, cache_bytes);
        let durable_position = index.as_ref().map_or(0, Index::position);
        let log = EvidenceLog::open_read_only(&log_folder, durable_position).map_err(log_failed)?;
        let blobs = Blobs::open_read_only(folder);
        Ok(Store { folder: folder.to_owned(), log, index, blobs, _lock: lock })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn log(&self) -> &EvidenceLog {
        &self.log
    }

    /// The index. It is there in a store that was opened for writing.
    pub fn index(&self) -> Result<&Index, &IndexError> {
        self.index.as_ref()
    }

    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// The entries after the index's position, to be applied in order: at the start, and after [`Index::reopen`].
    /// Nothing is dispatched before they all are: receipts among them say what was done.
    pub fn pending_replay(&self) -> Replay {
        let position = self.index.as_ref().map_or(0, Index::position);
        Replay::new(self.log.read(position + 1))
    }
}
