//! Image references, repositories and tags (OCI distribution specification, "Pulling manifests"; the reference grammar
//! of the distribution project). The only place that splits one.

use std::fmt;
use std::str::FromStr;

use crate::parse_error::check_token;
use crate::{Digest, ParseError};

/// The longest registry and repository together, in bytes (distribution: `NameTotalLengthMax`).
pub const IMAGE_NAME_BYTES_MAX: usize = 255;
/// The longest tag, in bytes.
pub const TAG_BYTES_MAX: usize = 128;
/// The registry of a reference that names none.
pub const DEFAULT_REGISTRY: &str = "docker.io";

/// A tag: at most 128 letters, digits, underscores, dots and hyphens, not beginning with a dot or hyphen.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl Tag {
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
    Signature,
    Attestation,
    Sbom,
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
        let registry = check_registry(registry).map_err(|e| e.inside("image repository", &text, 0))?;
        check_path(name).map_err(|e| e.inside("image repository", &text, registry.len() + 1))?;
        check_total(&text)?;
        Ok(ImageRepository { registry, name: name.to_owned() })
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

text_identity!(ImageRepository, "ImageRepository", "^[^\\s@]{1,255}$", "a registry and a repository in it");

/// A reference to an image: a repository with a tag, a digest, both, or neither.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    pub repository: ImageRepository,
    pub tag: Option<Tag>,
    pub digest: Option<Digest>,
}

impl ImageRef {
    pub fn by_digest(repository: ImageRepository, digest: Digest) -> ImageRef {
        ImageRef { repository, tag: None, digest: Some(digest) }
    }

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
        let (registry, path, path_at) = split_registry(name);
        let registry = check_registry(registry).map_err(|e| e.inside(KIND, text, 0))?;
        check_path(&path).map_err(|e| e.inside(KIND, text, path_at))?;
        check_total(text.get(..name.len()).unwrap_or(text))?;
        Ok(ImageRef { repository: ImageRepository { registry, name: path }, tag, digest })
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

/// The registry, the path inside it, and where the path begins in `name`.
fn split_registry(name: &str) -> (&str, String, usize) {
    match name.split_once('/') {
        Some((first, rest)) if is_registry_host(first) => {
            let path = match (is_docker_hub(first), rest.contains('/')) {
                (true, false) => format!("library/{rest}"),
                _ => rest.to_owned(),
            };
            (first, path, first.len() + 1)
        }
        Some(_) => (DEFAULT_REGISTRY, name.to_owned(), 0),
        None => (DEFAULT_REGISTRY, format!("library/{name}"), 0),
    }
}

fn is_docker_hub(host: &str) -> bool {
    matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io")
}

/// Docker's rule: the first component is a host when it has a dot, a port or an upper-case letter, or is `localhost`.
fn is_registry_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn check_registry(registry: &str) -> Result<String, ParseError> {
    let lower = registry.to_ascii_lowercase();
    check_token(
        "registry",
        &lower,
        IMAGE_NAME_BYTES_MAX,
        |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b':' | b'[' | b']' | b'_'),
        "not a letter, digit, dot, hyphen or colon",
    )?;
    if is_docker_hub(&lower) {
        return Ok(DEFAULT_REGISTRY.to_owned());
    }
    let port = match lower.strip_prefix('[') {
        // An IPv6 address in brackets.
        Some(rest) => match rest.split_once(']') {
            Some((_, "")) => None,
            Some((_, port)) => Some(port.strip_prefix(':').unwrap_or("?")),
            None => return Err(ParseError::new("registry", registry, 0, "a bracket that does not close")),
        },
        None => lower.split_once(':').map(|(_, port)| port),
    };
    match port {
        Some(port) if port.parse::<u16>().is_err() || port.starts_with('+') => Err(ParseError::new(
            "registry",
            registry,
            registry.len() - port.len().min(registry.len()),
            "not a port number",
        )),
        _ => Ok(lower),
    }
}

/// Checks path components: lower-case letters and digits, separated by one dot, one or two underscores, or hyphens.
fn check_path(path: &str) -> Result<(), ParseError> {
    if path.is_empty() {
        return Err(ParseError::new("repository", path, 0, "it is empty"));
    }
    let mut position = 0;
    for component in path.split('/') {
        check_component(path, component, position)?;
        position += component.len() + 1;
    }
    Ok(())
}

fn check_component(path: &str, component: &str, offset: usize) -> Result<(), ParseError> {
    let refuse =
        |at: usize, reason: &'static str| Err(ParseError::new("repository", path, offset + at, reason));
    if component.is_empty() {
        return refuse(0, "an empty path segment");
    }
    let is_word = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
    let bytes = component.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        if is_word(bytes[index]) {
            index += 1;
            continue;
        }
        let start = index;
        while index < bytes.len()
            && bytes[index] == bytes[start]
            && matches!(bytes[start], b'.' | b'_' | b'-')
        {
            index += 1;
        }
        let run = index - start;
        match bytes[start] {
            b'.' if run == 1 => {}
            b'_' if run <= 2 => {}
            b'-' if run >= 1 => {}
            b'.' | b'_' => return refuse(start, "too many separators in a row"),
            _ => return refuse(start, "not a lower-case letter, digit or separator"),
        }
        if start == 0 || index == bytes.len() || !is_word(bytes[index]) {
            return refuse(start, "a separator that does not stand between letters or digits");
        }
    }
    Ok(())
}

fn check_total(name: &str) -> Result<(), ParseError> {
    match name.len() > IMAGE_NAME_BYTES_MAX {
        true => Err(ParseError::new(
            "image reference",
            name,
            IMAGE_NAME_BYTES_MAX,
            "the name is longer than 255 bytes",
        )),
        false => Ok(()),
    }
}
