//! A registry client that pushes exactly the bytes a test wants, well formed or not.
//!
//! In: bytes, media types, references. Out: digests, and what the registry answers. It checks nothing about the content, so
//! that a test can push what crane and cosign would refuse to.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::login::Login;

/// An OCI image manifest.
pub const IMAGE_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image index.
pub const IMAGE_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI image configuration.
pub const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// A Sigstore bundle.
pub const SIGSTORE_BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

const EMPTY_CONFIG: &str = "application/vnd.oci.empty.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const MANIFESTS_ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

/// What names and describes a piece of content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: String,
    pub digest: String,
    pub size: usize,
}

/// One platform of an index.
#[derive(Debug, Clone)]
pub struct PlatformManifest {
    pub descriptor: Descriptor,
    pub os: String,
    pub architecture: String,
}

/// One repository's user.
#[derive(Debug, Clone)]
pub struct OciClient {
    base_url: String,
    http: reqwest::Client,
}

impl OciClient {
    /// A client of the registry at `http://<host>`.
    pub fn new(host: &str, login: Option<&Login>) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        if let Some(login) = login {
            headers.insert(AUTHORIZATION, HeaderValue::from_str(&login.basic())?);
        }
        let http = reqwest::Client::builder().default_headers(headers).build()?;
        Ok(Self { base_url: format!("http://{host}/v2"), http })
    }

    /// Pushes a blob.
    pub async fn push_blob(&self, repository: &str, content: impl Into<Bytes>) -> anyhow::Result<Descriptor> {
        let content = content.into();
        let descriptor = describe("application/octet-stream", &content);
        let begun = self.request(Method::POST, &format!("{repository}/blobs/uploads/")).send().await?;
        ensure!(begun.status() == StatusCode::ACCEPTED, "begin upload: {}", begun.status());
        let location = begun.headers().get(LOCATION).context("upload has no location")?.to_str()?;
        let mut upload = reqwest::Url::parse(&self.base_url)?.join(location)?;
        upload.query_pairs_mut().append_pair("digest", &descriptor.digest);
        let request = self.http.put(upload).header(CONTENT_TYPE, "application/octet-stream").body(content);
        let finished = request.send().await?;
        ensure!(finished.status() == StatusCode::CREATED, "finish upload: {}", finished.status());
        Ok(descriptor)
    }

    /// Pushes a manifest or index under a tag, or under its own digest when there is none.
    pub async fn push_manifest(
        &self,
        repository: &str,
        tag: Option<&str>,
        media_type: &str,
        content: impl Into<Bytes>,
    ) -> anyhow::Result<Descriptor> {
        self.push_manifest_noting_subject(repository, tag, media_type, content.into())
            .await
            .map(|pushed| pushed.0)
    }

    /// Pushes an image of one layer. Other content gives another digest.
    pub async fn push_image(
        &self,
        repository: &str,
        tag: Option<&str>,
        platform: (&str, &str),
        content: &str,
    ) -> anyhow::Result<Descriptor> {
        let mut layer = self.push_blob(repository, content.to_owned().into_bytes()).await?;
        layer.media_type = LAYER.to_owned();
        let (os, architecture) = platform;
        let configuration = json!({
            "os": os,
            "architecture": architecture,
            "rootfs": { "type": "layers", "diff_ids": [layer.digest] },
        });
        let mut config = self.push_blob(repository, configuration.to_string()).await?;
        config.media_type = IMAGE_CONFIG.to_owned();
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "config": config, "layers": [layer] });
        self.push_manifest(repository, tag, IMAGE_MANIFEST, manifest.to_string()).await
    }

    /// Pushes an index over manifests that are there already.
    pub async fn push_index(
        &self,
        repository: &str,
        tag: Option<&str>,
        manifests: &[PlatformManifest],
    ) -> anyhow::Result<Descriptor> {
        let listed: Vec<Value> = manifests.iter().map(PlatformManifest::in_index).collect();
        let index = json!({ "schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": listed });
        self.push_manifest(repository, tag, IMAGE_INDEX, index.to_string()).await
    }

    /// Attaches a bundle to a manifest as cosign does: a manifest that refers to it, and, where the registry does not keep
    /// referrers by itself, an entry in the index under the tag `sha256-<hex>`.
    pub async fn attach_bundle(
        &self,
        repository: &str,
        subject: &Descriptor,
        predicate_type: &str,
        bundle: &[u8],
    ) -> anyhow::Result<Descriptor> {
        let mut config = self.push_blob(repository, "{}").await?;
        config.media_type = EMPTY_CONFIG.to_owned();
        let mut layer = self.push_blob(repository, bundle.to_vec()).await?;
        layer.media_type = SIGSTORE_BUNDLE.to_owned();
        let annotations = json!({
            "dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": predicate_type,
            "org.opencontainers.image.created": jiff::Timestamp::now().to_string(),
        });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": IMAGE_MANIFEST,
            "artifactType": SIGSTORE_BUNDLE,
            "config": config,
            "layers": [layer],
            "subject": subject,
            "annotations": annotations,
        });
        let content = Bytes::from(manifest.to_string());
        let (pushed, kept) =
            self.push_manifest_noting_subject(repository, None, IMAGE_MANIFEST, content).await?;
        if !kept && self.lacks_referrers(repository, &subject.digest).await? {
            self.add_to_fallback_tag(repository, &subject.digest, &pushed, &annotations).await?;
        }
        Ok(pushed)
    }

    /// Attaches a signature in cosign's older format: a simple-signing payload with its annotations under `sha256-<hex>.sig`.
    /// What the tag held before is replaced.
    pub async fn attach_simple_signing(
        &self,
        repository: &str,
        subject_digest: &str,
        payload: &[u8],
        annotations: &BTreeMap<String, String>,
    ) -> anyhow::Result<Descriptor> {
        let mut config =
            self.push_blob(repository, r#"{"architecture":"","os":"","rootfs":{"type":"layers"}}"#).await?;
        config.media_type = IMAGE_CONFIG.to_owned();
        let layer = self.push_blob(repository, payload.to_vec()).await?;
        let layer = json!({
            "mediaType": SIMPLE_SIGNING,
            "digest": layer.digest,
            "size": layer.size,
            "annotations": annotations,
        });
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "config": config, "layers": [layer] });
        let tag = format!("{}.sig", evidence_tag(subject_digest));
        self.push_manifest(repository, Some(&tag), IMAGE_MANIFEST, manifest.to_string()).await
    }

    /// A manifest's bytes and media type; absent where the registry says 404.
    pub async fn manifest(
        &self,
        repository: &str,
        reference: &str,
    ) -> anyhow::Result<Option<(Bytes, String)>> {
        let path = format!("{repository}/manifests/{reference}");
        let answer = self.request(Method::GET, &path).header(ACCEPT, MANIFESTS_ACCEPTED).send().await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = answer.error_for_status()?;
        let media_type =
            answer.headers().get(CONTENT_TYPE).context("manifest has no media type")?.to_str()?.to_owned();
        Ok(Some((answer.bytes().await?, media_type)))
    }

    /// What the referrers API lists; absent where the registry has none.
    pub async fn referrers(&self, repository: &str, digest: &str) -> anyhow::Result<Option<Value>> {
        let answer = self.request(Method::GET, &format!("{repository}/referrers/{digest}")).send().await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(answer.error_for_status()?.json().await?))
    }

    /// Deletes a tag or a digest.
    pub async fn delete_manifest(&self, repository: &str, reference: &str) -> anyhow::Result<()> {
        let path = format!("{repository}/manifests/{reference}");
        self.request(Method::DELETE, &path).send().await?.error_for_status()?;
        Ok(())
    }

    /// A request of any kind below `/v2/`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/{path}", self.base_url))
    }

    /// Says also whether the registry noted the manifest's subject by itself.
    async fn push_manifest_noting_subject(
        &self,
        repository: &str,
        tag: Option<&str>,
        media_type: &str,
        content: Bytes,
    ) -> anyhow::Result<(Descriptor, bool)> {
        let descriptor = describe(media_type, &content);
        let path = format!("{repository}/manifests/{}", tag.unwrap_or(&descriptor.digest));
        let request = self.request(Method::PUT, &path).header(CONTENT_TYPE, media_type).body(content);
        let answer = request.send().await?;
        if answer.status() != StatusCode::CREATED {
            bail!("push manifest: {}: {}", answer.status(), answer.text().await.unwrap_or_default());
        }
        Ok((descriptor, answer.headers().contains_key("oci-subject")))
    }

    async fn lacks_referrers(&self, repository: &str, digest: &str) -> anyhow::Result<bool> {
        Ok(self.referrers(repository, digest).await?.is_none())
    }

    async fn add_to_fallback_tag(
        &self,
        repository: &str,
        subject_digest: &str,
        referrer: &Descriptor,
        annotations: &Value,
    ) -> anyhow::Result<()> {
        let tag = evidence_tag(subject_digest);
        let mut index: Value = match self.manifest(repository, &tag).await? {
            Some((content, _)) => serde_json::from_slice(&content)?,
            None => json!({ "schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": [] }),
        };
        let mut entry = serde_json::to_value(referrer)?;
        entry["artifactType"] = json!(SIGSTORE_BUNDLE);
        entry["annotations"] = annotations.clone();
        index["manifests"].as_array_mut().context("fallback index has no list")?.push(entry);
        self.push_manifest(repository, Some(&tag), IMAGE_INDEX, index.to_string()).await?;
        Ok(())
    }
}

impl PlatformManifest {
    fn in_index(&self) -> Value {
        json!({
            "mediaType": self.descriptor.media_type,
            "digest": self.descriptor.digest,
            "size": self.descriptor.size,
            "platform": { "os": self.os, "architecture": self.architecture },
        })
    }
}

/// `sha256:<hex>` of some bytes.
pub fn digest_of(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

/// The tag `sha256-<hex>`, which names what belongs to a digest.
pub fn evidence_tag(digest: &str) -> String {
    digest.replacen(':', "-", 1)
}

fn describe(media_type: &str, content: &[u8]) -> Descriptor {
    Descriptor { media_type: media_type.to_owned(), digest: digest_of(content), size: content.len() }
}
