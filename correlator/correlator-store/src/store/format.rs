//! Which version wrote the data folder.

use std::io;
use std::path::Path;

use super::StoreError;
use crate::durable;

const FORMAT_FILE: &str = "format";
const FORMAT_PREFIX: &str = "custody-data ";
const FORMAT_BYTES_MAX: u64 = 128;

/// The version of the folder's layout and of the log. A folder of another version is refused, not changed.
pub(super) const FORMAT: u32 = 1;

/// Refuses a folder of another version; a folder without a log is marked as ours.
pub(super) fn check_or_mark(folder: &Path, log_folder: &Path) -> Result<(), StoreError> {
    if is_marked(folder, log_folder)? {
        return Ok(());
    }
    let path = folder.join(FORMAT_FILE);
    let text = format!("{FORMAT_PREFIX}{FORMAT}\n");
    durable::write_file(&path, text.as_bytes(), durable::PUBLIC_MODE).map_err(StoreError::io("write", &path))
}

/// Whether the folder has this version's mark. One without a mark and without a log is new; another version's is refused.
pub(super) fn is_marked(folder: &Path, log_folder: &Path) -> Result<bool, StoreError> {
    match read(folder)? {
        Some(found) => check(folder, &found).map(|()| true),
        None if log_folder.exists() => Err(other(folder, "none")),
        None => Ok(false),
    }
}

/// Refuses a folder that is not of this version.
pub(super) fn check_only(folder: &Path) -> Result<(), StoreError> {
    match read(folder)? {
        Some(found) => check(folder, &found),
        None => Err(StoreError::NotAStore { folder: folder.to_owned() }),
    }
}

fn check(folder: &Path, found: &str) -> Result<(), StoreError> {
    match found.strip_prefix(FORMAT_PREFIX).and_then(|version| version.trim_end().parse::<u32>().ok()) {
        Some(FORMAT) => Ok(()),
        Some(version) => Err(other(folder, &version.to_string())),
        None => Err(other(folder, found)),
    }
}

fn other(folder: &Path, found: &str) -> StoreError {
    // The text is shown, so it is made harmless.
    let found = found.trim_end().chars().filter(|c| !c.is_control()).take(40).collect();
    StoreError::OtherFormat { folder: folder.to_owned(), found, expected: FORMAT }
}

fn read(folder: &Path) -> Result<Option<String>, StoreError> {
    let path = folder.join(FORMAT_FILE);
    match durable::read_small_file(&path, FORMAT_BYTES_MAX) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(other(folder, "a long text")),
        Err(error) => Err(StoreError::io("read", &path)(error)),
    }
}
