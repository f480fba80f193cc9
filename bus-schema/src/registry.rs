//! What happens in registries: pushes, tag moves, deletions, and the evidence attached to digests.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::blob::{BLOB_BYTES_MAX, BlobError, BlobRef, INLINE_BYTES_MAX};
use crate::event::{EventData, Partition};
use crate::{Actor, Digest, ImageRepository, OccurrenceKey, RepositoryRef, Tag};

/// The most entries of an index that one event lists; more sets [`Resolved::Index::cut`].
pub const INDEX_ENTRIES_MAX: usize = 1000;
/// The most pieces of evidence that one attached manifest may hold.
pub const EVIDENCE_ITEMS_MAX: usize = 64;

/// How a registry fact was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "by", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Observation {
    /// The registry told it, with an id of its own.
    Notification {
        /// The registry's own id of the event.
        event_id: String,
    },
    /// A poll found it: it happened between the poll before and this one.
    Poll {
        /// The poll's number, counted per agent and never again.
        sequence: u64,
        /// The digest that the poll before found.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<Digest>,
        /// When the poll before was made; absent for the first one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_before: Option<Timestamp>,
        /// When this poll was made.
        not_after: Timestamp,
    },
    /// A question led to it: nobody saw it happen.
    LookUp {
        /// The id of the request.
        request: String,
    },
}

impl Observation {
    fn occurrence_fields(&self) -> [String; 2] {
        match self {
            Observation::Notification { event_id } => ["notification".to_owned(), event_id.clone()],
            Observation::Poll { sequence, previous, .. } => [
                previous.map_or_else(|| "-".to_owned(), |digest| digest.to_string()),
                format!("poll {sequence}"),
            ],
            Observation::LookUp { request } => ["look-up".to_owned(), request.clone()],
        }
    }
}

/// An image manifest or index was pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImagePushed {
    /// The repository that it was pushed to.
    pub repository: ImageRepository,
    /// The digest of what was pushed.
    pub digest: Digest,
    /// The media type of the manifest or index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The tag that it was pushed under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// Who pushed, where the registry knows it. A poll never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// The client's user agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// How the agent knows.
    pub observation: Observation,
    /// The registry's time for the push, or the end of the window in which a poll places it.
    pub pushed_at: Timestamp,
}

impl EventData for ImagePushed {
    fn occurrence(&self) -> OccurrenceKey {
        let [how, id] = self.observation.occurrence_fields();
        OccurrenceKey::of([
            "push",
            self.repository.registry(),
            self.repository.name(),
            self.tag.as_ref().map_or("-", Tag::as_str),
            &self.digest.to_string(),
            &how,
            &id,
        ])
    }

    fn subject(&self) -> String {
        format!("{}@{}", self.repository, self.digest)
    }

    fn partition(&self) -> Partition {
        Partition::image(&self.repository)
    }
}

/// A descriptor inside an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListedManifest {
    /// The digest of the listed manifest.
    pub digest: Digest,
    /// Its media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// `os/architecture[/variant]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// An entry of BuildKit's `unknown/unknown` kind: an attestation, not a platform.
    #[serde(default)]
    pub attestation: bool,
}

/// What a digest turned out to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Resolved {
    /// An index, which lists manifests.
    Index {
        /// What it lists, in its order.
        manifests: Vec<ListedManifest>,
        /// The index has more entries than [`INDEX_ENTRIES_MAX`].
        #[serde(default)]
        cut: bool,
    },
    /// An image manifest.
    Manifest {
        /// The digest of the image's config, which some runtimes report as the image's id.
        config: Digest,
    },
}

/// A digest was resolved: an index to its manifests, a manifest to its config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageResolved {
    /// The repository that it was read from.
    pub repository: ImageRepository,
    /// The digest that was resolved.
    pub digest: Digest,
    /// The media type of what was read.
    pub media_type: String,
    /// What it is.
    pub resolved: Resolved,
    /// When it was read.
    pub resolved_at: Timestamp,
}

impl EventData for ImageResolved {
    fn occurrence(&self) -> OccurrenceKey {
        let digest = self.digest.to_string();
        OccurrenceKey::of(["resolved", self.repository.registry(), self.repository.name(), &digest])
    }

    fn subject(&self) -> String {
        format!("{}@{}", self.repository, self.digest)
    }

    fn partition(&self) -> Partition {
        Partition::image(&self.repository)
    }
}

