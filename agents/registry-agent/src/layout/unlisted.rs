//! Manifests of a layout that its index does not list: cosign writes those of its bundles beside an image as blobs alone.
//!
//! In: the folder of the blobs, and what the index lists. Out: every other blob that is a manifest with a subject, or that may
//! have been one. Only what begins as JSON does is read; files, their sizes and all their bytes have bounds, beyond which
//! nobody knows what else is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use bus_schema::Digest;

use super::{ReadError, read_plain};
use crate::api::client::{MANIFEST_BYTES_MAX, checked};
use crate::api::error::ApiError;
use crate::api::manifest::{Descriptor, Manifest};

/// The algorithms by which folders of blobs are called.
const ALGORITHMS: [&str; 2] = ["sha256", "sha512"];
const BOUNDS: Bounds = Bounds { files_max: 16 * 1024, bytes_max: 64 * 1024 * 1024 };
/// How much of a file tells whether it may be JSON.
const BEGINNING_BYTES: u64 = 64;

struct Bounds {
    /// The most files that are looked at.
    files_max: usize,
    /// The most bytes that are read of all files together.
    bytes_max: usize,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Unlisted {
    found: Vec<(Descriptor, Subject)>,
    pub(super) cut: Option<ApiError>,
}

#[derive(Debug, PartialEq, Eq)]
enum Subject {
    Is(Digest),
    /// The blob cannot be read as what its name says. It may be anything.
    Unknown,
}

impl Unlisted {
    /// Looks into the folder `blobs`.
    pub(super) fn of(blobs: &Path, listed: &BTreeSet<Digest>) -> Unlisted {
        Unlisted::within(&BOUNDS, blobs, listed)
    }

    fn within(bounds: &Bounds, blobs: &Path, listed: &BTreeSet<Digest>) -> Unlisted {
        let mut unlisted = Unlisted::default();
        unlisted.cut = unlisted.look(bounds, blobs, listed).err();
        unlisted
    }

    /// What is attached to a digest, or may be.
    pub(super) fn attached_to(&self, subject: &Digest) -> impl Iterator<Item = &Descriptor> {
        let is_attached = move |(descriptor, of): &&(Descriptor, Subject)| match of {
            Subject::Is(digest) => digest == subject,
            Subject::Unknown => descriptor.digest != *subject,
        };
        self.found.iter().filter(is_attached).map(|(descriptor, _)| descriptor)
    }

    fn look(&mut self, bounds: &Bounds, blobs: &Path, listed: &BTreeSet<Digest>) -> Result<(), ApiError> {
        let Bounds { files_max, bytes_max } = *bounds;
        let (mut files, mut bytes_left) = (0, bytes_max);
        for algorithm in ALGORITHMS {
            let entries = match fs::read_dir(blobs.join(algorithm)) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                entries => entries.map_err(unreadable)?,
            };
            for entry in entries {
                let path = entry.map_err(unreadable)?.path();
                files += 1;
                if files > files_max {
                    return Err(ApiError::TooMany { what: "the layout", count_max: files_max });
                }
                let Some(digest) = digest_of(algorithm, &path) else { continue };
                if listed.contains(&digest) {
                    continue;
                }
                match read(&path, bytes_left) {
                    Ok(None) => {}
                    Ok(Some(bytes)) => {
                        bytes_left -= bytes.len();
                        self.add(digest, &bytes);
                    }
                    Err(ReadError::TooLarge) => {
                        let (what, bytes_max) = ("what the layout does not list", bytes_max as u64);
                        return Err(ApiError::TooLarge { what, bytes_max });
                    }
                    Err(ReadError::Absent | ReadError::Other(_)) => self.add_unknown(digest),
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, digest: Digest, bytes: &[u8]) {
        if checked(digest, bytes).is_err() {
            return self.add_unknown(digest);
        }
        let Ok(manifest) = Manifest::parse(digest, "", bytes) else { return };
        let Some(subject) = manifest.subject else { return };
        let descriptor = descriptor(digest, manifest.media_type, bytes.len() as u64);
        self.found.push((descriptor, Subject::Is(subject)));
    }

    fn add_unknown(&mut self, digest: Digest) {
        self.found.push((descriptor(digest, String::new(), 0), Subject::Unknown));
    }
}

fn descriptor(digest: Digest, media_type: String, size_bytes: u64) -> Descriptor {
    Descriptor { digest, media_type, size_bytes, annotations: BTreeMap::new(), platform: None }
}

/// The digest in whose name a file lies.
fn digest_of(algorithm: &str, path: &Path) -> Option<Digest> {
    let name = path.file_name()?.to_str()?;
    format!("{algorithm}:{}", name.strip_suffix(".json").unwrap_or(name)).parse().ok()
}

/// The bytes of a file that is small enough for a manifest and begins as an object in JSON does; nothing where it is another.
fn read(path: &Path, bytes_max: usize) -> Result<Option<Vec<u8>>, ReadError> {
    let other = |error: io::Error| ReadError::Other(error.to_string());
    let metadata = fs::metadata(path).map_err(other)?;
    if metadata.is_file() {
        if metadata.len() > MANIFEST_BYTES_MAX as u64 {
            return Ok(None);
        }
        let mut beginning = Vec::new();
        let file = File::open(path).map_err(other)?;
        file.take(BEGINNING_BYTES).read_to_end(&mut beginning).map_err(other)?;
        if beginning.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| *byte != b'{') {
            return Ok(None);
        }
    }
    read_plain(path, bytes_max).map(Some)
}

fn unreadable(error: io::Error) -> ApiError {
    ApiError::Unreadable { what: "the layout", reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn beyond_a_bound_nobody_knows_what_else_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = folder.path().join("sha256");
        fs::create_dir(&blobs).unwrap();
        let write = |bytes: &[u8]| fs::write(blobs.join(Digest::sha256_of(bytes).hex()), bytes).unwrap();
        let is_cut = |files_max: usize, bytes_max: usize| {
            let bounds = Bounds { files_max, bytes_max };
            Unlisted::within(&bounds, folder.path(), &BTreeSet::new()).cut.is_some()
        };
        write(b"\x1f\x8b a layer, of which none but the beginning is read");
        assert!(!is_cut(1, 0));
        write(b"{\"a\":1}");
        assert!(!is_cut(2, 7));
        assert!(is_cut(1, 7));
        assert!(is_cut(2, 6));
    }
}
