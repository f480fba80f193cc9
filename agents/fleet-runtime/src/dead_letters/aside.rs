//! Letters for which the bus has no room: kept in a folder of this machine until it has, so that what is
//! behind them goes on.
//!
//! In: letters with their ids, each durable when this returns. Out: the same, oldest first. The folder is
//! bounded in bytes and letters, and refuses beyond: then what could not be understood stays where it came from.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::bus::BusError;

/// The default bound of the letters that wait, in bytes.
pub const BYTES_MAX: u64 = 256 << 20;
/// Letters that wait: their names are in memory, and each takes a block of the disk, however short it is.
const LETTERS_MAX: usize = 1 << 16;
/// The ending of a letter that is not whole.
const UNFINISHED: &str = ".new";
/// The ending of one that cannot be read: it stays for people to look at, and holds up none behind it.
const UNREADABLE: &str = ".unreadable";

/// The folder of letters that wait for the bus.
#[derive(Clone, Debug)]
pub struct Aside {
    folder: Arc<Path>,
    bytes_max: u64,
    letters_max: usize,
    waiting: Arc<Mutex<Waiting>>,
}

/// What waits, and why. It is what the folder holds: only the beginning lists that.
#[derive(Debug, Default)]
struct Waiting {
    letters: Letters,
    bytes: u64,
    reason: String,
}

/// The bytes of each letter by its file's name, which begins with the time of the letter: the oldest is the first.
type Letters = BTreeMap<String, u64>;

/// A letter that waits, by the name of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waits {
    name: String,
}

impl Waits {
    /// The id under which it is published.
    pub(super) fn id(&self) -> &str {
        self.name.split_once('.').map_or(&self.name, |(_, id)| id)
    }
}

impl Aside {
    /// Opens a folder, which is made with the first letter. Nobody else writes to it.
    pub async fn open(folder: PathBuf, bytes_max: u64) -> Result<Aside, BusError> {
        let reason = "the dead letters were full before this process began".to_owned();
        let folder: Arc<Path> = folder.into();
        let looked_at = Arc::clone(&folder);
        let letters = blocking("look for letters that wait", move || left_in(&looked_at)).await?;
        let waiting = Waiting { bytes: letters.values().sum(), letters, reason };
        let waiting = Arc::new(Mutex::new(waiting));
        Ok(Aside { folder, bytes_max, letters_max: LETTERS_MAX, waiting })
    }

    /// Why letters wait here, and how many; nothing when none does.
    pub fn says(&self) -> Option<String> {
        let waiting = self.waiting();
        let Waiting { letters, bytes, reason } = &*waiting;
        let (count, folder) = (letters.len(), self.folder.display());
        (count > 0).then(|| format!("{reason}: {count} letters ({bytes} bytes) wait in {folder}"))
    }

    /// Keeps a letter. The same id again is the same letter.
    pub(super) async fn put(
        &self,
        id: &str,
        first_seen: Timestamp,
        letter: Vec<u8>,
        why: &BusError,
    ) -> Result<(), BusError> {
        let name = format!("{:020}.{id}", first_seen.as_microsecond());
        let bytes = letter.len() as u64;
        if let Some(bound) = self.bound_reached(bytes) {
            let folder = self.folder.display();
            let what = format!("{why}, and the folder {folder} of letters that wait for it");
            return Err(BusError::Full { what, bound, held_by: None });
        }
        let (folder, path) = (Arc::clone(&self.folder), self.folder.join(&name));
        let is_new = blocking("keep a letter", move || write(&folder, &path, &letter)).await?;
        let mut waiting = self.waiting();
        waiting.reason = why.to_string();
        if is_new {
            waiting.letters.insert(name, bytes);
            waiting.bytes += bytes;
            if waiting.letters.len() == 1 {
                tracing::error!(
                    reason = waiting.reason,
                    folder = %self.folder.display(),
                    "letters are kept in a folder of this machine, until the dead letters have room"
                );
            }
        }
        Ok(())
    }

    /// The bound that keeps a letter of so many bytes out.
    fn bound_reached(&self, bytes: u64) -> Option<String> {
        let waiting = self.waiting();
        if waiting.bytes.saturating_add(bytes) > self.bytes_max {
            return Some(format!("{} bytes", self.bytes_max));
        }
        (waiting.letters.len() >= self.letters_max).then(|| format!("{} letters", self.letters_max))
    }

    /// The oldest that wait.
    pub(super) fn oldest(&self, letters_max: usize) -> Vec<Waits> {
        let waiting = self.waiting();
        waiting.letters.keys().take(letters_max).map(|name| Waits { name: name.clone() }).collect()
    }

    /// Its bytes; `None` where a person has removed it.
    pub(super) async fn read(&self, waits: &Waits) -> Result<Option<Vec<u8>>, BusError> {
        let path = self.path(waits);
        blocking("read a letter that waits", move || there(fs::read(path))).await
    }

    /// The bus has it.
    pub(super) async fn remove(&self, waits: &Waits) -> Result<(), BusError> {
        let path = self.path(waits);
        blocking("remove a letter that waited", move || there(fs::remove_file(path))).await?;
        if self.forget(waits) == 0 {
            tracing::info!("the dead letters have room again, no letter waits");
        }
        Ok(())
    }

    /// It cannot be read.
    pub(super) async fn set_apart(&self, waits: &Waits) -> Result<(), BusError> {
        let path = self.path(waits);
        let mut apart = path.clone().into_os_string();
        apart.push(UNREADABLE);
        tracing::error!(letter = %path.display(), "a letter that waited cannot be read, and is left there");
        blocking("set a letter apart", move || fs::rename(path, apart)).await?;
        self.forget(waits);
        Ok(())
    }

    /// Answers how many wait still.
    fn forget(&self, waits: &Waits) -> usize {
        let mut waiting = self.waiting();
        let bytes = waiting.letters.remove(&waits.name).unwrap_or(0);
        waiting.bytes = waiting.bytes.saturating_sub(bytes);
        waiting.letters.len()
    }

    fn path(&self, waits: &Waits) -> PathBuf {
        self.folder.join(&waits.name)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What earlier processes left in a folder. What a crash left half written comes again, and is removed.
fn left_in(folder: &Path) -> io::Result<Letters> {
    let mut letters = Letters::new();
    let Some(entries) = there(fs::read_dir(folder))? else { return Ok(letters) };
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.ends_with(UNFINISHED) {
            fs::remove_file(entry.path())?;
        } else if name.contains('.') && !name.ends_with(UNREADABLE) {
            letters.insert(name, entry.metadata()?.len());
        }
    }
    Ok(letters)
}

/// `None` where there is nothing of that name.
fn there<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a letter so that it is whole or not there; false where it was there already.
fn write(folder: &Path, path: &Path, letter: &[u8]) -> io::Result<bool> {
    if path.exists() {
        return Ok(false);
    }
    if !folder.exists() {
        fs::create_dir_all(folder)?;
        folder.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())?;
    }
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(UNFINISHED);
    let mut file = File::create(&unfinished)?;
    file.write_all(letter)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(folder)?.sync_all()?;
    Ok(true)
}

async fn blocking<T: Send + 'static>(
    action: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, BusError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| BusError::storage(action, error)),
        Err(_) => Err(BusError::Closed),
    }
}

#[cfg(test)]
mod tests;
