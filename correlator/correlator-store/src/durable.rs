//! Files that are whole or absent: written beside their place, fsynced, renamed, and their folder fsynced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The ending of a file that is not finished. What a crash leaves with it was never answered for.
pub(crate) const UNFINISHED: &str = "new";

/// Read and write for the owner, read for the rest.
pub(crate) const PUBLIC_MODE: u32 = 0o644;
/// Read and write for the owner alone.
pub(crate) const SECRET_MODE: u32 = 0o600;

/// Writes `bytes` as the file `path`, replacing what was there.
pub(crate) fn write_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let unfinished = unfinished(path);
    let written = write_and_rename(path, &unfinished, bytes, mode);
    if written.is_err() {
        // The error to report is the first one; a leftover is overwritten by the next attempt.
        let _ = fs::remove_file(&unfinished);
    }
    written
}

/// Writes `bytes` as `unfinished`, in any folder of the same disk, and then names the file `path`.
pub(crate) fn write_and_rename(path: &Path, unfinished: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    match fs::remove_file(unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(unfinished, path)?;
    sync_parent(path)
}

/// The name under which `path` is written before it is finished.
pub(crate) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(UNFINISHED);
    PathBuf::from(name)
}

/// Creates a folder, and its parents, so that it survives a power loss.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    sync_parent(path)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => sync_folder(Path::new(".")),
    }
}

/// Reads a file of at most `bytes_max` bytes; a longer one is an error of kind `FileTooLarge`.
pub(crate) fn read_small_file(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    use io::Read;
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let reason = format!("the file has more than {bytes_max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

/// Whether an error says that there is no room: the disk, a quota or a file size limit.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
