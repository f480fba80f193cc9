//! The index's file: opened when it fits, deleted and begun anew when it does not.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use redb::{
    Builder, Database, DatabaseError, Durability, ReadOnlyDatabase, ReadTransaction, ReadableDatabase,
};

use super::Snapshot;
use super::error::{IndexError, is_damage, is_full, widen};
use super::layout::Tree;
use super::tables::{self, META, META_FORMAT, META_LOG};
use crate::durable;

/// An index of at most this size is checked page by page when it is opened; a larger one would keep the start waiting,
/// and its damage is found when it is read.
const INDEX_CHECK_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Where the index is and what it must be.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) format: String,
    /// Log id and generation.
    pub(super) log: String,
    pub(super) cache_bytes: usize,
}

/// The open database.
pub(super) enum File {
    Writable(Database),
    ReadOnly(ReadOnlyDatabase),
}

/// How the index was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// It goes on from its position.
    Continued,
    /// There was none.
    Absent,
    /// It was deleted, for this reason, and begins anew.
    Deleted { reason: String },
}

impl File {
    pub(super) fn begin_read(&self) -> Result<ReadTransaction, Box<redb::Error>> {
        match self {
            File::Writable(database) => database.begin_read().map_err(widen),
            File::ReadOnly(database) => database.begin_read().map_err(widen),
        }
    }

    /// Ends the database at once, snapshots that are alive included.
    pub(super) fn close(self) -> Result<(), Box<redb::Error>> {
        match self {
            File::Writable(database) => database.close().map_err(widen),
            File::ReadOnly(database) => database.close().map_err(widen),
        }
    }
}

impl Place {
    pub(super) fn failed(&self, doing: &'static str, source: Box<redb::Error>) -> IndexError {
        if is_damage(&source) {
            self.mark_damaged(&source.to_string());
        }
        let path = self.path.clone();
        match is_full(&source) {
            true => IndexError::DiskFull { doing, path, source },
            false => IndexError::Database { doing, path, source },
        }
    }

    /// Damage that was met while reading is remembered beside the file: the next start begins the index anew.
    pub(super) fn mark_damaged(&self, reason: &str) {
        tracing::error!(index = %self.path.display(), "the index is damaged and is built anew at the next start: {reason}");
        if let Err(error) =
            durable::write_file(&self.damage_marker(), reason.as_bytes(), durable::PUBLIC_MODE)
        {
            tracing::error!(index = %self.path.display(), "failed to mark the index as damaged: {error}");
        }
    }

    fn damage_marker(&self) -> PathBuf {
        self.path.with_extension("redb.damaged")
    }

    /// Opens the index, or begins it anew.
    pub(super) fn open(self: &Arc<Place>) -> Result<(File, Started), IndexError> {
        let started = match self.open_existing() {
            Ok(Some(database)) => return Ok((File::Writable(database), Started::Continued)),
            Ok(None) => Started::Absent,
            Err(Unfit::Deletable(reason)) => {
                tracing::warn!(
                    index = %self.path.display(),
                    "the index is deleted and built anew from the evidence log: {reason}"
                );
                Started::Deleted { reason }
            }
            Err(Unfit::Failed(error)) => return Err(error),
        };
        Ok((File::Writable(self.create()?), started))
    }

    /// Opens the index to be read; an index that does not fit is left as it is.
    pub(super) fn open_read_only(self: &Arc<Place>) -> Result<File, IndexError> {
        let needs_repair = |reason: String| IndexError::NeedsRepair { path: self.path.clone(), reason };
        if self.damage_marker().exists() {
            return Err(needs_repair("it is damaged".to_owned()));
        }
        let mut builder = Builder::new();
        builder.set_cache_size(self.cache_bytes);
        let opened = catch_unwind(AssertUnwindSafe(|| builder.open_read_only(&self.path)));
        let database = match opened {
            Ok(Ok(database)) => database,
            Ok(Err(error)) => {
                return Err(match self.unfit(error) {
                    Unfit::Deletable(reason) => needs_repair(reason),
                    Unfit::Failed(error) => error,
                });
            }
            Err(_) => return Err(needs_repair("it is damaged".to_owned())),
        };
        let file = File::ReadOnly(database);
        match self.check(&file) {
            Ok(()) => Ok(file),
            Err(reason) => Err(needs_repair(reason)),
        }
    }

