//! Letters for which the bus has no room: kept in a folder of this machine until it has, so that what is
//! behind them goes on.
//!
//! In: letters with their ids, each durable when this returns. Out: the same, oldest first. The folder is
//! bounded in bytes, and refuses beyond: then what could not be understood stays where it came from.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::bus::BusError;

/// The default bound of the letters that wait, in bytes.
pub const BYTES_MAX: u64 = 256 << 20;
/// The ending of a letter that is not whole.
const UNFINISHED: &str = ".new";
/// The ending of one that cannot be read: it stays for people to look at, and holds up none behind it.
const UNREADABLE: &str = ".unreadable";

/// The folder of letters that wait for the bus.
#[derive(Clone, Debug)]
pub struct Aside {
    folder: Arc<Path>,
    bytes_max: u64,
    waiting: Arc<Mutex<Waiting>>,
}

/// What waits, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Waiting {
    letters: u64,
    bytes: u64,
    reason: String,
}

/// A letter that waits: where it is, and the id under which it is published.
#[derive(Clone, Debug)]
pub(super) struct Waits {
    pub(super) id: String,
    path: PathBuf,
}

impl Aside {
    /// Opens a folder, which is made with the first letter. Nobody else writes to it.
    pub async fn open(folder: PathBuf, bytes_max: u64) -> Result<Aside, BusError> {
        let reason = "the dead letters were full before this process began".to_owned();
        let aside = Aside { folder: folder.into(), bytes_max, waiting: Arc::default() };
        let counting = aside.clone();
        let looking = move || {
            counting.remove_unfinished()?;
            counting.list()
        };
        let found = blocking("look for letters that wait", looking).await?;
        let mut bytes = 0;
        for (_, found) in &found {
            bytes += found;
        }
        *aside.waiting() = Waiting { letters: found.len() as u64, bytes, reason };
        Ok(aside)
    }

    /// Why letters wait here, and how many; nothing when none does.
    pub fn says(&self) -> Option<String> {
        let Waiting { letters, bytes, reason } = self.waiting().clone();
        let folder = self.folder.display();
        (letters > 0).then(|| format!("{reason}: {letters} letters ({bytes} bytes) wait in {folder}"))
    }

    /// Keeps a letter. The same id again is the same letter.
    pub(super) async fn put(
        &self,
        id: &str,
        first_seen: Timestamp,
        letter: Vec<u8>,
        why: &BusError,
    ) -> Result<(), BusError> {
        let path = self.folder.join(format!("{:020}.{id}", first_seen.as_microsecond()));
        let bytes = letter.len() as u64;
        let (folder, waiting) = (Arc::clone(&self.folder), self.waiting().clone());
        if waiting.bytes.saturating_add(bytes) > self.bytes_max {
            return Err(BusError::Full {
                what: format!("{why}, and the folder {} of letters that wait for it", folder.display()),
                bound: format!("{} bytes", self.bytes_max),
                held_by: None,
            });
        }
        let is_new = blocking("keep a letter", move || write(&folder, &path, &letter)).await?;
        let mut waiting = self.waiting();
        waiting.reason = why.to_string();
        if is_new {
            waiting.letters += 1;
            waiting.bytes += bytes;
            if waiting.letters == 1 {
                tracing::error!(
                    reason = waiting.reason,
                    folder = %self.folder.display(),
                    "letters are kept in a folder of this machine, until the dead letters have room"
                );
            }
        }
        Ok(())
    }

    /// The oldest that wait.
    pub(super) async fn oldest(&self, letters_max: usize) -> Result<Vec<Waits>, BusError> {
        let this = self.clone();
        let mut listed = blocking("look for letters that wait", move || this.list()).await?;
        listed.truncate(letters_max);
        Ok(listed.into_iter().map(|(waits, _)| waits).collect())
    }

    pub(super) async fn read(&self, waits: &Waits) -> Result<Vec<u8>, BusError> {
        let path = waits.path.clone();
        blocking("read a letter that waits", move || fs::read(path)).await
    }

    /// The bus has it.
    pub(super) async fn remove(&self, waits: Waits, bytes: u64) -> Result<(), BusError> {
        blocking("remove a letter that waited", move || fs::remove_file(waits.path)).await?;
        let mut waiting = self.waiting();
        waiting.letters = waiting.letters.saturating_sub(1);
        waiting.bytes = waiting.bytes.saturating_sub(bytes);
        if waiting.letters == 0 {
            tracing::info!("the dead letters have room again, no letter waits");
        }
        Ok(())
    }

    /// It cannot be read.
    pub(super) async fn set_apart(&self, waits: Waits, bytes: u64) -> Result<(), BusError> {
        let mut apart = waits.path.clone().into_os_string();
        apart.push(UNREADABLE);
        tracing::error!(letter = %waits.path.display(), "a letter that waited cannot be read, and is left there");
        blocking("set a letter apart", move || fs::rename(waits.path, apart)).await?;
        let mut waiting = self.waiting();
        waiting.letters = waiting.letters.saturating_sub(1);
        waiting.bytes = waiting.bytes.saturating_sub(bytes);
        Ok(())
    }

    /// What a crash left half written comes again.
    fn remove_unfinished(&self) -> io::Result<()> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = entry?.path();
            if path.to_str().is_some_and(|path| path.ends_with(UNFINISHED)) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Every letter with its bytes, oldest first.
    fn list(&self) -> io::Result<Vec<(Waits, u64)>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let Some((_, id)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
            if id.ends_with(UNFINISHED) || id.ends_with(UNREADABLE) {
                continue;
            }
            found.push((Waits { id: id.to_owned(), path: entry.path() }, entry.metadata()?.len()));
        }
        found.sort_by(|(one, _), (other, _)| one.path.cmp(&other.path));
        Ok(found)
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
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
