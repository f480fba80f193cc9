#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bus_schema::Event;
use bus_schema::fleet::Unavailable;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::api::fake::{BUNDLE, CONFIG, LAYER};
use crate::media_type::{OCI_INDEX, OCI_MANIFEST};

/// A layout that a test writes.
struct Made {
    folder: TempDir,
    listed: Vec<Value>,
}

impl Made {
    fn new() -> Made {
        let made = Made { folder: tempfile::tempdir().unwrap(), listed: Vec::new() };
        fs::write(made.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        fs::create_dir_all(made.path().join("blobs/sha256")).unwrap();
        made
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256_of(bytes);
        fs::write(self.blob_path(&digest), bytes).unwrap();
        digest
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.path().join("blobs/sha256").join(digest.hex())
    }

    fn list(&mut self, media_type: &str, manifest: &Value, annotations: Value) -> Digest {
        let bytes = manifest.to_string().into_bytes();
        let digest = self.blob(&bytes);
        self.listed.push(json!({
            "mediaType": media_type, "digest": digest, "size": bytes.len(), "annotations": annotations,
        }));
        digest
    }

    fn image(&mut self, seed: &str, annotations: Value) -> Digest {
        let (config, layer) = (Digest::sha256_of(b"config"), Digest::sha256_of(seed.as_bytes()));
        let manifest = json!({
            "mediaType": OCI_MANIFEST,
            "config": { "mediaType": CONFIG, "digest": config },
            "layers": [{ "mediaType": LAYER, "digest": layer }],
        });
        self.list(OCI_MANIFEST, &manifest, annotations)
    }

    /// A manifest of one piece of evidence.
    fn evidence(&mut self, bytes: &[u8], subject: Option<Digest>, annotations: Value) -> Digest {
        let layer = self.blob(bytes);
        let mut manifest = json!({
            "mediaType": OCI_MANIFEST,
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::sha256_of(b"{}") },
            "layers": [{ "mediaType": BUNDLE, "digest": layer, "size": bytes.len() }],
        });
        if let Some(subject) = subject {
            manifest["subject"] = json!({ "mediaType": OCI_MANIFEST, "digest": subject });
        }
        self.list(OCI_MANIFEST, &manifest, annotations)
    }

    /// Leaves it to its blob alone.
    fn unlist(&mut self, digest: Digest) {
        self.listed.retain(|entry| entry["digest"] != digest.to_string());
    }

    async fn read(&self, wanted: &Wanted) -> Result<Collected, LayoutError> {
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": self.listed });
        fs::write(self.path().join("index.json"), index.to_string()).unwrap();
        read(self.path(), wanted, &"localhost/layout".parse().unwrap()).await
    }
}

/// The manifests of what was found attached, with their subjects.
fn attached(collected: &Collected) -> Vec<(Digest, Digest)> {
    let attached = collected.events.iter().filter_map(|event| match event {
        Event::AttestationAttached(attached) => Some((attached.subject, attached.manifest)),
        _ => None,
    });
    attached.collect()
}

#[tokio::test]
async fn what_is_attached_by_subject_by_tag_and_by_cosigns_mark_is_found() {
    let mut made = Made::new();
    let image = made.image("one", json!({ "kind": "dev.cosignproject.cosign/image" }));
    let by_subject = made.evidence(b"{\"a\":1}", Some(image), json!({}));
    let tag = format!("{}.att", image.fallback_tag());
    let by_tag = made.evidence(b"{\"a\":2}", None, json!({ REF_NAME: tag }));
    let by_mark = made.evidence(b"{\"a\":3}", None, json!({ "kind": "dev.cosignproject.cosign/sigs" }));
    let found = made.read(&Wanted::Only).await.unwrap();
    assert_eq!((found.digest, &found.end), (image, &Unavailable::NotFound), "{found:?}");
    assert_eq!(attached(&found), [(image, by_subject), (image, by_mark), (image, by_tag)]);
}

