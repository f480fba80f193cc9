//! A small file that outlives its process: read once at the start, replaced as a whole.
//!
//! In: a folder, a name and a format's number. Out: the last content that was written whole, or nothing where it is
//! damaged. The file of another version is refused: what it holds is not ours to forget.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why a file is not read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeptFileError {
    #[error(
        "{path} has format {found}, this version reads format {expected}: use the version that wrote it, or choose another \
         folder with --data"
    )]
    Format { path: String, found: u64, expected: u64 },
    #[error("failed to read {path}")]
    Read { path: String, source: io::Error },
    #[error("failed to write {path}")]
    Write { path: String, source: io::Error },
}

/// What every version's file says.
#[derive(Deserialize)]
struct Mark {
    format: u64,
}

#[derive(Serialize)]
struct Written<'a, T> {
    format: u32,
    #[serde(flatten)]
    content: &'a T,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    Synced,
    Unsynced,
}

/// One file. Its content is an object in JSON, beside the number of its format.
#[derive(Debug, Clone)]
pub struct KeptFile {
    path: PathBuf,
    format: u32,
}

impl KeptFile {
    pub fn new(folder: &Path, name: &str, format: u32) -> KeptFile {
        KeptFile { path: folder.join(name), format }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses the file of another version.
    pub fn check_format(&self) -> Result<(), KeptFileError> {
        self.text().map(|_| ())
    }

    /// What was kept; `None` where nothing was, or where it cannot be read as what it is.
    pub fn read<T: DeserializeOwned>(&self) -> Result<Option<T>, KeptFileError> {
        let Some(text) = self.text()? else { return Ok(None) };
        let content = serde_json::from_slice(&text);
        if let Err(error) = &content {
            tracing::warn!(path = %self.path.display(), %error, "what was kept cannot be read and begins anew");
        }
        Ok(content.ok())
    }

    /// Replaces the file, making its folder where it is new; durable when it returns.
    pub fn write<T: Serialize>(&self, content: &T) -> Result<(), KeptFileError> {
        self.write_with(content, Durability::Synced)
    }

    /// The same without waiting for the disk: where the machine ends, what was kept before may be there again, or nothing.
    pub fn write_unsynced<T: Serialize>(&self, content: &T) -> Result<(), KeptFileError> {
        self.write_with(content, Durability::Unsynced)
    }

    fn write_with<T: Serialize>(&self, content: &T, durability: Durability) -> Result<(), KeptFileError> {
        let failed = |source| KeptFileError::Write { path: self.path.display().to_string(), source };
        let written = Written { format: self.format, content };
        let text = serde_json::to_vec_pretty(&written).map_err(|error| failed(error.into()))?;
        self.replace(&text, durability).map_err(failed)
    }

    /// The file's text, where there is one that this version or none has marked.
    fn text(&self) -> Result<Option<Vec<u8>>, KeptFileError> {
        let path = self.path.display().to_string();
        let text = match self.bytes() {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(KeptFileError::Read { path, source }),
        };
        match serde_json::from_slice::<Mark>(&text) {
            Ok(Mark { format }) if format != u64::from(self.format) => {
                Err(KeptFileError::Format { path, found: format, expected: u64::from(self.format) })
            }
            _ => Ok(Some(text)),
        }
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        File::open(&self.path)?.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
        Ok(text)
    }

    fn replace(&self, text: &[u8], durability: Durability) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let new = self.path.with_extension("json.new");
        let mut file = File::create(&new)?;
        file.write_all(text)?;
        if durability == Durability::Unsynced {
            return fs::rename(&new, &self.path);
        }
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Content {
        number: u32,
    }

    fn file(folder: &Path) -> KeptFile {
        KeptFile::new(&folder.join("deeper"), "kept.json", 1)
    }

    #[test]
    fn what_was_written_last_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        assert_eq!(file.read::<Content>().unwrap(), None);
        for number in [1, 2] {
            file.write(&Content { number }).unwrap();
            assert_eq!(file.read::<Content>().unwrap(), Some(Content { number }));
        }
        file.write_unsynced(&Content { number: 3 }).unwrap();
        assert_eq!(file.read::<Content>().unwrap(), Some(Content { number: 3 }));
    }

    #[test]
    fn a_damaged_file_holds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        file.write(&Content { number: 1 }).unwrap();
        for text in ["", "{", "{\"format\":1}", "[]"] {
            fs::write(file.path(), text).unwrap();
            assert_eq!(file.read::<Content>().unwrap(), None, "{text}");
        }
    }

    #[test]
    fn the_file_of_another_version_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        file.check_format().unwrap();
        file.write(&Content { number: 1 }).unwrap();
        fs::write(file.path(), "{\"format\":2,\"number\":[]}").unwrap();
        for refused in [file.check_format(), file.read::<Content>().map(|_| ())] {
            let refused = refused.unwrap_err();
            assert!(matches!(refused, KeptFileError::Format { found: 2, expected: 1, .. }), "{refused}");
            assert!(refused.to_string().contains("kept.json"), "{refused}");
        }
    }
}
