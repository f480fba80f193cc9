//! Large blobs as files named by their content: `<data>/blobs/<algorithm>/ab/<hex>`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bus_schema::Digest;

use super::{BLOB_BYTES_MAX, BlobError, checked};
use crate::durable;

/// The files of one folder. Cloning gives another handle.
#[derive(Debug, Clone)]
pub(super) struct Files {
    root: PathBuf,
    /// Where blobs are written before they have their name. No other part of the program uses it.
    arriving: PathBuf,
    next: Arc<AtomicU64>,
}

impl Files {
    /// Makes the folder, and removes what a crash left unfinished.
    pub(super) fn open(root: &Path) -> Result<Files, BlobError> {
        let files = Files::of(root);
        let prepare = || {
            match fs::remove_dir_all(&files.arriving) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            durable::create_folder(&files.root)?;
            durable::create_folder(&files.arriving)
        };
        prepare().map_err(io_error("prepare", root))?;
        Ok(files)
    }

    pub(super) fn of(root: &Path) -> Files {
        Files { arriving: root.join("arriving"), root: root.to_owned(), next: Arc::default() }
    }

    pub(super) fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<(), BlobError> {
        let path = self.path(digest);
        let arriving = self.arriving.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let keep = || {
            if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
                let algorithm = folder.parent().unwrap_or(&self.root);
                durable::create_folder(algorithm)?;
                durable::create_folder(folder)?;
            }
            durable::write_and_rename(&path, &arriving, bytes, durable::PUBLIC_MODE)
        };
        keep().map_err(|source| {
            // The error to report is the first one; a leftover is removed at the next start as well.
            let _ = fs::remove_file(&arriving);
            match durable::is_full(&source) {
                true => BlobError::DiskFull { digest: *digest, source },
                false => BlobError::Io { doing: "write", path: path.clone(), source },
            }
        })
    }

    /// Of a blob that is there: it was durable when it was first answered for; its name may not have been, when that was
    /// cut off.
    pub(super) fn sync(&self, digest: &Digest) -> Result<(), BlobError> {
        let path = self.path(digest);
        durable::sync_parent(&path).map_err(io_error("sync", &path))
    }

    pub(super) fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, BlobError> {
        let path = self.path(digest);
        let failed = |error| io_error("read", &path)(error);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let file_bytes = file.metadata().map_err(failed)?.len();
        if file_bytes > BLOB_BYTES_MAX as u64 {
            return Err(BlobError::TooLarge { bytes: file_bytes, bytes_max: BLOB_BYTES_MAX as u64 });
        }
        let mut bytes = Vec::new();
        file.take(BLOB_BYTES_MAX as u64).read_to_end(&mut bytes).map_err(failed)?;
        checked(digest, bytes).map(Some)
    }

    pub(super) fn contains(&self, digest: &Digest) -> Result<bool, BlobError> {
        let path = self.path(digest);
        path.try_exists().map_err(io_error("look for", &path))
    }

    pub(super) fn remove(&self, digest: &Digest) -> Result<(), BlobError> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    pub(super) fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.root.join(digest.algorithm()).join(&hex[..2]).join(hex)
    }
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BlobError {
    let path = path.to_owned();
    move |source| BlobError::Io { doing, path, source }
}
