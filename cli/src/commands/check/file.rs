//! Files that a command line names: read with a bound, or hashed at any size.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bus_schema::Digest;
use bytes::Bytes;
use sha2::Digest as _;

use crate::exit::Failure;

pub(crate) const EVIDENCE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Keys, trusted roots, configurations.
pub(crate) const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// Of a file that is checked, in bytes; a larger one is known by its digests.
const FILE_BYTES_KEPT_MAX: usize = 64 * 1024 * 1024;
const CHUNK_BYTES: usize = 64 * 1024;

/// Reads a file of at most `bytes_max` bytes.
pub(crate) fn read(path: &Path, bytes_max: usize) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(bytes_max as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|error| cannot_read(path, &error))?;
    if bytes.len() > bytes_max {
        return Err(Failure::usage(format!("{} has more than {bytes_max} bytes", path.display())));
    }
    Ok(bytes)
}

/// As [`read`], as text.
pub(crate) fn text(path: &Path) -> anyhow::Result<String> {
    String::from_utf8(read(path, TEXT_BYTES_MAX)?)
        .map_err(|_| Failure::usage(format!("{} is not UTF-8", path.display())))
}

/// A file that was hashed.
pub(crate) struct Hashed {
    /// The two digests by which evidence may name it.
    pub(crate) digests: [Digest; 2],
    /// Its bytes, unless they are more than are kept: for signatures that no digest of these is enough for.
    pub(crate) bytes: Option<Bytes>,
}

pub(crate) fn hash(path: &Path) -> anyhow::Result<Hashed> {
    let mut kept = Some(Vec::new());
    let (mut short, mut long) = (sha2::Sha256::new(), sha2::Sha512::new());
    let mut file = File::open(path).map_err(|error| cannot_read(path, &error))?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = file.read(&mut chunk).map_err(|error| cannot_read(path, &error))?;
        if count == 0 {
            let digests = [Digest::Sha256(short.finalize().into()), Digest::Sha512(long.finalize().into())];
            return Ok(Hashed { digests, bytes: kept.map(Bytes::from) });
        }
        let read = &chunk[..count];
        short.update(read);
        long.update(read);
        match &mut kept {
            Some(bytes) if bytes.len() + count <= FILE_BYTES_KEPT_MAX => bytes.extend_from_slice(read),
            _ => kept = None,
        }
    }
}

fn cannot_read(path: &Path, error: &io::Error) -> anyhow::Error {
    Failure::usage(format!("{} cannot be read: {error}", path.display()))
}
