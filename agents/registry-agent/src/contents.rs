//! What a look reads from: a registry, or an image layout on disk. The same looks go over both.

use std::fmt::Debug;

use async_trait::async_trait;
use bus_schema::{Digest, ImageRepository};
use bytes::Bytes;

use crate::api::client::RegistryClient;
use crate::api::error::ApiError;
use crate::api::manifest::Manifest;
use crate::api::referrers::{self, Referrers};

/// Manifests, blobs and lists by repository. Only [`ApiError::NotFound`] says that something is not there.
#[async_trait]
pub(crate) trait Contents: Debug + Send + Sync {
    /// A manifest by its digest; other bytes are an error.
    async fn manifest(&self, repository: &ImageRepository, digest: &Digest) -> Result<Manifest, ApiError>;

    /// The manifest that a tag points at now.
    async fn tagged(&self, repository: &ImageRepository, tag: &str) -> Result<Manifest, ApiError>;

    /// A blob of at most `bytes_max` bytes; other bytes are an error.
    async fn blob(
        &self,
        repository: &ImageRepository,
        digest: &Digest,
        bytes_max: usize,
    ) -> Result<Bytes, ApiError>;

    /// What is listed as attached to a digest. `None`: no such list is kept here.
    async fn referrers(
        &self,
        repository: &ImageRepository,
        subject: &Digest,
    ) -> Result<Option<Referrers>, ApiError>;
}

#[async_trait]
impl Contents for RegistryClient {
    async fn manifest(&self, repository: &ImageRepository, digest: &Digest) -> Result<Manifest, ApiError> {
        let manifest = RegistryClient::manifest(self, repository, digest).await;
        if matches!(manifest, Err(ApiError::NotFound)) {
            self.check_is_there().await?;
        }
        manifest
    }

    async fn tagged(&self, repository: &ImageRepository, tag: &str) -> Result<Manifest, ApiError> {
        RegistryClient::tagged(self, repository, tag).await
    }

    async fn blob(
        &self,
        repository: &ImageRepository,
        digest: &Digest,
        bytes_max: usize,
    ) -> Result<Bytes, ApiError> {
        RegistryClient::blob(self, repository, digest, bytes_max).await
    }

    async fn referrers(
        &self,
        repository: &ImageRepository,
        subject: &Digest,
    ) -> Result<Option<Referrers>, ApiError> {
        referrers::native(self, repository, subject).await
    }
}
