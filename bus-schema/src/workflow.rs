//! Workflows: the file that defines a run, in a repository, at a ref or commit.

use std::fmt;
use std::str::FromStr;

use crate::parse_error::check_token;
use crate::repository::relative_segment;
use crate::{GitRef, ParseError, RepositoryRef};

/// The longest path of a workflow file, in bytes.
pub const WORKFLOW_PATH_BYTES_MAX: usize = 512;

/// The path of a workflow file inside its repository, for example `.github/workflows/release.yml`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkflowPath(String);

impl WorkflowPath {
    /// The path's text.
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
        match relative_segment(text) {
            Some(position) => {
                Err(ParseError::new("workflow path", text, position, "an empty or relative path segment"))
            }
            None => Ok(WorkflowPath(text.to_owned())),
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

/// A workflow as certificates and runs name it: `github.com/acme/api/.github/workflows/release.yml@refs/heads/main`, or
/// with nested groups `gitlab.com/acme/shop/api//.gitlab-ci.yml@refs/heads/main`. The text carries no ids of the forge.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkflowRef {
    /// The repository that holds the file.
    pub repository: RepositoryRef,
    /// The file in it.
    pub path: WorkflowPath,
    /// The ref or the commit after the `@`, as text of the forge.
    pub revision: Option<WorkflowRevision>,
}

/// What a workflow's definition was read at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkflowRevision {
    /// A branch or tag, which may have moved since.
    Ref(GitRef),
    /// A commit, which cannot move.
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

    /// The ref, where the revision is one.
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
        let Some((slash, path_at)) = repository_end(location) else {
            return Err(ParseError::new(KIND, text, location.len(), "it is not host/owner/name/path"));
        };
        let repository = location[..slash].parse().map_err(|e: ParseError| e.inside(KIND, text, 0))?;
        let path = location[path_at..].parse().map_err(|e: ParseError| e.inside(KIND, text, path_at))?;
        Ok(WorkflowRef { repository, path, revision })
    }
}

/// Where the repository ends and where the path begins: at a double slash, which GitLab writes because its groups
/// nest, else around the third slash of `host/owner/name/path`.
fn repository_end(location: &str) -> Option<(usize, usize)> {
    let double = location.find("//").map(|at| (at, at + 2));
    double.or_else(|| location.match_indices('/').nth(2).map(|(at, _)| (at, at + 1)))
}

impl fmt::Display for WorkflowRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.repository.owner.contains('/') { "//" } else { "/" };
        write!(formatter, "{}{separator}{}", self.repository, self.path)?;
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
