//! The rows about one digest, read from the file at once: whoever judges an image asks for most of them, one by one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A digest with more rows, or with larger ones, is read row by row.
pub(super) const ROWS_MAX: usize = 64;
pub(super) const DIGEST_BYTES_MAX: usize = 64 * 1024;
/// All that one view keeps.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Keys and values, in order.
pub(super) type Rows = Arc<[(Vec<u8>, Vec<u8>)]>;

/// What one view of the index has read. The view never changes, so neither does this.
#[derive(Default)]
pub(super) struct Near {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// By digest; nothing where it has too many rows.
    digests: HashMap<Vec<u8>, Option<Rows>>,
    bytes: usize,
}

impl Near {
    /// The rows of a digest, or that it has too many (`Some(None)`), where they were read before.
    pub(super) fn get(&self, digest: &[u8]) -> Option<Option<Rows>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).digests.get(digest).cloned()
    }

    pub(super) fn keep(&self, digest: &[u8], rows: Option<Rows>, bytes: usize) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.bytes.saturating_add(bytes) > BYTES_MAX {
            *kept = Kept::default();
        }
        kept.bytes += bytes;
        kept.digests.insert(digest.to_vec(), rows);
    }
}

/// The value under a key.
pub(super) fn value(rows: &Rows, key: &[u8]) -> Option<Vec<u8>> {
    let at = rows.binary_search_by(|(other, _)| other.as_slice().cmp(key)).ok()?;
    rows.get(at).map(|(_, value)| value.clone())
}
