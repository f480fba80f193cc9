//! What the writer and the handles share: the open database and the known consumers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use redb::Database;

use super::owed::Owed;
use crate::bus::{BusError, Stream};

#[derive(Debug, Default)]
pub(super) struct Shared {
    slot: Mutex<Slot>,
    consumers: Mutex<BTreeMap<(Stream, String), Arc<Owed>>>,
    /// A simulation has no other thread.
    reads_on_the_spot: bool,
}

/// The database, or why there is none.
#[derive(Debug, Default)]
enum Slot {
    Open(Arc<Database>),
    /// The disk failed; the writer opens it again.
    Broken,
    #[default]
    Closed,
}

impl Shared {
    pub(super) fn reading_on_the_spot() -> Shared {
        Shared { reads_on_the_spot: true, ..Shared::default() }
    }

    /// Runs a read on a thread that may block.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, BusError> + Send + 'static,
    ) -> Result<T, BusError> {
        let database = self.database()?;
        if self.reads_on_the_spot {
            return read(&database);
        }
        let done = tokio::task::spawn_blocking(move || read(&database));
        done.await.map_err(|error| BusError::storage("read", error))?
    }

    pub(super) fn database(&self) -> Result<Arc<Database>, BusError> {
        match &*self.slot.lock().unwrap_or_else(PoisonError::into_inner) {
            Slot::Open(database) => Ok(database.clone()),
            Slot::Broken => {
                Err(BusError::storage("read", std::io::Error::other("the database is being opened again")))
            }
            Slot::Closed => Err(BusError::Closed),
        }
    }

    pub(super) fn open(&self, database: Arc<Database>) {
        self.set(Slot::Open(database));
    }

    pub(super) fn break_off(&self) {
        self.set(Slot::Broken);
    }

    pub(super) fn close(&self) {
        self.set(Slot::Closed);
    }

    fn set(&self, slot: Slot) {
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = slot;
    }

    pub(super) fn consumer(&self, stream: Stream, name: &str) -> Option<Arc<Owed>> {
        self.known().get(&(stream, name.to_owned())).cloned()
    }

    pub(super) fn add_consumer(&self, owed: Arc<Owed>) {
        let key = (owed.stream(), owed.name().to_owned());
        self.known().insert(key, owed);
    }

    pub(super) fn remove_consumer(&self, stream: Stream, name: &str) -> Option<Arc<Owed>> {
        self.known().remove(&(stream, name.to_owned()))
    }

    pub(super) fn consumers_of(&self, stream: Stream) -> Vec<Arc<Owed>> {
        self.known().values().filter(|owed| owed.stream() == stream).cloned().collect()
    }

    pub(super) fn wake_all(&self) {
        self.known().values().for_each(|owed| owed.wake());
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<(Stream, String), Arc<Owed>>> {
        self.consumers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
