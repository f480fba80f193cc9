//! The graph around a digest: what lies above it, from which proof flows down, and what lies below.

use std::collections::BTreeSet;

use bus_schema::Digest;
use bus_schema::registry::Resolved;
use correlator_core::records::Table;
use correlator_core::state::digest::{self, DigestRecord};
use correlator_store::Snapshot;

use super::{QueryError, reads};

/// Index, manifest, config, and one more for an index in an index.
const LEVELS_MAX: usize = 4;
/// Digests above or below one that are looked at.
const RELATED_MAX: usize = 500;

/// Digests with what is known of them, the one asked for first.
#[derive(Debug, Default)]
pub(super) struct Related {
    pub(super) digests: Vec<(Digest, Option<DigestRecord>)>,
    pub(super) cut: bool,
}

/// The digest and everything above it.
pub(super) fn above(snapshot: &Snapshot, digest: Digest) -> Result<Related, QueryError> {
    walk(snapshot, digest, |record| record.parents.iter().copied().collect())
}

/// The digest and everything below it.
pub(super) fn below(snapshot: &Snapshot, digest: Digest) -> Result<Related, QueryError> {
    walk(snapshot, digest, DigestRecord::children)
}

fn walk(
    snapshot: &Snapshot,
    digest: Digest,
    next_of: impl Fn(&DigestRecord) -> Vec<Digest>,
) -> Result<Related, QueryError> {
    let mut related = Related::default();
    let mut seen = BTreeSet::from([digest]);
    let mut level = vec![digest];
    for _ in 0..LEVELS_MAX {
        let mut next = Vec::new();
        for digest in level {
            let record: Option<DigestRecord> = reads::get(snapshot, Table::Digests, &digest::key(&digest))?;
            for other in record.iter().flat_map(&next_of) {
                if seen.len() >= RELATED_MAX {
                    related.cut = true;
                } else if seen.insert(other) {
                    next.push(other);
                }
            }
            related.digests.push((digest, record));
        }
        level = next;
    }
    Ok(related)
}

/// `index`, `manifest`, `config` or `unknown`.
pub(super) fn level(record: Option<&DigestRecord>) -> &'static str {
    match record {
        Some(DigestRecord { resolved: Some(Resolved::Index { .. }), .. }) => "index",
        Some(DigestRecord { resolved: Some(Resolved::Manifest { .. }), .. }) => "manifest",
        Some(DigestRecord { media_type: Some(media_type), .. }) if media_type.contains("index") => "index",
        Some(DigestRecord { media_type: Some(media_type), .. }) if media_type.contains("manifest.list") => {
            "index"
        }
        Some(DigestRecord { media_type: Some(media_type), .. }) if media_type.contains("manifest") => {
            "manifest"
        }
        // Nothing resolves a config; it is one because a manifest says so.
        Some(record) if !record.parents.is_empty() => "config",
        _ => "unknown",
    }
}
