//! An OCI image layout on disk, read as a registry is (OCI image specification, image-layout.md).
//!
//! In: a folder with `index.json` and `blobs`, and which of its images is meant. Out: what a look at a registry with the
//! same content finds. Every blob is read by its digest and compared with it; sizes have the bounds that a registry's answers
//! have. Files may carry `.json` behind the name that the specification gives them.

mod unlisted;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use bus_schema::{Digest, ImageRepository};
use bytes::Bytes;
use serde::Deserialize;

use crate::api::client::{MANIFEST_BYTES_MAX, checked};
use crate::api::error::ApiError;
use crate::api::manifest::{Body, Descriptor, Manifest};
use crate::api::referrers::Referrers;
use crate::contents::Contents;
use crate::look_once::{Collected, collected};
use crate::media_type::{Content, OCI_INDEX};
use unlisted::Unlisted;

const MARKER_BYTES_MAX: usize = 4096;
/// How long reading one layout may take.
const READ_WITHIN: Duration = Duration::from_secs(120);
/// How many images an error names.
const IMAGES_NAMED_MAX: usize = 10;

const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// How cosign marks what it saves: `dev.cosignproject.cosign/image`, `/imageIndex`, `/sigs`, `/atts`.
const KIND: &str = "kind";
const COSIGN_KIND: &str = "dev.cosignproject.cosign/";
const COSIGN_IMAGES: [&str; 2] = ["image", "imageIndex"];

/// Which image of a layout is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The only one.
    Only,
    /// The one of this name, or with this tag.
    Named(String),
    Digest(Digest),
}

/// Why a layout cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    #[error("{} is not an OCI image layout: {reason}", path.display())]
    NotALayout { path: PathBuf, reason: String },
    #[error("the layout {} has no image {wanted}", path.display())]
    NoSuchImage { path: PathBuf, wanted: String },
    #[error("the layout {} holds several images; choose one with @digest: {}", path.display(), images.join(", "))]
    SeveralImages { path: PathBuf, images: Vec<String> },
}

/// Whether a folder looks like a layout at all.
pub fn is_layout(path: &Path) -> bool {
    ["oci-layout", "index.json"].iter().any(|name| path.join(name).is_file()) && path.join("blobs").is_dir()
}

/// Looks at one image of the layout in `path` and at everything that the layout holds about it, under the name of a
/// repository: a layout has none of its own.
pub async fn read(
    path: &Path,
    wanted: &Wanted,
    repository: &ImageRepository,
) -> Result<Collected, LayoutError> {
    let layout = Layout::open(path)?;
    let digest = layout.choose(wanted)?;
    Ok(collected(&layout, true, repository, digest, READ_WITHIN).await)
}

/// An opened layout: its index, the manifests that the index lists, and those that refer to another and are not listed.
#[derive(Debug)]
struct Layout {
    path: PathBuf,
    listed: Vec<Listed>,
    unlisted: Unlisted,
    is_cut: bool,
}

#[derive(Debug)]
struct Listed {
    descriptor: Descriptor,
    manifest: Result<Manifest, ApiError>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

impl Layout {
    fn open(path: &Path) -> Result<Layout, LayoutError> {
        let not_a_layout = |reason: String| LayoutError::NotALayout { path: path.to_owned(), reason };
        let marker = read_file(&path.join("oci-layout"), MARKER_BYTES_MAX)
            .map_err(|error| not_a_layout(format!("its file oci-layout cannot be read: {}", said(&error))))?;
        let marker: Marker =
            serde_json::from_slice(&marker).map_err(|error| not_a_layout(format!("oci-layout: {error}")))?;
        if !marker.image_layout_version.starts_with("1.") {
            let version: String = marker.image_layout_version.chars().take(20).collect();
            return Err(not_a_layout(format!("version {version:?} is not 1")));
        }
        let index = read_file(&path.join("index.json"), MANIFEST_BYTES_MAX)
            .map_err(|error| not_a_layout(format!("index.json: {}", said(&error))))?;
        let index = Manifest::parse(Digest::sha256_of(&index), OCI_INDEX, &index)
            .map_err(|error| not_a_layout(format!("index.json: {error}")))?;
        let Body::Index { entries, cut } = index.body else {
            return Err(not_a_layout("index.json is not an index".to_owned()));
        };
        let listed: BTreeSet<Digest> = entries.iter().map(|entry| entry.digest).collect();
        let unlisted = Unlisted::of(&path.join("blobs"), &listed);
        let mut layout = Layout { path: path.to_owned(), listed: Vec::new(), unlisted, is_cut: cut };
        for descriptor in entries {
            let manifest = layout.read_manifest(&descriptor.digest, &descriptor.media_type);
            layout.listed.push(Listed { descriptor, manifest });
        }
        Ok(layout)
    }

