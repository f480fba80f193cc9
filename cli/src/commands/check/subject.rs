//! What is checked: an image in a registry, an image in a layout on disk, a file, or a digest of something that is elsewhere.

use std::path::{Path, PathBuf};

use bus_schema::{Digest, ImageRef};
use registry_agent::layout::{Wanted, is_layout};

use crate::exit::Failure;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    Image(ImageRef),
    Layout { path: PathBuf, wanted: Wanted },
    File(PathBuf),
    Digest(Digest),
}

impl Subject {
    /// What names a registry is an image whatever lies in the current folder: nobody who can write there may put a layout in
    /// the place of an image.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Subject> {
        if let Ok(digest) = text.parse() {
            return Ok(Subject::Digest(digest));
        }
        // As `gh attestation verify` takes images.
        if let Some(image) = text.strip_prefix("oci://") {
            let image = image.parse::<ImageRef>();
            return image.map(Subject::Image).map_err(|error| Failure::usage(format!("{text}: {error}")));
        }
        let is_path = text.starts_with('/') || text.starts_with("./") || text.starts_with("../");
        if is_path || !names_a_registry(text) {
            if let Some(subject) = local(text)? {
                return Ok(subject);
            }
            if is_path {
                return Err(Failure::usage(format!("{text} is not there")));
            }
        }
        let image = text.parse::<ImageRef>();
        image.map(Subject::Image).map_err(|error| {
            Failure::usage(format!("{text} is no file or folder that is there, and no image: {error}"))
        })
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Subject::Image(_) => "image",
            Subject::Layout { .. } => "layout",
            Subject::File(_) => "file",
            Subject::Digest(_) => "digest",
        }
    }
}

/// Whether the first part is a host, as every container runtime reads it.
fn names_a_registry(text: &str) -> bool {
    text.split_once('/').is_some_and(|(first, _)| {
        first == "localhost"
            || first.contains(['.', ':'])
            || first.bytes().any(|byte| byte.is_ascii_uppercase())
    })
}

fn local(text: &str) -> anyhow::Result<Option<Subject>> {
    let path = Path::new(text);
    if is_of_layout(path) {
        return Err(Failure::usage(format!(
            "{text} is a file inside an OCI image layout: name the layout's folder, {}",
            path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new(".")).display()
        )));
    }
    if path.is_file() {
        return Ok(Some(Subject::File(path.to_owned())));
    }
    if path.is_dir() {
        if !is_layout(path) {
            return Err(Failure::usage(format!("{text} is a folder, and no OCI image layout")));
        }
        return Ok(Some(Subject::Layout { path: path.to_owned(), wanted: Wanted::Only }));
    }
    if path.exists() {
        return Err(Failure::usage(format!("{text} is no regular file and no folder")));
    }
    if let Some((folder, digest)) = text.rsplit_once('@')
        && is_layout(Path::new(folder))
    {
        let digest = digest.parse().map_err(|error| Failure::usage(format!("{text}: {error}")))?;
        return Ok(Some(Subject::Layout { path: folder.into(), wanted: Wanted::Digest(digest) }));
    }
    match text.rsplit_once(':') {
        Some((folder, name)) if is_layout(Path::new(folder)) => {
            let wanted = Wanted::Named(name.to_owned());
            Ok(Some(Subject::Layout { path: folder.into(), wanted }))
        }
        _ => Ok(None),
    }
}

/// Whether it is one of the two files by which a folder is a layout, and no file of somebody's.
fn is_of_layout(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    matches!(name, Some("oci-layout" | "index.json")) && path.is_file() && is_layout(folder)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn what_names_a_registry_is_never_read_from_a_folder() {
        for text in ["ghcr.io/acme/app:v1", "localhost/app", "127.0.0.1:5000/app@sha256:00", "Host/app"] {
            assert!(names_a_registry(text), "{text}");
        }
        for text in ["app-1.0.tar.gz", "dist/app.tgz", "alpine:3.20", "./ghcr.io/acme/app", "/a/b.c"] {
            assert!(!names_a_registry(text) || text.starts_with("./") || text.starts_with('/'), "{text}");
        }
    }

    #[test]
    fn paths_images_and_digests_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("app.tgz"), "x").unwrap();
        std::fs::create_dir_all(path("layout/blobs")).unwrap();
        std::fs::write(path("layout/oci-layout"), "{}").unwrap();
        let kind = |text: &str| Subject::parse(text).map(|subject| subject.kind());
        assert_eq!(kind(&path("app.tgz")).unwrap(), "file");
        assert_eq!(kind(&path("layout")).unwrap(), "layout");
        let named = Subject::parse(&path("layout:v1")).unwrap();
        assert!(matches!(named, Subject::Layout { wanted: Wanted::Named(name), .. } if name == "v1"));
        let digest = Digest::sha256_of(b"x");
        let chosen = Subject::parse(&path(&format!("layout@{digest}"))).unwrap();
        assert!(matches!(chosen, Subject::Layout { wanted: Wanted::Digest(found), .. } if found == digest));
        assert_eq!(kind(&digest.to_string()).unwrap(), "digest");
        assert_eq!(kind("oci://ghcr.io/acme/app:v1").unwrap(), "image");
        let refused = |text: &str| Subject::parse(text).unwrap_err().to_string();
        assert!(refused("/dev/zero").contains("no regular file"), "{}", refused("/dev/zero"));
        let inside = refused(&path("layout/oci-layout"));
        assert!(inside.contains("layout's folder") && inside.ends_with(&path("layout")), "{inside}");
        assert!(refused("oci://").contains("oci://"));
        assert_eq!(kind("ghcr.io/acme/app:v1").unwrap(), "image");
        for text in [path("none"), path(""), path("layout@sha256:12"), "NOT an image".to_owned()] {
            assert!(kind(&text).is_err(), "{text}");
        }
    }
}
