//! What must outlive the process: since when the cluster is watched, until when everything was seen, and which gaps
//! still wait for their recovery.
//!
//! In: the agent's data folder. Out: one small file, replaced as a whole. Coverage is never claimed for a time that the
//! file does not hold: where it is damaged, coverage begins anew. The file of another version is refused: its gaps are not ours
//! to forget.

use std::path::Path;

use bus_schema::ClusterId;
use fleet_runtime::kept_file::{KeptFile, KeptFileError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

const FILE_NAME: &str = "cluster-coverage.json";
const FORMAT: u32 = 1;
/// How many gaps wait for their recovery at most; further ones stay open.
pub(crate) const OPEN_GAPS_MAX: usize = 256;

/// The file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Coverage {
    pub(crate) cluster: ClusterId,
    /// When the first list was asked for.
    pub(crate) since: Timestamp,
    /// Everything up to this time was seen and said.
    pub(crate) seen_until: Timestamp,
    pub(crate) open_gaps: Vec<OpenGap>,
}

/// A gap that was said and is not yet recovered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenGap {
    pub(crate) epoch: Timestamp,
    pub(crate) sequence: u64,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) reason: String,
}

#[derive(Debug, thiserror::Error)]
pub enum CoverageError {
    #[error(transparent)]
    File(#[from] KeptFileError),
    #[error("the writing of the coverage was interrupted")]
    Interrupted,
}

/// The file in the data folder.
#[derive(Debug, Clone)]
pub(crate) struct CoverageFile(KeptFile);

impl Coverage {
    pub(crate) fn new(cluster: ClusterId, since: Timestamp) -> Coverage {
        Coverage { cluster, since, seen_until: since, open_gaps: Vec::new() }
    }
}

impl CoverageFile {
    pub(crate) fn in_folder(folder: &Path) -> CoverageFile {
        CoverageFile(KeptFile::new(folder, FILE_NAME, FORMAT))
    }

    /// Refuses the file of another version.
    pub(crate) fn check_format(&self) -> Result<(), CoverageError> {
        Ok(self.0.check_format()?)
    }

    /// What is kept of `cluster`. A file of another cluster says nothing.
    pub(crate) fn read(&self, cluster: &ClusterId) -> Result<Option<Coverage>, CoverageError> {
        let kept: Option<Coverage> = self.0.read()?;
        if let Some(other) = kept.as_ref().filter(|coverage| coverage.cluster != *cluster) {
            let path = self.0.path().display();
            tracing::warn!(%path, found = %other.cluster, %cluster, "the coverage of another cluster is left behind");
        }
        Ok(kept.filter(|coverage| coverage.cluster == *cluster))
    }

    /// Replaces the file; durable when it returns.
    pub(crate) fn write(&self, coverage: &Coverage) -> Result<(), CoverageError> {
        Ok(self.0.write(coverage)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn what_was_written_is_read_and_only_for_its_cluster() {
        let folder = tempfile::tempdir().unwrap();
        let file = CoverageFile::in_folder(folder.path());
        let cluster: ClusterId = "one".parse().unwrap();
        assert_eq!(file.read(&cluster).unwrap(), None);

        let mut coverage = Coverage::new(cluster.clone(), Timestamp::UNIX_EPOCH);
        file.write(&coverage).unwrap();
        let gap = OpenGap {
            epoch: Timestamp::UNIX_EPOCH,
            sequence: 1,
            from: Timestamp::UNIX_EPOCH,
            until: Timestamp::UNIX_EPOCH,
            reason: "410".to_owned(),
        };
        coverage.open_gaps.push(gap);
        file.write(&coverage).unwrap();
        assert_eq!(file.read(&cluster).unwrap(), Some(coverage));
        assert_eq!(file.read(&"two".parse().unwrap()).unwrap(), None);
    }
}
