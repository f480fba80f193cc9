//! Manifests and indexes as this agent reads them (OCI image specification, manifest.md and image-index.md).
//!
//! In: bytes that are known to hash to their digest, and the media type that the registry stated. Out: an index or a
//! manifest with its descriptors. A document that is both at once is refused: two readers would see two images.

use std::collections::BTreeMap;

use bus_schema::Digest;
use bus_schema::registry::INDEX_ENTRIES_MAX;
use serde::Deserialize;

use super::error::ApiError;
use crate::media_type::{Content, is_index, is_manifest};

/// The longest media type or platform that is kept, in bytes. Together with the bound on entries it keeps what an index
/// says within one event.
const TEXT_BYTES_MAX: usize = 128;

/// A manifest or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
    pub(crate) artifact_type: Option<String>,
    /// What it is attached to.
    pub(crate) subject: Option<Digest>,
    pub(crate) body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    Index {
        entries: Vec<Descriptor>,
        /// There are more entries than are kept, or some that cannot be named.
        cut: bool,
    },
    Manifest {
        /// Absent in artifact manifests.
        config: Option<Descriptor>,
        layers: Vec<Descriptor>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
    pub(crate) size_bytes: u64,
    pub(crate) annotations: BTreeMap<String, String>,
    /// `os/architecture[/variant]`.
    pub(crate) platform: Option<String>,
}

impl Manifest {
    /// Reads what was delivered whole: bytes that fit their digest, or that the registry calls a manifest.
    pub(crate) fn parse_whole(digest: Digest, stated_type: &str, bytes: &[u8]) -> Result<Manifest, ApiError> {
        Manifest::parse(digest, stated_type, bytes).map_err(|error| match error {
            ApiError::Unreadable { what, reason } => ApiError::Malformed { what, reason },
            other => other,
        })
    }

    pub(crate) fn parse(digest: Digest, stated_type: &str, bytes: &[u8]) -> Result<Manifest, ApiError> {
        let raw: RawManifest =
            serde_json::from_slice(bytes).map_err(|error| unreadable(&error.to_string()))?;
        let media_type = raw.media_type.clone().unwrap_or_else(|| stated_type.to_owned());
        let has_layers = raw.layers.is_some() || raw.blobs.is_some() || raw.config.is_some();
        let subject = raw.subject.as_ref().map(|subject| parse_digest(&subject.digest)).transpose()?;
        let artifact_type = raw.artifact_type.clone().and_then(plain);
        let body = match (raw.manifests, has_layers) {
            (Some(_), true) => return Err(unreadable("it is an index and a manifest at once")),
            (None, false) => return Err(unreadable("it is neither an index nor a manifest")),
            (Some(_), false) if is_plain_manifest(&media_type) => {
                return Err(unreadable("it calls itself a manifest and is an index"));
            }
            (Some(entries), false) => index_body(entries),
            (None, true) if is_index(&media_type) => {
                return Err(unreadable("it calls itself an index and is a manifest"));
            }
            (None, true) => manifest_body(raw.config, raw.layers, raw.blobs)?,
        };
        let media_type = plain(media_type).unwrap_or_default();
        Ok(Manifest { digest, media_type, artifact_type, subject, body })
    }

    /// What it holds, by the media types of everything it references.
    pub(crate) fn content(&self) -> Content {
        match &self.body {
            Body::Index { .. } => Content::Image,
            Body::Manifest { config, layers } => {
                Content::of(config.iter().chain(layers).map(|descriptor| descriptor.media_type.as_str()))
            }
        }
    }
}

fn is_plain_manifest(media_type: &str) -> bool {
    is_manifest(media_type) && !is_index(media_type)
}

fn index_body(raw: Vec<RawDescriptor>) -> Body {
    let mut cut = raw.len() > INDEX_ENTRIES_MAX;
    let mut entries = Vec::with_capacity(raw.len().min(INDEX_ENTRIES_MAX));
    for descriptor in raw.into_iter().take(INDEX_ENTRIES_MAX) {
        match descriptor.check() {
            Ok(descriptor) => entries.push(descriptor),
            // An entry of another digest algorithm cannot be named on the bus: the list is not complete without it.
            Err(_) => cut = true,
        }
    }
    Body::Index { entries, cut }
}

