//! Hashes over lists of fields, in which no field can run into the next.

use std::fmt;

use sha2::Digest as _;

/// The SHA-256 of `fields`, each preceded by its length in bytes as eight big-endian octets.
pub fn hash_fields<'a>(fields: impl IntoIterator<Item = &'a str>) -> [u8; 32] {
    let mut hasher = sha2::Sha256::new();
    for field in fields {
        hasher.update((field.len() as u64).to_be_bytes());
        hasher.update(field.as_bytes());
    }
    hasher.finalize().into()
}

/// Writes a hash in lower-case hexadecimal, by way of a buffer twice as long.
pub(crate) fn write_hex(formatter: &mut fmt::Formatter<'_>, hash: &[u8], text: &mut [u8]) -> fmt::Result {
    hex::encode_to_slice(hash, text).map_err(|_| fmt::Error)?;
    formatter.write_str(std::str::from_utf8(text).map_err(|_| fmt::Error)?)
}
