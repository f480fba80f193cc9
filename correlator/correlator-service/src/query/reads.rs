//! Typed reads of a snapshot, and what a question is about.

use bus_schema::{Digest, ImageRef};
use correlator_core::records::{Records, RecordsError, Table};
use correlator_core::state::tag::{self, TagRecord};
use correlator_store::Snapshot;
use serde::de::DeserializeOwned;

use super::QueryError;

/// The longest question.
const ASKED_BYTES_MAX: usize = 1200;
/// Rows of one page of a scan.
pub(super) const PAGE_ROWS: usize = 1000;

pub(super) fn get<T: DeserializeOwned>(
    snapshot: &Snapshot,
    table: Table,
    key: &str,
) -> Result<Option<T>, RecordsError> {
    snapshot.get(table, key)?.map(|bytes| decode(table, key, &bytes)).transpose()
}

/// Looks at every record under a prefix, page by page, until `each` says that it has enough.
pub(super) fn scan<T: DeserializeOwned>(
    snapshot: &Snapshot,
    table: Table,
    prefix: &str,
    each: impl FnMut(String, T) -> bool,
) -> Result<(), RecordsError> {
    scan_from(snapshot, table, prefix, prefix.to_owned(), each)
}

/// The least key after this one.
pub(super) fn after(key: &str) -> String {
    format!("{key}\0")
}

/// As [`scan`], from a key on.
pub(super) fn scan_from<T: DeserializeOwned>(
    snapshot: &Snapshot,
    table: Table,
    prefix: &str,
    mut from: String,
    mut each: impl FnMut(String, T) -> bool,
) -> Result<(), RecordsError> {
    loop {
        let page = snapshot.scan(table, prefix, &from, PAGE_ROWS)?;
        let is_last = page.len() < PAGE_ROWS;
        for (key, bytes) in page {
            from.clone_from(&key);
            let record = decode(table, &key, &bytes)?;
            if !each(key, record) {
                return Ok(());
            }
        }
        if is_last {
            return Ok(());
        }
        from = after(&from);
    }
}

/// The keys under a prefix, at most `limit`.
pub(super) fn keys(
    snapshot: &Snapshot,
    table: Table,
    prefix: &str,
    limit: usize,
) -> Result<Vec<String>, RecordsError> {
    Ok(snapshot.scan(table, prefix, prefix, limit)?.into_iter().map(|(key, _)| key).collect())
}

pub(super) fn decode<T: DeserializeOwned>(table: Table, key: &str, bytes: &[u8]) -> Result<T, RecordsError> {
    serde_json::from_slice(bytes).map_err(|source| RecordsError::Decode {
        table: table.as_str(),
        key: key.to_owned(),
        source,
    })
}

/// What a question is about: an image reference or a digest, as it was written.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) asked: String,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Digest(Digest),
    Image(ImageRef),
}

impl Subject {
    pub(super) fn parse(asked: &str) -> Result<Subject, QueryError> {
        if asked.len() > ASKED_BYTES_MAX {
            return Err(QueryError::Asked {
                what: format!("a question has at most {ASKED_BYTES_MAX} bytes"),
            });
        }
        let what = match asked.parse::<Digest>() {
            Ok(digest) => What::Digest(digest),
            Err(error) if asked.starts_with("sha256:") || asked.starts_with("sha512:") => {
                return Err(error.into());
            }
            Err(_) => What::Image(asked.parse()?),
        };
        Ok(Subject { asked: asked.to_owned(), what })
    }

    /// The digest, and how a tag led to it.
    pub(super) fn resolve(&self, snapshot: &Snapshot) -> Result<(Digest, Option<String>), QueryError> {
        let image = match &self.what {
            What::Digest(digest) => return Ok((*digest, None)),
            What::Image(image) => image,
        };
        if let Some(digest) = image.digest {
            return Ok((digest, None));
        }
        let tag = match &image.tag {
            Some(tag) => tag.clone(),
            None => "latest".parse()?,
        };
        let record: Option<TagRecord> = get(snapshot, Table::Tags, &tag::key(&image.repository, &tag))?;
        let shown = format!("{}:{tag}", image.repository);
        match record.and_then(|record| record.current()) {
            Some(digest) => Ok((digest, Some(shown))),
            None => Err(QueryError::NotFound { what: format!("the tag {shown}") }),
        }
    }
}
