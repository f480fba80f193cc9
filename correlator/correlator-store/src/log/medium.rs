//! What the log asks of the disk when it writes, so that tests can make any of it fail.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::durable;

/// Writes of the log.
pub(super) trait Medium: fmt::Debug + Send + Sync {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn sync(&self, file: &File) -> io::Result<()>;
    fn set_len(&self, file: &File, bytes: u64) -> io::Result<()>;
    /// A new file that is there whole and durable, or not at all.
    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
}

/// The disk itself.
#[derive(Debug)]
pub(super) struct Disk;

impl Medium for Disk {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        // Data and the size, which is what a reader needs; not the times.
        file.sync_data()
    }

    fn set_len(&self, file: &File, bytes: u64) -> io::Result<()> {
        file.set_len(bytes)
    }

    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        durable::write_file(path, bytes, durable::PUBLIC_MODE)
    }
}
