//! Verdicts in the key-value bucket: written by the correlator alone, signed with its log's key, read by whoever acts on them.
//!
//! A value is a DSSE envelope (secure-systems-lab/dsse) over the verdict with its key in the bucket and its place in the
//! evidence log. A reader believes the signature, and no position below one that it has seen: whoever gets hold of the
//! bucket can hide news, and can neither invent a verdict nor bring an old one back.

mod reader;
mod signed;

pub use reader::{Seen, VerdictReader, VerdictRefused};
pub use signed::{SignedVerdict, StoredVerdict};

use bus_schema::Digest;

/// The bucket of verdicts.
pub const VERDICTS_BUCKET: &str = "verdicts";

/// The key of a verdict: `sha256/<hex>/<pipeline>`. A dot of the pipeline's name is written as `=`, which no name holds.
pub fn verdict_key(digest: &Digest, pipeline: &str) -> String {
    format!("{}/{}/{}", digest.algorithm(), digest.hex(), pipeline.replace('.', "="))
}

#[cfg(test)]
mod tests;
