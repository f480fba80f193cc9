//! Workflows: the file that defines a run, in a repository, at a ref or commit.

use std::fmt;
use std::str::FromStr;

use crate::parse_error::check_token;
use crate::{GitRef, ParseError, RepositoryRef};

/// The longest path of a workflow file, in bytes.
pub const WORKFLOW_PATH_BYTES_MAX: usize = 512;

/// The path of a workflow file inside its repository, for example `.github/workflows/release.yml`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkflowPath(String);

impl WorkflowPath {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WorkflowPath {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<WorkflowPath, ParseError> {
        check_token(
            "workflow path",
            text,
            WORKFLOW_PATH_BYTES_MAX,
            |byte| !byte.is_ascii_control() && byte != b'@' && byte != b'\\',
            "a control character, backslash or @",
        )?;
        match text.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
            true => Err(ParseError::new("workflow path", text, 0, "an empty or relative path segment")),
            false => Ok(WorkflowPath(text.to_owned())),
        }
    }
}

impl fmt::Display for WorkflowPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for WorkflowPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

text_identity!(
    WorkflowPath,
    "WorkflowPath",
    "^[^@\\\\]{1,512}$",
    "the path of a workflow file in its repository"
);

/// A workflow as certificates and runs name it: `github.com/acme/api/.github/workflows/release.yml@refs/heads/main`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkflowRef {
    pub repository: RepositoryRef,
    pub path: WorkflowPath,
    /// The ref or the commit after the `@`, as text of the forge.
    pub revision: Option<WorkflowRevision>,
}

/// What a workflow's definition was read at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkflowRevision {
    Ref(GitRef),
    Commit(crate::CommitId),
}

impl WorkflowRef {
    /// Parses the URL of Fulcio's extensions .9 and .18: `https://github.com/acme/api/.github/workflows/x.yml@refs/heads/main`.
    pub fn from_url(text: &str) -> Result<WorkflowRef, ParseError> {
        match text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) {
            Some(rest) => {
                rest.parse().map_err(|e: ParseError| e.inside("workflow url", text, text.len() - rest.len()))
            }
            None => Err(ParseError::new("workflow url", text, 0, "the scheme is not https or http")),
        }
    }

    pub fn git_ref(&self) -> Option<&GitRef> {
        match &self.revision {
            Some(WorkflowRevision::Ref(git_ref)) => Some(git_ref),
            _ => None,
        }
    }

    /// Whether both name one workflow file, whatever the revision.
    pub fn is_same_file(&self, other: &WorkflowRef) -> bool {
        self.repository.is_same(&other.repository) && self.path == other.path
    }
}

impl FromStr for WorkflowRef {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<WorkflowRef, ParseError> {
        const KIND: &str = "workflow";
        let (location, revision) = match text.split_once('@') {
            None => (text, None),
            Some((location, revision)) => {
                let at = location.len() + 1;
                let revision = match revision.parse::<crate::CommitId>() {
                    Ok(commit) => WorkflowRevision::Commit(commit),
                    Err(_) => WorkflowRevision::Ref(
                        revision.parse().map_err(|e: ParseError| e.inside(KIND, text, at))?,
                    ),
                };
                (location, Some(revision))
            }
        };
        // host/owner/name/path: the path begins at the third slash.
        let Some((slash, _)) = location.match_indices('/').nth(2) else {
            return Err(ParseError::new(KIND, text, location.len(), "it is not host/owner/name/path"));
        };
        let repository = location[..slash].parse().map_err(|e: ParseError| e.inside(KIND, text, 0))?;
        let path = location[slash + 1..].parse().map_err(|e: ParseError| e.inside(KIND, text, slash + 1))?;
        Ok(WorkflowRef { repository, path, revision })
    }
}

impl fmt::Display for WorkflowRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.repository, self.path)?;
        match &self.revision {
            Some(WorkflowRevision::Ref(git_ref)) => write!(formatter, "@{git_ref}"),
            Some(WorkflowRevision::Commit(commit)) => write!(formatter, "@{commit}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for WorkflowRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

text_identity!(
    WorkflowRef,
    "WorkflowRef",
    "^[^/]+/.+/[^/]+/.+$",
    "a workflow file in its repository, with a ref or commit"
);