fn manifest_body(
    config: Option<RawDescriptor>,
    layers: Option<Vec<RawDescriptor>>,
    blobs: Option<Vec<RawDescriptor>>,
) -> Result<Body, ApiError> {
    let config = config.map(RawDescriptor::check).transpose()?;
    let layers = layers.or(blobs).unwrap_or_default();
    let layers: Result<Vec<Descriptor>, ApiError> = layers.into_iter().map(RawDescriptor::check).collect();
    Ok(Body::Manifest { config, layers: layers? })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawManifest {
    media_type: Option<String>,
    artifact_type: Option<String>,
    manifests: Option<Vec<RawDescriptor>>,
    config: Option<RawDescriptor>,
    layers: Option<Vec<RawDescriptor>>,
    blobs: Option<Vec<RawDescriptor>>,
    subject: Option<RawDescriptor>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    #[serde(default)]
    size: u64,
    annotations: Option<BTreeMap<String, String>>,
    platform: Option<RawPlatform>,
}

#[derive(Debug, Deserialize)]
struct RawPlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
}

impl RawDescriptor {
    fn check(self) -> Result<Descriptor, ApiError> {
        let platform = self.platform.and_then(|platform| {
            let variant = platform.variant.filter(|variant| !variant.is_empty());
            let variant = variant.map(|variant| format!("/{variant}")).unwrap_or_default();
            plain(format!("{}/{}{variant}", platform.os, platform.architecture))
        });
        Ok(Descriptor {
            digest: parse_digest(&self.digest)?,
            media_type: plain(self.media_type).unwrap_or_default(),
            size_bytes: self.size,
            annotations: self.annotations.unwrap_or_default(),
            platform,
        })
    }
}

/// Text that is short and holds nothing but visible ASCII; other text says nothing to us.
fn plain(text: String) -> Option<String> {
    let is_plain = text.len() <= TEXT_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
    (is_plain && !text.is_empty()).then_some(text)
}

fn parse_digest(text: &str) -> Result<Digest, ApiError> {
    text.parse().map_err(|error: bus_schema::ParseError| unreadable(&error.to_string()))
}

fn unreadable(reason: &str) -> ApiError {
    ApiError::Unreadable { what: "the manifest", reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::media_type::{OCI_INDEX, OCI_MANIFEST};

    fn parse(media_type: &str, json: &str) -> Result<Manifest, ApiError> {
        Manifest::parse(Digest::sha256_of(json.as_bytes()), media_type, json.as_bytes())
    }

    fn hex(name: &str) -> String {
        Digest::sha256_of(name.as_bytes()).to_string()
    }

    #[test]
    fn a_document_that_two_readers_would_read_differently_is_refused() {
        let both = format!(r#"{{"manifests":[],"layers":[],"config":{{"digest":"{}"}}}}"#, hex("c"));
        assert!(parse(OCI_MANIFEST, &both).is_err());
        assert!(parse(OCI_INDEX, &format!(r#"{{"config":{{"digest":"{}"}}}}"#, hex("c"))).is_err());
        assert!(parse(OCI_MANIFEST, "{}").is_err());
        assert!(parse(OCI_MANIFEST, "[]").is_err());
        assert!(parse(OCI_MANIFEST, &"[".repeat(100_000)).is_err());
    }

    #[test]
    fn an_index_of_ten_thousand_entries_is_cut_and_says_so() {
        let entries: Vec<String> =
            (0..10_000).map(|n| format!(r#"{{"digest":"{}"}}"#, hex(&n.to_string()))).collect();
        let json = format!(r#"{{"manifests":[{}]}}"#, entries.join(","));
        let Body::Index { entries, cut } = parse(OCI_INDEX, &json).unwrap().body else { panic!() };
        assert_eq!((entries.len(), cut), (INDEX_ENTRIES_MAX, true));
    }

    #[test]
    fn an_entry_of_another_digest_algorithm_makes_the_index_incomplete() {
        let json = format!(r#"{{"manifests":[{{"digest":"md5:00"}},{{"digest":"{}"}}]}}"#, hex("a"));
        let Body::Index { entries, cut } = parse(OCI_INDEX, &json).unwrap().body else { panic!() };
        assert_eq!((entries.len(), cut), (1, true));
    }

    #[test]
    fn a_manifest_says_what_it_is_attached_to() {
        let json = format!(
            r#"{{"mediaType":"{OCI_MANIFEST}","artifactType":"a/b","config":{{"digest":"{}"}},"layers":[],"subject":{{"digest":"{}"}}}}"#,
            hex("c"),
            hex("s")
        );
        let manifest = parse("application/json", &json).unwrap();
        assert_eq!(manifest.subject, Some(Digest::sha256_of(b"s")));
        assert_eq!(manifest.media_type, OCI_MANIFEST);
        assert_eq!(manifest.artifact_type.as_deref(), Some("a/b"));
    }
}
