//! Buckets inside a transaction: revisions, conditions, sizes.

use bytes::Bytes;
use redb::ReadableTable;

use super::ledger::Tables;
use super::tables::KEY_VALUE_BYTES;
use crate::bus::{BusError, Entry, Watched};

/// Writes (or with no value deletes) a key and returns the new revision; a delete of what is not there returns 0.
pub(super) fn put(
    tables: &mut Tables<'_>,
    bytes_max: u64,
    bucket: &str,
    key: &str,
    value: Option<&[u8]>,
    expected: Option<u64>,
) -> Result<Result<u64, BusError>, redb::Error> {
    let before = tables.key_value.get((bucket, key))?.map(|row| (row.value().0, row.value().1.len()));
    let (found, before_bytes) =
        before.map_or((0, 0), |(revision, bytes)| (revision, (bytes + key.len()) as u64));
    if let Some(expected) = expected.filter(|expected| *expected != found) {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        return Ok(Err(BusError::Conflict { bucket, key, expected, found }));
    }
    if value.is_none() && before.is_none() {
        return Ok(Ok(0));
    }
    let total = tables.totals.get(KEY_VALUE_BYTES)?.map_or(0, |row| row.value());
    let after_bytes = value.map_or(0, |value| (value.len() + key.len()) as u64);
    let total = total.saturating_sub(before_bytes) + after_bytes;
    if total > bytes_max && after_bytes > before_bytes {
        let bound = format!("{bytes_max} bytes");
        return Ok(Err(BusError::Full { what: "the key-value store".to_owned(), bound, held_by: None }));
    }
    let revision = tables.revisions.get(bucket)?.map_or(0, |row| row.value()) + 1;
    match value {
        Some(value) => tables.key_value.insert((bucket, key), (revision, value))?,
        None => tables.key_value.remove((bucket, key))?,
    };
    tables.revisions.insert(bucket, revision)?;
    tables.totals.insert(KEY_VALUE_BYTES, total)?;
    Ok(Ok(revision))
}

/// The current entries under a prefix, by revision.
pub(super) fn entries(tables: &Tables<'_>, bucket: &str, prefix: &str) -> Result<Vec<Watched>, redb::Error> {
    let mut found = Vec::new();
    for row in tables.key_value.range((bucket, prefix)..)? {
        let (key, value) = row?;
        let (in_bucket, key) = key.value();
        if in_bucket != bucket || !key.starts_with(prefix) {
            break;
        }
        let (revision, value) = value.value();
        found.push((revision, key.to_owned(), Bytes::copy_from_slice(value)));
    }
    found.sort_by_key(|(revision, ..)| *revision);
    let changed = |(revision, key, value)| Watched::Changed { key, entry: Entry { value, revision } };
    Ok(found.into_iter().map(changed).collect())
}
