//! Tags, and the tags under which tools keep evidence instead of images.

use std::fmt;
use std::str::FromStr;

use crate::parse_error::check_token;
use crate::{Digest, ParseError};

/// The longest tag, in bytes.
pub const TAG_BYTES_MAX: usize = 128;

/// A tag: at most 128 letters, digits, underscores, dots and hyphens, not beginning with a dot or hyphen.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl Tag {
    /// The tag's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What this tag is, when tools use it to attach evidence to a digest instead of naming an image: cosign's
    /// `sha256-<hex>.sig`, `.att`, `.sbom`, or the referrers fallback `sha256-<hex>`.
    pub fn evidence_subject(&self) -> Option<(Digest, EvidenceTag)> {
        let (stem, kind) = match self.0.rsplit_once('.') {
            Some((stem, "sig")) => (stem, EvidenceTag::Signature),
            Some((stem, "att")) => (stem, EvidenceTag::Attestation),
            Some((stem, "sbom")) => (stem, EvidenceTag::Sbom),
            Some(_) => return None,
            None => (self.0.as_str(), EvidenceTag::Referrers),
        };
        let (algorithm, hex_text) = stem.split_once('-')?;
        Some((Digest::from_parts(algorithm, hex_text).ok()?, kind))
    }
}

/// The kinds of tags under which evidence is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvidenceTag {
    /// cosign's signatures, `sha256-<hex>.sig`.
    Signature,
    /// cosign's attestations, `sha256-<hex>.att`.
    Attestation,
    /// cosign's SBOMs, `sha256-<hex>.sbom`.
    Sbom,
    /// The list of referrers where a registry has no referrers API, `sha256-<hex>`.
    Referrers,
}

impl FromStr for Tag {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Tag, ParseError> {
        check_token(
            "tag",
            text,
            TAG_BYTES_MAX,
            |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'),
            "not a letter, digit, underscore, dot or hyphen",
        )?;
        if matches!(text.as_bytes()[0], b'.' | b'-') {
            return Err(ParseError::new("tag", text, 0, "it begins with a dot or hyphen"));
        }
        Ok(Tag(text.to_owned()))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

text_identity!(Tag, "Tag", "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", "an image tag");