#[tokio::test]
async fn what_refers_to_the_image_and_is_not_listed_is_found() {
    let mut made = Made::new();
    let image = made.image("one", json!({}));
    let other = made.image("two", json!({}));
    made.unlist(other);
    let attached_here = made.evidence(b"{\"a\":1}", Some(image), json!({}));
    let attached_elsewhere = made.evidence(b"{\"a\":2}", Some(other), json!({}));
    let attached_nowhere = made.evidence(b"{\"a\":3}", None, json!({}));
    for digest in [attached_here, attached_elsewhere, attached_nowhere] {
        made.unlist(digest);
    }
    let found = made.read(&Wanted::Only).await.unwrap();
    assert_eq!((attached(&found), &found.end), (vec![(image, attached_here)], &Unavailable::NotFound));

    fs::write(made.blob_path(&attached_here), b"{}").unwrap();
    let found = made.read(&Wanted::Only).await.unwrap();
    assert_eq!((attached(&found), &found.end), (Vec::new(), &Unavailable::Unreadable), "{found:?}");
}

#[tokio::test]
async fn of_several_images_one_must_be_chosen() {
    let mut made = Made::new();
    let one = made.image("one", json!({ REF_NAME: "v1" }));
    let two = made.image("two", json!({ REF_NAME: "registry.example/acme/app:v2" }));
    made.evidence(b"{}", Some(two), json!({}));
    let refused = made.read(&Wanted::Only).await.unwrap_err();
    assert!(matches!(&refused, LayoutError::SeveralImages { images, .. } if images.len() == 2), "{refused}");
    for (wanted, digest, count) in
        [(Wanted::Named("v1".to_owned()), one, 0), (Wanted::Named("v2".to_owned()), two, 1)]
    {
        let found = made.read(&wanted).await.unwrap();
        assert_eq!((found.digest, attached(&found).len()), (digest, count));
    }
    assert_eq!(attached(&made.read(&Wanted::Digest(two)).await.unwrap()).len(), 1);
    for wanted in [Wanted::Named("2".to_owned()), Wanted::Digest(Digest::sha256_of(b"none"))] {
        assert!(matches!(made.read(&wanted).await, Err(LayoutError::NoSuchImage { .. })), "{wanted:?}");
    }
}

#[tokio::test]
async fn altered_and_unreadable_blobs_are_problems_and_never_nothing() {
    let mut made = Made::new();
    let image = made.image("one", json!({}));
    let manifest =
        made.evidence(b"{\"a\":1}", Some(image), json!({ "kind": "dev.cosignproject.cosign/atts" }));
    let blob = Digest::sha256_of(b"{\"a\":1}");
    fs::write(made.blob_path(&blob), b"{\"a\":2}").unwrap();
    let found = made.read(&Wanted::Only).await.unwrap();
    assert_eq!((attached(&found), &found.end), (Vec::new(), &Unavailable::Unreadable), "{found:?}");

    fs::write(made.blob_path(&manifest), b"{}").unwrap();
    let found = made.read(&Wanted::Only).await.unwrap();
    assert_eq!((attached(&found), &found.end), (Vec::new(), &Unavailable::Unreadable), "{found:?}");
    assert!(found.unread[0].detail.contains("digest"), "{found:?}");
}

#[tokio::test]
async fn a_folder_that_is_no_layout_is_refused_with_the_reason() {
    let made = Made::new();
    for (marker, expected) in [("{}", "oci-layout"), (r#"{"imageLayoutVersion":"2.0.0"}"#, "version")] {
        fs::write(made.path().join("oci-layout"), marker).unwrap();
        let refused = made.read(&Wanted::Only).await.unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    fs::remove_file(made.path().join("oci-layout")).unwrap();
    assert!(made.read(&Wanted::Only).await.is_err());
    let empty = Made::new();
    assert!(matches!(empty.read(&Wanted::Only).await, Err(LayoutError::NoSuchImage { .. })));
}
