//! Image references, repositories and tags (OCI distribution specification, "Pulling manifests"; the reference grammar
//! of the distribution project). The only place that splits one.

mod path;
mod tag;

use std::fmt;
use std::str::FromStr;

use crate::host::canonical_host;
use crate::{Digest, ParseError};

pub use path::IMAGE_NAME_BYTES_MAX;
pub use tag::{EvidenceTag, TAG_BYTES_MAX, Tag};

use path::check_path;

/// The longest image reference that is looked at, in bytes: host, name, tag and a SHA-512 digest with their separators.
pub const IMAGE_REF_BYTES_MAX: usize = 1024;
/// The registry of a reference that names none.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// Where Docker Hub keeps the repositories that have no owner.
const HUB_LIBRARY: &str = "library/";

/// A repository in a registry: `ghcr.io/acme/payments-api`. The registry is always named.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRepository {
    registry: String,
    name: String,
}

impl ImageRepository {
    /// A repository from its two parts, checked like the whole.
    pub fn new(registry: &str, name: &str) -> Result<ImageRepository, ParseError> {
        let text = format!("{registry}/{name}");
        ImageRepository::at("image repository", &text, registry, name, registry.len() + 1)
    }

    /// The repository `name` of `registry`, where `name` stands at `name_at` in `whole`. Docker Hub has one name, and what
    /// has no owner there lies in `library/`.
    fn at(
        kind: &'static str,
        whole: &str,
        registry: &str,
        name: &str,
        name_at: usize,
    ) -> Result<ImageRepository, ParseError> {
        let host = canonical_host("registry", registry).map_err(|e| e.inside(kind, whole, 0))?;
        if !is_registry_host(&host) {
            let reason = "a registry without a dot or port reads as an owner on Docker Hub";
            return Err(ParseError::new(kind, whole, 0, reason));
        }
        let is_hub = matches!(host.as_str(), "docker.io" | "index.docker.io" | "registry-1.docker.io");
        check_path(name).map_err(|e| e.inside(kind, whole, name_at))?;
        if !is_hub {
            return Ok(ImageRepository { registry: host, name: name.to_owned() });
        }
        let name = if name.contains('/') { name.to_owned() } else { format!("{HUB_LIBRARY}{name}") };
        check_path(&name).map_err(|e| ParseError::new(kind, whole, name_at, e.reason))?;
        Ok(ImageRepository { registry: DEFAULT_REGISTRY.to_owned(), name })
    }

    /// The registry's host, with a port where it has one.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository's name inside the registry, without the host.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for ImageRepository {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<ImageRepository, ParseError> {
        let reference: ImageRef = text.parse()?;
        if reference.tag.is_some() || reference.digest.is_some() {
            let position = text.find('@').or_else(|| text.rfind(':')).unwrap_or(0);
            return Err(ParseError::new(
                "image repository",
                text,
                position,
                "a tag or digest where none belongs",
            ));
        }
        Ok(reference.repository)
    }
}

impl fmt::Display for ImageRepository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.name)
    }
}

impl fmt::Debug for ImageRepository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

text_identity!(
    ImageRepository,
    "ImageRepository",
    "^[^\\s@/]{1,255}/[^\\s@]{1,255}$",
    "a registry and a repository in it"
);

/// A reference to an image: a repository with a tag, a digest, both, or neither.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    /// Where the image lies.
    pub repository: ImageRepository,
    /// The name that may move. Where there is a digest too, the digest decides.
    pub tag: Option<Tag>,
    /// The content itself.
    pub digest: Option<Digest>,
}

impl ImageRef {
    /// A reference that always means the same content.
    pub fn by_digest(repository: ImageRepository, digest: Digest) -> ImageRef {
        ImageRef { repository, tag: None, digest: Some(digest) }
    }

    /// A reference that means whatever the tag points at.
    pub fn by_tag(repository: ImageRepository, tag: Tag) -> ImageRef {
        ImageRef { repository, tag: Some(tag), digest: None }
    }
}

impl FromStr for ImageRef {
    type Err = ParseError;

    /// Parses what people and Kubernetes write. A name without a registry is Docker Hub's, and one without a slash lies
    /// in `library/` there, as every container runtime reads it.
    fn from_str(text: &str) -> Result<ImageRef, ParseError> {
        const KIND: &str = "image reference";
        if text.len() > IMAGE_REF_BYTES_MAX {
            return Err(ParseError::new(KIND, text, IMAGE_REF_BYTES_MAX, "longer than 1,024 bytes"));
        }
        if is_bare_hash(text) {
            return Err(ParseError::new(KIND, text, 0, "a hash without a repository"));
        }
        let (before_digest, digest) = match text.find('@') {
            None => (text, None),
            Some(at) => {
                let digest = text[at + 1..].parse().map_err(|e: ParseError| e.inside(KIND, text, at + 1))?;
                (&text[..at], Some(digest))
            }
        };
        let last_slash = before_digest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match before_digest[last_slash..].find(':') {
            None => (before_digest, None),
            Some(offset) => {
                let colon = last_slash + offset;
                let tag = before_digest[colon + 1..]
                    .parse()
                    .map_err(|e: ParseError| e.inside(KIND, text, colon + 1))?;
                (&before_digest[..colon], Some(tag))
            }
        };
        let repository = match name.split_once('/') {
            Some((first, rest)) if is_registry_host(first) => {
                ImageRepository::at(KIND, text, first, rest, first.len() + 1)?
            }
            _ => ImageRepository::at(KIND, text, DEFAULT_REGISTRY, name, 0)?,
        };
        Ok(ImageRef { repository, tag, digest })
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.repository, formatter)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(formatter, "@{digest}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ImageRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

text_identity!(ImageRef, "ImageRef", "^\\S{1,1024}$", "an image reference");

/// Docker's rule: the first component is a host when it has a dot, a port or an upper-case letter, or is `localhost`.
fn is_registry_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// An image's id as runtimes print it (`sha256:<hex>`, or 64 hex digits alone) reads like a name with a tag, but names
/// no repository. Docker refuses it as a reference too.
fn is_bare_hash(text: &str) -> bool {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == 64 && text.bytes().all(is_hex)) || text.parse::<Digest>().is_ok()
}
