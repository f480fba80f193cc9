//! The open state file: after a failed write it takes nothing more (redb refuses all that follows) until it is opened again.
//!
//! In: work on the database. Out: its result. A failure of the disk closes the file, and whoever comes next opens it.

use std::sync::{PoisonError, RwLock};

use redb::Database;

use super::StateError;

/// Opens the database and checks its format.
pub(super) type Opener = Box<dyn Fn() -> Result<Database, StateError> + Send + Sync>;

pub(super) struct StateFile {
    opener: Opener,
    /// Work holds it shared, so that nobody reads or writes while it is closed.
    database: RwLock<Option<Database>>,
}

impl StateFile {
    pub(super) fn open(opener: Opener) -> Result<StateFile, StateError> {
        let database = RwLock::new(Some(opener()?));
        Ok(StateFile { opener, database })
    }

    /// Runs work on the database. Blocks.
    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        self.open_again()?;
        let done = match &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
            Some(database) => work(database),
            // Other work has failed in between.
            None => Err(StateError::Stopped),
        };
        if let Err(StateError::Database(error)) = &done {
            tracing::error!(
                error = fleet_runtime::error_chain(error),
                "the state failed, it is opened again"
            );
            self.close();
        }
        done
    }

    fn open_again(&self) -> Result<(), StateError> {
        if self.database.read().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.is_none() {
            *database = Some((self.opener)()?);
        }
        Ok(())
    }

    fn close(&self) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl std::fmt::Debug for StateFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("StateFile").finish_non_exhaustive()
    }
}
