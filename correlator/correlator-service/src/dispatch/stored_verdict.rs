//! A verdict in the key-value bucket that readers watch.

use bus_schema::Digest;
use bus_schema::verdict::VerdictChanged;
use serde::{Deserialize, Serialize};

/// The bucket of verdicts.
pub const VERDICTS_BUCKET: &str = "verdicts";

/// One verdict with the place in the log that led to it: a reader refuses an older one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredVerdict {
    /// The id of the evidence log.
    pub log: String,
    /// Higher in a log that was begun later.
    pub generation: u64,
    pub position: u64,
    pub change: VerdictChanged,
}

/// The key of a verdict: `sha256/<hex>/<pipeline>`. A dot of the pipeline's name is written as `=`, which no name holds.
pub fn verdict_key(digest: &Digest, pipeline: &str) -> String {
    format!("{}/{}/{}", digest.algorithm(), digest.hex(), pipeline.replace('.', "="))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn every_pipeline_name_makes_a_key_of_its_own_that_the_bus_takes() {
        let digest = Digest::sha512_of(b"x");
        for name in ["api", "a..b", ".a", "a.", "a-b.c"] {
            fleet_runtime::bus::check_key(&verdict_key(&digest, name)).unwrap();
        }
        assert_ne!(verdict_key(&digest, "a.b"), verdict_key(&digest, "a-b"));
    }
}
