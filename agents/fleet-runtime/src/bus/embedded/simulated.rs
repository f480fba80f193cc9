//! A bus for simulations: a task of the caller's runtime instead of a thread, and nothing of the machine.
//!
//! In: storage that the simulation may lose, blobs, a wall clock. Out: the same bus, whose every run under paused time is the
//! same. Only how it waits, where it writes and what it calls now are others; everything else is the code that runs on a disk.

use std::fmt::{self, Debug};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use redb::{Database, StorageBackend};

use super::tables::Opener;
use crate::bus::Blobs;

/// The bytes of a database. An error of it is the disk's.
pub trait Storage: Debug + Send + Sync {
    fn bytes(&self) -> io::Result<u64>;

    /// Reads exactly as much as fits; reading beyond the end is an error.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// What is new is zero.
    fn resize(&self, bytes: u64) -> io::Result<()>;

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// After it everything that was written before outlives a power failure.
    fn sync(&self) -> io::Result<()>;

    /// Begins with these bytes: they are there all, or none of them. It is how a file is put in its place.
    fn begin(&self, bytes: Vec<u8>) -> io::Result<()>;
}

/// What a simulated bus stands on.
#[derive(Clone)]
pub struct Simulated {
    pub storage: Arc<dyn Storage>,
    pub blobs: Arc<dyn Blobs>,
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Debug for Simulated {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Simulated").field("storage", &self.storage).finish_non_exhaustive()
    }
}

impl Simulated {
    pub(super) fn opener(&self, cache_bytes_max: usize) -> Opener {
        let storage = Arc::clone(&self.storage);
        Box::new(move || -> Result<Database, redb::Error> {
            if storage.bytes()? == 0 {
                storage.begin(made()?)?;
            }
            let backend = Backend(Arc::clone(&storage));
            Ok(Database::builder().set_cache_size(cache_bytes_max).create_with_backend(backend)?)
        })
    }
}

/// The bytes of a new database.
fn made() -> Result<Vec<u8>, redb::Error> {
    let draft = Arc::new(Draft::default());
    drop(Database::builder().create_with_backend(Backend(draft.clone()))?);
    Ok(std::mem::take(&mut *draft.lock()))
}

/// A database in the making.
#[derive(Debug, Default)]
struct Draft(Mutex<Vec<u8>>);

impl Draft {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of so many bytes.
    fn place(&self, offset: u64, bytes: usize) -> io::Result<Range<usize>> {
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let place = from..from.saturating_add(bytes);
        if place.end > self.lock().len() { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(place) }
    }
}

impl Storage for Draft {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.lock().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let place = self.place(offset, out.len())?;
        out.copy_from_slice(&self.lock()[place]);
        Ok(())
    }

    fn resize(&self, bytes: u64) -> io::Result<()> {
        self.lock().resize(usize::try_from(bytes).map_err(io::Error::other)?, 0);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let place = self.place(offset, bytes.len())?;
        self.lock()[place].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn begin(&self, bytes: Vec<u8>) -> io::Result<()> {
        *self.lock() = bytes;
        Ok(())
    }
}

/// Storage as the database wants it.
#[derive(Debug)]
struct Backend(Arc<dyn Storage>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.bytes()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.resize(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}