    fn choose(&self, wanted: &Wanted) -> Result<Digest, LayoutError> {
        let no_such = |wanted: String| LayoutError::NoSuchImage { path: self.path.clone(), wanted };
        match wanted {
            // Any digest that is there: a platform that only an inner index lists, too.
            Wanted::Digest(digest) => match self.read_manifest(digest, "") {
                Err(ApiError::NotFound) => Err(no_such(digest.to_string())),
                _ => Ok(*digest),
            },
            Wanted::Named(name) => {
                let named = self.images().filter(|listed| listed.is_named(name));
                self.one_of(named.collect(), || no_such(name.clone()))
            }
            Wanted::Only => self.one_of(self.images().collect(), || no_such("at all".to_owned())),
        }
    }

    fn one_of(
        &self,
        mut images: Vec<&Listed>,
        none: impl FnOnce() -> LayoutError,
    ) -> Result<Digest, LayoutError> {
        images.sort_by_key(|listed| listed.descriptor.digest);
        images.dedup_by_key(|listed| listed.descriptor.digest);
        match images[..] {
            [] => Err(none()),
            [only] => Ok(only.descriptor.digest),
            _ => Err(LayoutError::SeveralImages {
                path: self.path.clone(),
                images: images.iter().take(IMAGES_NAMED_MAX).map(|listed| listed.shown()).collect(),
            }),
        }
    }

    fn images(&self) -> impl Iterator<Item = &Listed> {
        self.listed.iter().filter(|listed| listed.is_image())
    }

    fn read_manifest(&self, digest: &Digest, media_type: &str) -> Result<Manifest, ApiError> {
        let bytes = self.read_blob(digest, MANIFEST_BYTES_MAX, "the manifest")?;
        Manifest::parse_whole(*digest, media_type, &bytes)
    }

    fn read_blob(&self, digest: &Digest, bytes_max: usize, what: &'static str) -> Result<Bytes, ApiError> {
        let path = self.path.join("blobs").join(digest.algorithm()).join(digest.hex());
        let bytes = read_file(&path, bytes_max).map_err(|error| match error {
            ReadError::Absent => ApiError::NotFound,
            ReadError::TooLarge => ApiError::TooLarge { what, bytes_max: bytes_max as u64 },
            ReadError::Other(reason) => ApiError::Unreadable { what, reason },
        })?;
        checked(*digest, &bytes)?;
        Ok(Bytes::from(bytes))
    }
}

impl Listed {
    fn annotation(&self, key: &str) -> Option<&str> {
        self.descriptor.annotations.get(key).map(String::as_str)
    }

    fn cosign_kind(&self) -> Option<&str> {
        self.annotation(KIND).and_then(|kind| kind.strip_prefix(COSIGN_KIND))
    }

    /// What may run. A manifest that cannot be read is one, so that a look at it says why.
    fn is_image(&self) -> bool {
        let is_evidence_tag = self.annotation(REF_NAME).is_some_and(|name| {
            let tag = name.rsplit(':').next().unwrap_or_default();
            tag.parse::<bus_schema::Tag>().is_ok_and(|tag| tag.evidence_subject().is_some())
        });
        if is_evidence_tag || self.cosign_kind().is_some_and(|kind| !COSIGN_IMAGES.contains(&kind)) {
            return false;
        }
        match &self.manifest {
            Ok(manifest) => manifest.subject.is_none() && manifest.content() == Content::Image,
            Err(_) => true,
        }
    }

    /// Whether its name is this one, or a reference that ends in it as its tag.
    fn is_named(&self, name: &str) -> bool {
        self.annotation(REF_NAME).is_some_and(|found| {
            found == name || found.strip_suffix(name).is_some_and(|rest| rest.ends_with(':'))
        })
    }

