//! What each number of the load stands for: an image, who pushed it, and what is attached to it. The same in every run.
//!
//! Six numbers are one release: a signed image under a release tag, one that a person pushed, one without a signature, one
//! that overwrites the tag, one whose signature is too large for an event, and one that another key signed.
//! After all of them the tags of the first releases are pointed back, one by each number.

use std::collections::BTreeMap;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus_schema::Digest;
use bytes::Bytes;
use jiff::Timestamp;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};

pub(crate) const HOST: &str = "registry.example";
/// The repositories, as the agent's settings say it.
pub(crate) const NAMES: &str = "acme/**";
pub(crate) const IMAGES_PER_RELEASE: u64 = 6;
/// Releases whose tag is pointed back at its first digest.
const POINTED_BACK: u64 = 2;
/// So few that the cases of one repository are no storm, of which time decides what is told by itself.
const RELEASES_PER_REPOSITORY: u64 = 5;
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const SIGNATURE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const PIPELINE: &str = "ci-bot";
const PERSON: &str = "alice";
/// More than an event carries inside it.
const LARGE_BYTES: usize = 80 << 10;

/// The pipeline that claims the images.
pub(crate) const CONTRACT: &str = r#"
apiVersion: custody.dev/v1
kind: Pipeline
metadata: { name: api }
spec:
  images: ["registry.example/acme/**"]
  require: [artifact, signature]
  artifact: { pushers: [ci-bot], immutableTags: ["v*"] }
  signatures:
    anyOf:
      - key: { file: release.pub, log: not-required }
  settle: 300ms
"#;

/// Everything that the registry serves for so many numbers.
pub(crate) struct Images {
    key: KeyPair,
    all: Vec<Image>,
    /// By path below `/v2/`: the media type and the bytes.
    served: BTreeMap<String, (&'static str, Bytes)>,
}

struct Image {
    repository: String,
    digest: Digest,
    tag: Option<String>,
    pusher: &'static str,
}

enum Signed {
    No,
    Yes,
    Large,
    ByAnotherKey,
}

impl Images {
    pub(crate) fn make(count: u64) -> Images {
        let key = KeyPair::generate().unwrap();
        let other = KeyPair::generate().unwrap();
        let mut images = Images { key, all: Vec::new(), served: BTreeMap::new() };
        for number in 0..count {
            let release = number / IMAGES_PER_RELEASE;
            let repository = format!("acme/api-{}", release / RELEASES_PER_REPOSITORY);
            let tag = Some(format!("v{release}"));
            let (tag, pusher, signed) = match number % IMAGES_PER_RELEASE {
                0 => (tag, PIPELINE, Signed::Yes),
                1 => (None, PERSON, Signed::No),
                2 => (None, PIPELINE, Signed::No),
                3 => (tag, PERSON, Signed::No),
                4 => (None, PIPELINE, Signed::Large),
                _ => (None, PIPELINE, Signed::ByAnotherKey),
            };
            let digest = images.serve_manifest(
                &repository,
                &json!({
                    "schemaVersion": 2,
                    "mediaType": MANIFEST,
                    "config": descriptor(CONFIG, format!("config {number}").as_bytes()),
                    "layers": [descriptor(LAYER, format!("layer {number}").as_bytes())],
                }),
            );
            let signer = match signed {
                Signed::No => None,
                Signed::ByAnotherKey => Some(&other),
                Signed::Yes | Signed::Large => Some(&images.key),
            };
            let large = matches!(signed, Signed::Large).then(|| "x".repeat(LARGE_BYTES));
            if let Some((payload, signature)) = signer.map(|signer| sign(signer, &repository, &digest, large))
            {
                images.serve_signature(&repository, &digest, payload, &signature);
            }
            images.all.push(Image { repository, digest, tag, pusher });
        }
        for release in 0..POINTED_BACK.min(count / IMAGES_PER_RELEASE) {
            let first = &images.all[usize::try_from(release * IMAGES_PER_RELEASE).unwrap()];
            let again = Image { repository: first.repository.clone(), tag: first.tag.clone(), ..*first };
            images.all.push(again);
        }
        images
    }

