//! What a runtime says in `imageID`: a manifest's or index's digest in a repository, an image's config digest, or nothing.
//!
//! In: hostile text. Out: the digest with what it is the digest of. Never a guess: text that is none of the known
//! forms has no digest.

use crate::Digest;

/// What `imageID` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageId {
    /// `repository@digest`: the digest of a manifest or an index. The repository is kept as text: an image that was
    /// loaded by hand has one that exists nowhere (`import-2024-11-07`).
    Manifest {
        /// The text before the digest.
        repository: String,
        /// The manifest's or index's digest.
        digest: Digest,
    },
    /// A bare digest: the image's config. It is not the digest of any manifest.
    Config {
        /// The config's digest.
        digest: Digest,
    },
    /// The runtime says nothing, or nothing that is known.
    Absent,
}

impl ImageId {
    /// Reads what a runtime says. It never fails: what is none of the known forms is [`ImageId::Absent`].
    pub fn parse(text: &str) -> ImageId {
        let name = without_scheme(text);
        if let Some((repository, digest)) = name.rsplit_once('@') {
            return match digest.parse() {
                Ok(digest) if !repository.is_empty() => {
                    ImageId::Manifest { repository: repository.to_owned(), digest }
                }
                _ => ImageId::Absent,
            };
        }
        // CRI-O gives the image's id without an algorithm; it is the SHA-256 of the config.
        match name.parse().or_else(|_| Digest::from_parts("sha256", name)) {
            Ok(digest) => ImageId::Config { digest },
            Err(_) => ImageId::Absent,
        }
    }

    /// The digest, whatever it is the digest of.
    pub fn digest(&self) -> Option<Digest> {
        match self {
            ImageId::Manifest { digest, .. } | ImageId::Config { digest } => Some(*digest),
            ImageId::Absent => None,
        }
    }
}

/// Without `docker-pullable://`, `docker://` and their like.
fn without_scheme(text: &str) -> &str {
    match text.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => {
            rest
        }
        _ => text,
    }
}
