//! Files that a command line names: read with a bound, or hashed at any size.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bus_schema::Digest;
use sha2::Digest as _;

use crate::exit::Failure;

pub(crate) const EVIDENCE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Keys, trusted roots, configurations.
pub(crate) const TEXT_BYTES_MAX: usize = 1024 * 1024;
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

/// The two digests by which evidence may name a file.
pub(crate) fn digests(path: &Path) -> anyhow::Result<[Digest; 2]> {
    let (mut short, mut long) = (sha2::Sha256::new(), sha2::Sha512::new());
    let mut file = File::open(path).map_err(|error| cannot_read(path, &error))?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = file.read(&mut chunk).map_err(|error| cannot_read(path, &error))?;
        if count == 0 {
            return Ok([Digest::Sha256(short.finalize().into()), Digest::Sha512(long.finalize().into())]);
        }
        short.update(&chunk[..count]);
        long.update(&chunk[..count]);
    }
}

fn cannot_read(path: &Path, error: &io::Error) -> anyhow::Error {
    Failure::usage(format!("{} cannot be read: {error}", path.display()))
}
