//! What must outlive the process: since when the cluster is watched, until when everything was seen, and which gaps
//! still wait for their recovery.
//!
//! In: the agent's data folder. Out: one small file, replaced as a whole. Coverage is never claimed for a time that the
//! file does not hold: where it cannot be read, coverage begins anew.

use std::io::Write;
use std::path::{Path, PathBuf};

use bus_schema::ClusterId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

const FILE_NAME: &str = "cluster-coverage.json";
const FILE_BYTES_MAX: u64 = 1024 * 1024;
const FORMAT: u32 = 1;
/// How many gaps wait for their recovery at most; further ones stay open.
pub(crate) const OPEN_GAPS_MAX: usize = 256;

/// The file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Coverage {
    format: u32,
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
pub(crate) enum CoverageError {
    #[error("failed to read {path}")]
    Read { path: String, source: std::io::Error },
    #[error("failed to write {path}")]
    Write { path: String, source: std::io::Error },
    #[error("the writing of the coverage was interrupted")]
    Interrupted,
}

/// The file in the data folder.
#[derive(Debug, Clone)]
pub(crate) struct CoverageFile {
    path: PathBuf,
}

impl Coverage {
    pub(crate) fn new(cluster: ClusterId, since: Timestamp) -> Coverage {
        Coverage { format: FORMAT, cluster, since, seen_until: since, open_gaps: Vec::new() }
    }
}

impl CoverageFile {
    pub(crate) fn in_folder(folder: &Path) -> CoverageFile {
        CoverageFile { path: folder.join(FILE_NAME) }
    }

    /// What is kept of `cluster`. A file of another cluster or of another format says nothing.
    pub(crate) fn read(&self, cluster: &ClusterId) -> Result<Option<Coverage>, CoverageError> {
        let failed = |source| CoverageError::Read { path: self.path.display().to_string(), source };
        let text = match self.text() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            result => result.map_err(failed)?,
        };
        match serde_json::from_slice::<Coverage>(&text) {
            Ok(coverage) if coverage.format == FORMAT && coverage.cluster == *cluster => Ok(Some(coverage)),
            Ok(coverage) if coverage.format == FORMAT => {
                tracing::warn!(path = %self.path.display(), found = %coverage.cluster, %cluster, "the coverage of another cluster is left behind");
                Ok(None)
            }
            Ok(_) | Err(_) => {
                tracing::warn!(path = %self.path.display(), "the coverage cannot be read and begins anew");
                Ok(None)
            }
        }
    }

    /// Replaces the file; durable when it returns.
    pub(crate) fn write(&self, coverage: &Coverage) -> Result<(), CoverageError> {
        let failed = |source| CoverageError::Write { path: self.path.display().to_string(), source };
        let text = serde_json::to_vec_pretty(coverage).map_err(|error| failed(error.into()))?;
        self.replace(&text).map_err(failed)
    }

    fn text(&self) -> std::io::Result<Vec<u8>> {
        let mut text = Vec::new();
        let file = std::fs::File::open(&self.path)?;
        std::io::Read::read_to_end(&mut std::io::Read::take(file, FILE_BYTES_MAX), &mut text)?;
        Ok(text)
    }

    fn replace(&self, text: &[u8]) -> std::io::Result<()> {
        let new = self.path.with_extension("json.new");
        let mut file = std::fs::File::create(&new)?;
        file.write_all(text)?;
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        match self.path.parent() {
            Some(folder) => std::fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
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

    #[test]
    fn a_damaged_file_claims_no_coverage() {
        let folder = tempfile::tempdir().unwrap();
        let file = CoverageFile::in_folder(folder.path());
        for text in ["", "{", "{\"format\":2}", "[]"] {
            std::fs::write(folder.path().join(FILE_NAME), text).unwrap();
            assert_eq!(file.read(&"one".parse().unwrap()).unwrap(), None, "{text}");
        }
    }
}
