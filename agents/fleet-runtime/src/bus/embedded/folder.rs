//! The bus's part of the data folder: who holds it and which version wrote it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::bus::BusError;

/// The first line of the `format` file. A change of the tables is a new number.
const FORMAT: &str = "custody-bus 1";
const FORMAT_BYTES_MAX: u64 = 128;

/// The open, locked folder. The lock ends with the value (and with the process).
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    pub(super) fn open(data: &Path) -> Result<Folder, BusError> {
        let path = data.join("bus");
        create_private(&path).map_err(|error| BusError::storage("create the bus folder", error))?;
        let lock = lock(&path)?;
        check_or_mark(&path)?;
        Ok(Folder { path, _lock: lock })
    }

    /// Makes the names of the files in it as durable as their content.
    pub(super) fn sync(&self) -> Result<(), BusError> {
        let sync = || {
            File::open(&self.path)?.sync_all()?;
            self.path.parent().map_or(Ok(()), |data| File::open(data)?.sync_all())
        };
        sync().map_err(|error: std::io::Error| BusError::storage("sync the bus folder", error))
    }

    pub(super) fn database_file(&self) -> PathBuf {
        self.path.join("messages.redb")
    }
}

/// Creates a folder that only its owner may read: payloads name people.
pub(super) fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn lock(path: &Path) -> Result<File, BusError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join("lock"))
        .map_err(|error| BusError::storage("open the lock file", error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BusError::InUse { path: path.display().to_string() }),
        Err(TryLockError::Error(error)) => Err(BusError::storage("lock the bus folder", error)),
    }
}

/// Refuses a folder of another version and touches nothing.
pub(super) fn check_format(data: &Path) -> Result<(), BusError> {
    is_marked(&data.join("bus")).map(|_| ())
}

/// Refuses a folder of another version before anything in it is touched; marks a new one.
fn check_or_mark(path: &Path) -> Result<(), BusError> {
    match is_marked(path)? {
        true => Ok(()),
        false => write_format(path, &path.join("format")),
    }
}

/// Whether the folder has this version's mark. One without a mark and without messages is new.
fn is_marked(path: &Path) -> Result<bool, BusError> {
    let found = match File::open(path.join("format")) {
        Ok(open) => {
            let mut text = Vec::new();
            open.take(FORMAT_BYTES_MAX)
                .read_to_end(&mut text)
                .map_err(|error| BusError::storage("read the format file", error))?;
            String::from_utf8_lossy(&text).trim_end().to_owned()
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if !path.join("messages.redb").exists() {
                return Ok(false);
            }
            "no format file".to_owned()
        }
        Err(error) => return Err(BusError::storage("read the format file", error)),
    };
    if found == FORMAT {
        return Ok(true);
    }
    let found = found.chars().filter(|c| !c.is_control()).take(40).collect();
    Err(BusError::Format { path: path.display().to_string(), found, expected: FORMAT.to_owned() })
}

fn write_format(path: &Path, file: &Path) -> Result<(), BusError> {
    let write = || {
        let new = path.join("format.new");
        let mut open = File::create(&new)?;
        open.write_all(format!("{FORMAT}\n").as_bytes())?;
        open.sync_all()?;
        fs::rename(&new, file)?;
        File::open(path)?.sync_all()
    };
    write().map_err(|error: std::io::Error| BusError::storage("write the format file", error))
}
