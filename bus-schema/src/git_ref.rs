//! Git references by their full name, for example `refs/heads/main`.

use std::fmt;
use std::str::FromStr;

use crate::ParseError;

/// The longest reference name that is accepted, in bytes.
pub const GIT_REF_BYTES_MAX: usize = 1024;

/// A full reference name. Short names such as `main` do not parse: a branch and a tag may share one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GitRef(String);

impl GitRef {
    /// The ref of a branch, from its short name.
    pub fn branch(name: &str) -> Result<GitRef, ParseError> {
        format!("refs/heads/{name}").parse()
    }

    /// The ref of a tag, from its short name.
    pub fn tag(name: &str) -> Result<GitRef, ParseError> {
        format!("refs/tags/{name}").parse()
    }

    /// The full name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The branch's name, when this is a branch.
    pub fn as_branch(&self) -> Option<&str> {
        self.0.strip_prefix("refs/heads/")
    }

    /// The tag's name, when this is a tag.
    pub fn as_tag(&self) -> Option<&str> {
        self.0.strip_prefix("refs/tags/")
    }
}

impl FromStr for GitRef {
    type Err = ParseError;

    /// The rules of git-check-ref-format(1). Stricter in two things: a name below `refs/<kind>/` is required, and control
    /// characters beyond ASCII are refused too, because terminals obey them.
    fn from_str(text: &str) -> Result<GitRef, ParseError> {
        let refuse =
            |position: usize, reason: &'static str| Err(ParseError::new("git ref", text, position, reason));
        if text.len() > GIT_REF_BYTES_MAX {
            return refuse(GIT_REF_BYTES_MAX, "longer than 1,024 bytes");
        }
        if !text.starts_with("refs/") {
            return refuse(0, "it does not begin with refs/");
        }
        let forbidden =
            |c: char| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
        if let Some(position) = text.find(forbidden) {
            return refuse(position, "a character that git does not allow in a ref");
        }
        for pattern in ["..", "//", "@{", "/.", ".lock/"] {
            if let Some(position) = text.find(pattern) {
                return refuse(position, "a sequence that git does not allow in a ref");
            }
        }
        if let Some(ending) = ["/", ".", ".lock"].into_iter().find(|ending| text.ends_with(ending)) {
            return refuse(text.len() - ending.len(), "an ending that git does not allow in a ref");
        }
        if text.bytes().filter(|byte| *byte == b'/').count() < 2 {
            return refuse(text.len(), "no name after refs/<kind>/");
        }
        Ok(GitRef(text.to_owned()))
    }
}

impl fmt::Display for GitRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for GitRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

text_identity!(GitRef, "GitRef", "^refs/[^/]+/.+$", "a full git reference name");
