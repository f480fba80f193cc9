//! Hashes over lists of fields, in which no field can run into the next.

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