    /// The key of the contract, as a file of it.
    pub(crate) fn public_key(&self) -> String {
        let der = STANDARD.encode(self.key.subject_public_key_info());
        format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
    }

    pub(crate) fn count(&self) -> u64 {
        self.all.len() as u64
    }

    /// The numbers that point a tag back.
    pub(crate) fn pointing_back(&self) -> Range<u64> {
        let releases = self.count() / IMAGES_PER_RELEASE;
        self.count() - POINTED_BACK.min(releases)..self.count()
    }

    /// The tags that are pointed back, as the subjects of cases end.
    pub(crate) fn pointed_back(&self) -> impl Iterator<Item = String> {
        let numbers = self.pointing_back().map(|number| &self.all[usize::try_from(number).unwrap()]);
        numbers.map(|image| format!("{} {}", image.repository, image.tag.as_deref().unwrap_or_default()))
    }

    /// What the registry has under a path below `/v2/`.
    pub(crate) fn served(&self, path: &str) -> Option<(&'static str, Bytes)> {
        self.served.get(path).cloned()
    }

    /// The registry's notification of a push. Its id is the number's own.
    pub(crate) fn notification(&self, number: u64, at: Timestamp) -> Value {
        let image = &self.all[usize::try_from(number).unwrap()];
        json!({ "events": [{
            "id": notification_id(number),
            "timestamp": at,
            "action": "push",
            "target": {
                "mediaType": MANIFEST,
                "digest": image.digest,
                "repository": image.repository,
                "tag": image.tag.clone().unwrap_or_default(),
                "references": [{ "mediaType": CONFIG }, { "mediaType": LAYER }],
            },
            "request": { "useragent": "crane" },
            "actor": { "name": image.pusher },
        }] })
    }

    /// A notification of many bytes, about an image that the registry does not have and no pipeline claims.
    pub(crate) fn unclaimed(number: u64, at: Timestamp) -> Value {
        json!({ "events": [{
            "id": notification_id(number),
            "timestamp": at,
            "action": "push",
            "target": {
                "mediaType": MANIFEST,
                "digest": Digest::sha256_of(format!("unclaimed {number}").as_bytes()),
                "repository": format!("{}/other", "x".repeat(200)),
                "tag": format!("{number}-{}", "x".repeat(100)),
                "references": [{ "mediaType": CONFIG }, { "mediaType": LAYER }],
            },
            "request": { "useragent": "x".repeat(250) },
            "actor": { "name": "x".repeat(250) },
        }] })
    }

    fn serve_manifest(&mut self, repository: &str, manifest: &Value) -> Digest {
        let bytes = Bytes::from(manifest.to_string());
        let digest = Digest::sha256_of(&bytes);
        self.served.insert(format!("{repository}/manifests/{digest}"), (MANIFEST, bytes));
        digest
    }

    /// As `cosign sign --key` stores it: beside the image, under a tag made from its digest.
    fn serve_signature(&mut self, repository: &str, subject: &Digest, payload: Bytes, signature: &str) {
        let mut layer = descriptor(SIGNATURE, &payload);
        layer["annotations"] = json!({ "dev.cosignproject.cosign/signature": signature });
        let blob = Digest::sha256_of(&payload);
        self.served.insert(format!("{repository}/blobs/{blob}"), ("application/octet-stream", payload));
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, b"{}"),
            "layers": [layer],
        });
        let tag = format!("{repository}/manifests/sha256-{}.sig", subject.hex());
        self.served.insert(tag, (MANIFEST, Bytes::from(manifest.to_string())));
    }
}

pub(crate) fn notification_id(number: u64) -> String {
    format!("notification-{number}")
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::sha256_of(bytes), "size": bytes.len() })
}

fn sign(key: &KeyPair, repository: &str, digest: &Digest, more: Option<String>) -> (Bytes, String) {
    let payload = json!({
        "critical": {
            "identity": { "docker-reference": format!("{HOST}/{repository}") },
            "image": { "docker-manifest-digest": digest },
            "type": "cosign container image signature",
        },
        "optional": more.map(|note| json!({ "note": note })),
    });
    let payload = Bytes::from(payload.to_string());
    let signature = STANDARD.encode(key.sign(&payload).unwrap());
    (payload, signature)
}
