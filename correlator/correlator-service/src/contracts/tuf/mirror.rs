//! A repository of The Update Framework as a folder on disk: how machines without a network get trust roots.
//!
//! The folder is laid out like the repository: metadata in it, targets below `targets`. Whoever carries it is trusted with
//! nothing; what it holds is verified like an answer from the network, and may be as old as its own metadata allows.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Error, Repository};

pub(super) struct Mirror {
    folder: PathBuf,
}

impl Mirror {
    /// The folder that an address names: `file:///srv/tuf`.
    pub(super) fn of_url(url: &str) -> Option<Mirror> {
        let folder = PathBuf::from(url.strip_prefix("file://")?);
        folder.is_absolute().then_some(Mirror { folder })
    }

    fn read(&self, below: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, Error> {
        if !below.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(Error::transport(format!("{} leads out of the folder", below.display())));
        }
        let path = self.folder.join(below);
        let said = |error| Error::transport_with_source(format!("read {}", path.display()), error);
        let file = match File::open(&path) {
            Ok(file) => file,
            // A folder that is not there at all is no repository that has nothing newer.
            Err(error) if error.kind() == ErrorKind::NotFound && self.folder.is_dir() => return Ok(None),
            Err(error) => return Err(said(error)),
        };
        let mut bytes = Vec::new();
        file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(said)?;
        match u64::try_from(bytes.len()) {
            Ok(length) if length <= bytes_max => Ok(Some(bytes)),
            _ => Err(Error::transport(format!("{} exceeds the max of {bytes_max} bytes", path.display()))),
        }
    }
}

impl Repository for Mirror {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        let read = self.read(Path::new(name), max_length);
        Box::pin(async move { read })
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        let read = match Path::new(path).is_absolute() {
            true => Err(Error::transport(format!("{path} leads out of the folder"))),
            false => self.read(&Path::new("targets").join(path), max_length),
        };
        Box::pin(async move { read })
    }
}
