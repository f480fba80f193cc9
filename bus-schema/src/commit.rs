//! Git commit ids: 40 hex digits (SHA-1 repositories) or 64 (SHA-256 repositories).

use std::fmt;
use std::str::FromStr;

use crate::ParseError;

/// The id of one commit. All zeros, which git writes for "no commit", is none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(String);

impl CommitId {
    /// The lower-case hexadecimal text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve hex digits, for display only.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }

    /// Parses the `before` or `after` of a push, where forges write "no commit" as all zeros.
    pub fn parse_or_zero(text: &str) -> Result<Option<CommitId>, ParseError> {
        match is_zero(text) {
            true => Ok(None),
            false => text.parse().map(Some),
        }
    }
}

impl FromStr for CommitId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<CommitId, ParseError> {
        if let Some(position) = text.bytes().position(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(ParseError::new("commit id", text, position, "not a lower-case hex digit"));
        }
        if text.len() != 40 && text.len() != 64 {
            let reason = format!("{} hex digits, a commit id has 40 or 64", text.len());
            return Err(ParseError::new("commit id", text, text.len(), reason));
        }
        if is_zero(text) {
            return Err(ParseError::new("commit id", text, 0, "all zeros, which means no commit"));
        }
        Ok(CommitId(text.to_owned()))
    }
}

/// Whether `text` is how forges write "no commit".
fn is_zero(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte == b'0')
}

impl fmt::Display for CommitId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for CommitId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

text_identity!(
    CommitId,
    "CommitId",
    "^([0-9a-f]{40}|[0-9a-f]{64})$",
    "a git commit id in lower-case hexadecimal"
);
