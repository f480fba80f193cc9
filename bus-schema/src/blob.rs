//! Bytes that events speak of: named by their hash always, carried in the event when they are few.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Digest;

/// The largest blob that is carried inside an event, in bytes; larger ones go to the blob store.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;
/// The largest piece of evidence, in bytes.
pub const BLOB_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// What [`INLINE_BYTES_MAX`] bytes are at most in base64.
const INLINE_TEXT_BYTES_MAX: usize = INLINE_BYTES_MAX.div_ceil(3) * 4;

/// Where bytes are: always by their hash, and inside the event when they are few.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlobRef {
    /// The hash of the bytes.
    pub digest: Digest,
    /// How many bytes there are.
    pub size_bytes: u64,
    /// The bytes in base64 (standard alphabet, padded), at most [`INLINE_BYTES_MAX`] of them; else they are in the blob store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<String>,
}

/// Why the bytes inside an event are not those that it names.
#[expect(missing_docs, reason = "the message of each variant says it")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    #[error("inline bytes are more than {INLINE_BYTES_MAX}")]
    TooLarge,
    #[error("inline bytes are not base64")]
    NotBase64,
    #[error("{found} inline bytes, the event states {stated}")]
    WrongSize { stated: u64, found: usize },
    #[error("inline bytes have another hash than {stated}")]
    WrongDigest { stated: Digest },
}

impl BlobRef {
    /// A blob that lies in the blob store.
    pub fn stored(digest: Digest, size_bytes: u64) -> BlobRef {
        BlobRef { digest, size_bytes, inline: None }
    }

    /// A blob that the event carries. None when it is too large for that.
    pub fn inlined(bytes: &[u8]) -> Option<BlobRef> {
        let fits = bytes.len() <= INLINE_BYTES_MAX;
        fits.then(|| BlobRef {
            digest: Digest::sha256_of(bytes),
            size_bytes: bytes.len() as u64,
            inline: Some(STANDARD.encode(bytes)),
        })
    }

    /// The bytes that the event carries, checked against the stated size and hash; none when they are in the blob store.
    pub fn inline_bytes(&self) -> Result<Option<Vec<u8>>, BlobError> {
        let Some(text) = &self.inline else { return Ok(None) };
        if text.len() > INLINE_TEXT_BYTES_MAX {
            return Err(BlobError::TooLarge);
        }
        let bytes = STANDARD.decode(text).map_err(|_| BlobError::NotBase64)?;
        if bytes.len() > INLINE_BYTES_MAX {
            return Err(BlobError::TooLarge);
        }
        if bytes.len() as u64 != self.size_bytes {
            return Err(BlobError::WrongSize { stated: self.size_bytes, found: bytes.len() });
        }
        match self.digest.matches(&bytes) {
            true => Ok(Some(bytes)),
            false => Err(BlobError::WrongDigest { stated: self.digest }),
        }
    }
}
