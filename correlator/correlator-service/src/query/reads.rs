//! Typed reads of a snapshot, and what a question is about.

use std::collections::BTreeSet;

use bus_schema::{Digest, DigestStart, ImageRef};
use correlator_core::records::{self, Records, RecordsError, Table};
use correlator_core::state::digest;
use correlator_core::state::tag::{self, TagRecord};
use correlator_store::Snapshot;
use serde::de::DeserializeOwned;

use super::QueryError;

/// The longest question.
const ASKED_BYTES_MAX: usize = 1200;
/// Digests that are looked at for the one that was meant.
const CANDIDATES_MAX: usize = 200;
const CANDIDATES_SHOWN: usize = 10;
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
    /// The one digest that begins so.
    Start(DigestStart),
    Image(ImageRef),
}

impl Subject {
    pub(super) fn parse(asked: &str) -> Result<Subject, QueryError> {
        if asked.len() > ASKED_BYTES_MAX {
            return Err(QueryError::Asked {
                what: format!("a question has at most {ASKED_BYTES_MAX} bytes"),
            });
        }
        let is_digest = asked.starts_with("sha256:") || asked.starts_with("sha512:");
        let what = match asked.parse::<Digest>() {
            Ok(digest) => What::Digest(digest),
            Err(_) if is_digest => What::Start(asked.parse()?),
            Err(_) => What::Image(asked.parse()?),
        };
        Ok(Subject { asked: asked.to_owned(), what })
    }

    /// The digest, and how a tag led to it.
    pub(super) fn resolve(&self, snapshot: &Snapshot) -> Result<(Digest, Option<String>), QueryError> {
        let image = match &self.what {
            What::Digest(digest) => return Ok((*digest, None)),
            What::Start(start) => return Ok((beginning_with(snapshot, start)?, None)),
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

/// The one digest that is known and begins so.
fn beginning_with(snapshot: &Snapshot, start: &DigestStart) -> Result<Digest, QueryError> {
    let mut found: BTreeSet<Digest> = BTreeSet::new();
    // A digest that runs is judged even where nothing else is known of it.
    for table in [Table::Digests, Table::Verdicts] {
        let (mut from, mut looked_at) = (start.as_str().to_owned(), 0);
        while let Some((key, _)) = snapshot.scan(table, start.as_str(), &from, 1)?.first() {
            found.extend(records::parts(key).first().and_then(|first| first.parse::<Digest>().ok()));
            looked_at += 1;
            if looked_at == CANDIDATES_MAX {
                break;
            }
            from = digest::behind(key);
        }
    }
    let mut candidates = found.iter();
    match (candidates.next(), found.len()) {
        (None, _) => Err(QueryError::NotFound { what: format!("a digest that begins with {start}") }),
        (Some(digest), 1) => Ok(*digest),
        (Some(_), _) => {
            let named: Vec<String> = found.iter().take(CANDIDATES_SHOWN).map(ToString::to_string).collect();
            let more = if found.len() > CANDIDATES_SHOWN { ", and more" } else { "" };
            Err(QueryError::Asked {
                what: format!("more than one digest begins with {start}: {}{more}", named.join(", ")),
            })
        }
    }
}
