//! Repositories on a forge, by name and, where known, by the forge's immutable ids.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CommitId;
use crate::ParseError;
use crate::host::canonical_host;
use crate::parse_error::check_token;

const GITHUB: &str = "github.com";

/// The longest owner or repository name, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// The host of a forge, lower-case, with a port where it is not the default: `github.com`, `git.acme.example:8443`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForgeHost(String);

impl ForgeHost {
    /// The host's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ForgeHost {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<ForgeHost, ParseError> {
        Ok(ForgeHost(canonical_host("forge host", text)?))
    }
}

impl fmt::Display for ForgeHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for ForgeHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

text_identity!(ForgeHost, "ForgeHost", "^[A-Za-z0-9.:\\[\\]-]{1,255}$", "the host of a forge");

/// An id that a forge gives once and never again, for example GitHub's numeric repository id. Text, because forges differ.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForgeId(String);

impl ForgeId {
    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<u64> for ForgeId {
    fn from(id: u64) -> ForgeId {
        ForgeId(id.to_string())
    }
}

impl FromStr for ForgeId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<ForgeId, ParseError> {
        check_token(
            "forge id",
            text,
            64,
            |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
            "not a letter, digit, hyphen or underscore",
        )?;
        Ok(ForgeId(text.to_owned()))
    }
}

impl fmt::Display for ForgeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for ForgeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

text_identity!(ForgeId, "ForgeId", "^[A-Za-z0-9_-]{1,64}$", "an immutable id given by a forge");

/// A repository on a forge. Judging compares ids where both sides have them: a name can be registered again by a stranger.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryRef {
    /// The forge.
    pub host: ForgeHost,
    /// The organisation, group or person; nested groups are separated by slashes.
    #[serde(deserialize_with = "owner_text")]
    pub owner: String,
    /// The repository's name.
    #[serde(deserialize_with = "name_text")]
    pub name: String,
    /// The forge's immutable id of the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ForgeId>,
    /// The forge's immutable id of the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<ForgeId>,
}

impl RepositoryRef {
    /// The same repository with the forge's ids.
    pub fn with_ids(mut self, id: Option<ForgeId>, owner_id: Option<ForgeId>) -> RepositoryRef {
        self.id = id;
        self.owner_id = owner_id;
        self
    }

    /// `host/owner/name`, without ids.
    pub fn path(&self) -> String {
        format!("{}/{}/{}", self.host, self.owner, self.name)
    }

    /// Whether both name one repository: by id where both have one, else by name (forges ignore case in names).
    pub fn is_same(&self, other: &RepositoryRef) -> bool {
        if self.host != other.host {
            return false;
        }
        match (&self.id, &other.id) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => self.owner.eq_ignore_ascii_case(&other.owner) && self.name.eq_ignore_ascii_case(&other.name),
        }
    }

    /// Parses the repository's web address, as certificates and provenance carry it: `https://github.com/acme/api`, a
    /// `git+https` scheme and a `.git` ending included.
    pub fn from_url(text: &str) -> Result<RepositoryRef, ParseError> {
        const KIND: &str = "repository url";
        let rest = text.strip_prefix("git+").unwrap_or(text);
        let Some(path) = rest.strip_prefix("https://").or_else(|| rest.strip_prefix("http://")) else {
            return Err(ParseError::new(KIND, text, 0, "the scheme is not https or http"));
        };
        let path_at = text.len() - path.len();
        let path = path.strip_suffix('/').unwrap_or(path);
        let path = path.strip_suffix(".git").unwrap_or(path);
        let repository: RepositoryRef =
            path.parse().map_err(|error: ParseError| error.inside(KIND, text, path_at))?;
        // What a forge shows of a repository lies below its address: `…/acme/api/commit/…` is no repository of `acme/api/commit`.
        let is_nested = repository.owner.contains('/');
        if is_nested && repository.host.as_str() == GITHUB {
            return Err(ParseError::new(KIND, text, path_at, "github.com has no nested owners"));
        }
        if is_nested && repository.owner.ends_with("/commit") && repository.name.parse::<CommitId>().is_ok() {
            return Err(ParseError::new(KIND, text, path_at, "it is the address of a commit"));
        }
        Ok(repository)
    }
}

impl FromStr for RepositoryRef {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<RepositoryRef, ParseError> {
        let Some((host_text, rest)) = text.split_once('/') else {
            return Err(ParseError::new("repository", text, text.len(), "it is not host/owner/name"));
        };
        let host: ForgeHost = host_text.parse().map_err(|e: ParseError| e.inside("repository", text, 0))?;
        // GitLab nests groups: everything up to the last slash is the owner.
        let Some((owner, name)) = rest.rsplit_once('/') else {
            return Err(ParseError::new("repository", text, text.len(), "it is not host/owner/name"));
        };
        check_owner(owner).map_err(|e| e.inside("repository", text, host_text.len() + 1))?;
        check_name(name).map_err(|e| e.inside("repository", text, text.len() - name.len()))?;
        Ok(RepositoryRef { host, owner: owner.to_owned(), name: name.to_owned(), id: None, owner_id: None })
    }
}

impl fmt::Display for RepositoryRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.host, self.owner, self.name)
    }
}

fn name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

fn check_owner(owner: &str) -> Result<(), ParseError> {
    check_token(
        "owner",
        owner,
        NAME_BYTES_MAX,
        |byte| name_byte(byte) || byte == b'/',
        "not a letter, digit, dot, hyphen, underscore or slash",
    )?;
    match relative_segment(owner) {
        Some(position) => Err(ParseError::new("owner", owner, position, "an empty or relative path segment")),
        None => Ok(()),
    }
}

/// Where a segment of `path` begins that is empty, `.` or `..`.
pub(crate) fn relative_segment(path: &str) -> Option<usize> {
    let mut at = 0;
    for segment in path.split('/') {
        if matches!(segment, "" | "." | "..") {
            return Some(at);
        }
        at += segment.len() + 1;
    }
    None
}

fn check_name(name: &str) -> Result<(), ParseError> {
    check_token(
        "repository name",
        name,
        NAME_BYTES_MAX,
        name_byte,
        "not a letter, digit, dot, hyphen or underscore",
    )?;
    match name {
        "." | ".." => Err(ParseError::new("repository name", name, 0, "a relative path segment")),
        _ => Ok(()),
    }
}

fn owner_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    check_owner(&text).map_err(serde::de::Error::custom)?;
    Ok(text)
}

fn name_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    check_name(&text).map_err(serde::de::Error::custom)?;
    Ok(text)
}