/// A tag points at another digest than before, or at one for the first time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistryTagMoved {
    /// The repository of the tag.
    pub repository: ImageRepository,
    /// The tag.
    pub tag: Tag,
    /// Absent when the tag is new to the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Digest>,
    /// The digest that the tag points at now.
    pub to: Digest,
    /// Who moved it, where the registry tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// How the agent knows.
    pub observation: Observation,
    /// The registry's time for the move, or the end of the window in which a poll places it.
    pub moved_at: Timestamp,
}

impl EventData for RegistryTagMoved {
    fn occurrence(&self) -> OccurrenceKey {
        let [how, id] = self.observation.occurrence_fields();
        OccurrenceKey::of([
            "tag",
            self.repository.registry(),
            self.repository.name(),
            self.tag.as_str(),
            &self.to.to_string(),
            &how,
            &id,
        ])
    }

    fn subject(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }

    fn partition(&self) -> Partition {
        Partition::image(&self.repository)
    }
}

/// A tag or a manifest was deleted: a tag without its digest, a manifest without a tag, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageDeleted {
    /// The repository that it was deleted from.
    pub repository: ImageRepository,
    /// The tag that is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// The manifest that is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Who deleted it, where the registry tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// How the agent knows.
    pub observation: Observation,
    /// The registry's time for the deletion, or the end of the window in which a poll places it.
    pub deleted_at: Timestamp,
}

impl EventData for ImageDeleted {
    fn occurrence(&self) -> OccurrenceKey {
        let [how, id] = self.observation.occurrence_fields();
        OccurrenceKey::of([
            "delete",
            self.repository.registry(),
            self.repository.name(),
            self.tag.as_ref().map_or("-", Tag::as_str),
            &self.digest.map_or_else(|| "-".to_owned(), |digest| digest.to_string()),
            &how,
            &id,
        ])
    }

    fn subject(&self) -> String {
        self.repository.to_string()
    }

    fn partition(&self) -> Partition {
        Partition::image(&self.repository)
    }
}

open_enum! {
    /// Where evidence was found.
    pub enum EvidencePlace {
        /// The referrers API (OCI distribution specification 1.1).
        Referrers = "referrers",
        /// The referrers fallback tag `sha256-<hex>`.
        FallbackTag = "fallback_tag",
        CosignSignatureTag = "cosign_sig",
        CosignAttestationTag = "cosign_att",
        CosignSbomTag = "cosign_sbom",
        /// The forge's attestation API.
        Forge = "forge",
    }
}

/// One signature, attestation or SBOM inside what was attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EvidenceItem {
    /// The media type of the layer or bundle.
    pub media_type: String,
    /// The evidence itself.
    pub blob: BlobRef,
    /// The layer's annotations: cosign's older format keeps signature, certificate and log entry there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Something was found attached to a digest. It is not verified: the correlator does that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttestationAttached {
    /// The image repository in which the subject lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<ImageRepository>,
    /// The forge's repository, when the forge keeps the evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forge_repository: Option<RepositoryRef>,
    /// The digest that it is attached to. What it really speaks of, verification tells.
    pub subject: Digest,
    /// The manifest that holds the evidence, or the hash of the bundle where there is no manifest.
    pub manifest: Digest,
    /// Where it was found.
    pub place: EvidencePlace,
    /// The manifest's `artifactType`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// What is inside.
    pub items: Vec<EvidenceItem>,
    /// The manifest holds more than [`EVIDENCE_ITEMS_MAX`] pieces.
    #[serde(default)]
    pub cut: bool,
    /// When it was found.
    pub found_at: Timestamp,
}

impl EventData for AttestationAttached {
    fn occurrence(&self) -> OccurrenceKey {
        let place = match (&self.repository, &self.forge_repository) {
            (Some(repository), _) => repository.to_string(),
            (None, Some(forge)) => forge.host.to_string(),
            (None, None) => "-".to_owned(),
        };
        OccurrenceKey::of([
            "attestation",
            &place,
            &self.subject.to_string(),
            &self.manifest.to_string(),
            "attached",
        ])
    }

    fn subject(&self) -> String {
        self.subject.to_string()
    }

    fn partition(&self) -> Partition {
        match (&self.repository, &self.forge_repository) {
            (Some(repository), _) => Partition::image(repository),
            (None, Some(forge)) => Partition::forge(forge),
            (None, None) => Partition::of("-"),
        }
    }
}