    /// Whether it is attached to an image: by its subject, or as cosign marks what it saves beside an image.
    fn is_attached_to(&self, subject: &Digest, images: &[&Listed]) -> bool {
        match &self.manifest {
            Ok(manifest) if manifest.subject == Some(*subject) => return true,
            // What cannot be read may be anything: whoever collects says that it could not.
            Err(error) if *error != ApiError::NotFound => return self.descriptor.digest != *subject,
            _ => {}
        }
        let is_marked = self.cosign_kind().is_some_and(|kind| !COSIGN_IMAGES.contains(&kind));
        is_marked
            && images.iter().any(|image| {
                image.descriptor.digest == *subject && image.annotation(REF_NAME) == self.annotation(REF_NAME)
            })
    }

    fn shown(&self) -> String {
        match self.annotation(REF_NAME) {
            Some(name) => format!("{} ({name})", self.descriptor.digest),
            None => self.descriptor.digest.to_string(),
        }
    }
}

#[async_trait]
impl Contents for Layout {
    async fn manifest(&self, _: &ImageRepository, digest: &Digest) -> Result<Manifest, ApiError> {
        let known = self.listed.iter().find(|listed| listed.descriptor.digest == *digest);
        match known {
            Some(listed) => listed.manifest.clone(),
            None => self.read_manifest(digest, ""),
        }
    }

    async fn tagged(&self, _: &ImageRepository, tag: &str) -> Result<Manifest, ApiError> {
        let named: BTreeMap<Digest, &Listed> = self
            .listed
            .iter()
            .filter(|listed| listed.is_named(tag))
            .map(|listed| (listed.descriptor.digest, listed))
            .collect();
        let mut named = named.into_values();
        match (named.next(), named.next()) {
            (None, _) => Err(ApiError::NotFound),
            (Some(one), None) => one.manifest.clone(),
            (Some(_), Some(_)) => Err(ApiError::Unreadable {
                what: "the layout",
                reason: format!("two manifests are named {tag}"),
            }),
        }
    }

    async fn blob(&self, _: &ImageRepository, digest: &Digest, bytes_max: usize) -> Result<Bytes, ApiError> {
        self.read_blob(digest, bytes_max, "the blob")
    }

    /// What the index lists beside the image and says to be attached to it, and what it does not list and is attached by its
    /// subject. A manifest that cannot be read might be.
    async fn referrers(&self, _: &ImageRepository, subject: &Digest) -> Result<Option<Referrers>, ApiError> {
        let images: Vec<&Listed> = self.images().collect();
        let listed = self.listed.iter().filter(|listed| listed.is_attached_to(subject, &images));
        let listed = listed.map(|listed| &listed.descriptor);
        let entries = listed.chain(self.unlisted.attached_to(subject)).cloned().collect();
        let cut = self.is_cut.then_some(ApiError::TooMany {
            what: "the layout's index",
            count_max: bus_schema::registry::INDEX_ENTRIES_MAX,
        });
        Ok(Some(Referrers { entries, cut: cut.or_else(|| self.unlisted.cut.clone()) }))
    }
}

enum ReadError {
    Absent,
    TooLarge,
    Other(String),
}

fn said(error: &ReadError) -> String {
    match error {
        ReadError::Absent => "it is not there".to_owned(),
        ReadError::TooLarge => "it is too large".to_owned(),
        ReadError::Other(reason) => reason.clone(),
    }
}

/// Reads a plain file of at most `bytes_max` bytes, under its name or with `.json` behind it.
fn read_file(path: &Path, bytes_max: usize) -> Result<Vec<u8>, ReadError> {
    let with_ending =
        path.with_file_name(format!("{}.json", path.file_name().unwrap_or_default().to_string_lossy()));
    match read_plain(path, bytes_max) {
        Err(ReadError::Absent) => read_plain(&with_ending, bytes_max),
        read => read,
    }
}

fn read_plain(path: &Path, bytes_max: usize) -> Result<Vec<u8>, ReadError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => ReadError::Absent,
        _ => ReadError::Other(error.to_string()),
    };
    // A pipe would keep the reader waiting for ever: its kind is looked at before it is opened.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(ReadError::Other("it is not a file".to_owned()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() > bytes_max {
        true => Err(ReadError::TooLarge),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests;
