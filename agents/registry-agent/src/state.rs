//! What the agent must not forget: tags, polls, coverage, and what it has decided and not yet said.
//!
//! In: changes. Out: events that are durable before anybody is told that they will be said. One file (redb) in the
//! agent's own data folder. A change, the state it leads to, the events it means and the digests to look at are one
//! commit: a crash loses none of them and doubles none. It judges nothing.

mod batch;
mod file;
mod record;
mod tables;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fleet_runtime::database;
use redb::{Database, ReadableDatabase, WriteTransaction};

use file::{Opener, StateFile};

pub(crate) use batch::{Batch, LOOK_UPS_MAX, Waiting};
pub(crate) use record::{Denials, OpenGap, RegistryRecord, RepositoryRecord, WholePoll};
pub(crate) use tables::View;

const FILE: &str = "registry-agent.redb";
const CACHE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The agent's durable state.
#[derive(Debug, Clone)]
pub(crate) struct State {
    file: Arc<StateFile>,
}

/// Why the state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("the state file {path} cannot be opened")]
    Open { path: String, source: Box<redb::Error> },
    #[error("the folder {path} cannot be made")]
    Folder { path: String, source: std::io::Error },
    #[error(
        "the state file {path} has format {found}, this version reads format {expected}: use the version that wrote it, or \
         choose another folder with --data"
    )]
    Format { path: String, found: u64, expected: u64 },
    #[error("the state cannot be read or written")]
    Database(#[source] Box<redb::Error>),
    #[error("a record of the state cannot be read")]
    Record(#[from] serde_json::Error),
    #[error("a key of the state cannot be read")]
    Key(#[from] bus_schema::ParseError),
    #[error("{what} are more than {count_max}")]
    Full { what: &'static str, count_max: u64 },
    #[error("the work on the state was stopped")]
    Stopped,
}

/// redb has one error type per kind of call.
macro_rules! from_redb {
    ($($error:ty),+) => {
        $(impl From<$error> for StateError {
            fn from(error: $error) -> StateError {
                StateError::Database(Box::new(error.into()))
            }
        })+
    };
}
from_redb!(redb::TransactionError, redb::TableError, redb::StorageError, redb::CommitError);

impl StateError {
    fn other_format(path: &Path, found: u64) -> StateError {
        StateError::Format { path: path.display().to_string(), found, expected: tables::FORMAT }
    }
}

impl State {
    /// Opens or makes the state in `folder`. Another process that has it open makes this fail.
    pub(crate) fn open(folder: &Path) -> Result<State, StateError> {
        std::fs::create_dir_all(folder)
            .map_err(|source| StateError::Folder { path: folder.display().to_string(), source })?;
        let path = folder.join(FILE);
        let opened = path.clone();
        State::open_by(path, Box::new(move || open_database(&opened)))
    }

    /// `path` is for messages.
    fn open_by(path: PathBuf, opener: Opener) -> Result<State, StateError> {
        let opener = Box::new(move || {
            let database = opener()?;
            write(&database, |batch| batch.check_format(&path))?;
            Ok(database)
        });
        Ok(State { file: Arc::new(StateFile::open(opener)?) })
    }

    /// Fails with `Format` when another version wrote the state in `folder`, and touches nothing. What cannot be read
    /// without writing (no state, one in use, one that a crash left) is fine here: opening it decides.
    pub(crate) fn check_format(folder: &Path) -> Result<(), StateError> {
        let path = folder.join(FILE);
        let Ok(database) = Database::builder().set_cache_size(CACHE_BYTES_MAX).open_read_only(&path) else {
            return Ok(());
        };
        match tables::format(&database.begin_read()?)? {
            None | Some(tables::FORMAT) => Ok(()),
            Some(found) => Err(StateError::other_format(&path, found)),
        }
    }

    /// Changes the state, durably, in one commit; an error leaves it as it was.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Batch<'_>) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        self.work(move |database| write(database, change)).await
    }

    /// Reads a consistent view.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&tables::View) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        self.work(move |database| read(&tables::View::open(&database.begin_read()?)?)).await
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        let file = self.file.clone();
        tokio::task::spawn_blocking(move || file.with(work)).await.map_err(|_| StateError::Stopped)?
    }
}

fn open_database(path: &Path) -> Result<Database, StateError> {
    database::open(path, CACHE_BYTES_MAX)
        .map_err(|source| StateError::Open { path: path.display().to_string(), source: Box::new(source) })
}

fn write<T>(
    database: &Database,
    change: impl FnOnce(&mut Batch<'_>) -> Result<T, StateError>,
) -> Result<T, StateError> {
    let mut transaction: WriteTransaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    let done = {
        let mut batch = Batch::open(&transaction)?;
        change(&mut batch)?
    };
    transaction.commit()?;
    Ok(done)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
pub(crate) mod disk;
#[cfg(test)]
mod tests;
