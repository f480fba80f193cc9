//! What must outlive the process: since when the cluster is watched, until when everything was seen, and which gaps
//! still wait for their recovery.
//!
//! In: the agent's data folder. Out: one small file, replaced as a whole. Coverage is never claimed for a time that the
//! file does not hold: where it is damaged, coverage begins anew. The file of another version is refused: its gaps are not ours
//! to forget.

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

/// What every version's file says.
#[derive(Deserialize)]
struct Mark {
    format: u64,
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
    #[error(
        "the coverage {path} has format {found}, this version reads format {expected}: use the version that wrote it, or \
         choose another folder with --data"
    )]
    Format { path: String, found: u64, expected: u64 },
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

    /// Refuses the file of another version.
    pub(crate) fn check_format(&self) -> Result<(), CoverageError> {
        self.text().map(|_| ())
    }

    /// What is kept of `cluster`. A file of another cluster says nothing.
    pub(crate) fn read(&self, cluster: &ClusterId) -> Result<Option<Coverage>, CoverageError> {
        let Some(text) = self.text()? else { return Ok(None) };
        match serde_json::from_slice::<Coverage>(&text) {
            Ok(coverage) if coverage.cluster == *cluster => Ok(Some(coverage)),
            Ok(coverage) => {
                tracing::warn!(path = %self.path.display(), found = %coverage.cluster, %cluster, "the coverage of another cluster is left behind");
                Ok(None)
            }
            Err(_) => {
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

    /// The file's text, where there is one that this version or none has marked.
    fn text(&self) -> Result<Option<Vec<u8>>, CoverageError> {
        let path = self.path.display().to_string();
        let text = match self.bytes() {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CoverageError::Read { path, source }),
        };
        match serde_json::from_slice::<Mark>(&text) {
            Ok(Mark { format }) if format != u64::from(FORMAT) => {
                Err(CoverageError::Format { path, found: format, expected: u64::from(FORMAT) })
            }
            _ => Ok(Some(text)),
        }
    }

    fn bytes(&self) -> std::io::Result<Vec<u8>> {
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
        for text in ["", "{", "{\"format\":1}", "[]"] {
            std::fs::write(folder.path().join(FILE_NAME), text).unwrap();
            assert_eq!(file.read(&"one".parse().unwrap()).unwrap(), None, "{text}");
        }
    }

    #[test]
    fn the_file_of_another_version_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = CoverageFile::in_folder(folder.path());
        file.check_format().unwrap();
        std::fs::write(folder.path().join(FILE_NAME), "{\"format\":2,\"since\":[]}").unwrap();
        for refused in [file.check_format(), file.read(&"one".parse().unwrap()).map(|_| ())] {
            let refused = refused.unwrap_err();
            assert!(matches!(refused, CoverageError::Format { found: 2, expected: 1, .. }), "{refused}");
            assert!(refused.to_string().contains(FILE_NAME), "{refused}");
        }
    }
}