    fn open_existing(self: &Arc<Place>) -> Result<Option<Database>, Unfit> {
        if self.damage_marker().exists() {
            return Err(Unfit::Deletable("damage was found while it was read".to_owned()));
        }
        let file_bytes = match fs::metadata(&self.path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Unfit::Failed(self.failed("open", widen(error)))),
        };
        let mut builder = Builder::new();
        builder.set_cache_size(self.cache_bytes);
        builder.set_check_integrity_on_open(file_bytes <= INDEX_CHECK_BYTES_MAX);
        // The database may panic on a file that was altered.
        let opened = catch_unwind(AssertUnwindSafe(|| builder.open(&self.path)));
        let database = match opened {
            Ok(Ok(database)) => database,
            Ok(Err(error)) => return Err(self.unfit(error)),
            Err(_) => return Err(Unfit::Deletable("the database cannot make sense of it".to_owned())),
        };
        let file = File::Writable(database);
        self.check(&file).map_err(Unfit::Deletable)?;
        match file {
            File::Writable(database) => Ok(Some(database)),
            File::ReadOnly(_) => Ok(None),
        }
    }

    fn unfit(&self, error: DatabaseError) -> Unfit {
        let error = widen(error);
        match *error {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
                Unfit::Failed(IndexError::InUse { path: self.path.clone() })
            }
            _ if is_damage(&error) => Unfit::Deletable(error.to_string()),
            _ => Unfit::Failed(self.failed("open", error)),
        }
    }

    /// Whether an open file is an index of this format and this log; else the reason.
    fn check(self: &Arc<Place>, file: &File) -> Result<(), String> {
        let transaction = file.begin_read().map_err(|error| error.to_string())?;
        let snapshot = Snapshot::of_file(self.clone(), transaction).map_err(|error| error.to_string())?;
        snapshot.check_tables().map_err(|error| error.to_string())?;
        snapshot.gathered().map_err(|error| error.to_string())?;
        for (key, expected) in [(META_FORMAT, &self.format), (META_LOG, &self.log)] {
            let found = snapshot.meta(key).map_err(|error| error.to_string())?.unwrap_or_default();
            if found != expected.as_bytes() {
                let found: String = String::from_utf8_lossy(&found).chars().take(100).collect();
                return Err(format!("its {key} is {found:?}, not {expected:?}"));
            }
        }
        Ok(())
    }

    fn create(&self) -> Result<Database, IndexError> {
        for path in [&self.path, &self.damage_marker()] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.failed("delete", widen(error)));
                }
                _ => {}
            }
        }
        self.create_tables().map_err(|error| self.failed("create", error))
    }

    fn create_tables(&self) -> Result<Database, Box<redb::Error>> {
        let database = Builder::new().set_cache_size(self.cache_bytes).create(&self.path).map_err(widen)?;
        let mut transaction = database.begin_write().map_err(widen)?;
        transaction.set_durability(Durability::Immediate).map_err(widen)?;
        transaction.set_quick_repair(true);
        {
            for tree in Tree::all() {
                transaction.open_table(tables::tree(tree)).map_err(widen)?;
            }
            let mut meta = transaction.open_table(META).map_err(widen)?;
            for (key, value) in [(META_FORMAT, &self.format), (META_LOG, &self.log)] {
                meta.insert(key, value.as_bytes()).map_err(widen)?;
            }
        }
        transaction.commit().map_err(widen)?;
        durable::sync_parent(&self.path).map_err(widen)?;
        Ok(database)
    }
}

enum Unfit {
    /// The file is no index for us: it can be deleted, the log has everything.
    Deletable(String),
    Failed(IndexError),
}
