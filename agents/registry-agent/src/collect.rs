//! Collects what is attached to a digest, from every place where it may lie.
//!
//! In: a subject. Out: one `attestation.attached` per attached manifest, its bytes stored first by their hash where
//! they are many. Nothing is verified or judged here. A place that could not be looked at is a problem of the look-up,
//! never an empty place; what the other places hold is reported all the same.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus_schema::registry::{
    AttestationAttached, BLOB_BYTES_MAX, BlobRef, EVIDENCE_ITEMS_MAX, EvidenceItem, EvidencePlace,
    INLINE_BYTES_MAX,
};
use bus_schema::{Digest, Event};
use fleet_runtime::publisher::PublishError;
use jiff::Timestamp;

use crate::api::error::{ApiError, found};
use crate::api::manifest::{Body, Descriptor, Manifest};
use crate::api::referrers::Referrers;
use crate::look_up::LookingUp;
use crate::media_type::is_evidence;

/// The most attached manifests of one digest that are read.
const ATTACHED_MANIFESTS_MAX: usize = 128;
/// The most bytes that one event carries inside it, before base64.
const INLINE_TOTAL_BYTES_MAX: usize = 384 * 1024;
/// The most bytes of annotations in one event, as JSON.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

/// cosign's tags beside `sha256-<hex>`, and the places they are.
const COSIGN_TAGS: [(&str, EvidencePlace); 3] = [
    ("sig", EvidencePlace::CosignSignatureTag),
    ("att", EvidencePlace::CosignAttestationTag),
    ("sbom", EvidencePlace::CosignSbomTag),
];

/// Reports everything attached to `subject`. Fails only where our own bus does.
pub(crate) async fn collect(looking_up: &LookingUp<'_>, subject: Digest) -> Result<(), PublishError> {
    let mut collection = Collection { looking_up, subject, seen: BTreeSet::new() };
    collection.referrers_api().await?;
    collection.fallback_tag().await?;
    collection.cosign_tags().await
}

struct Collection<'a> {
    looking_up: &'a LookingUp<'a>,
    subject: Digest,
    /// The attached manifests read so far: one may be listed in several places.
    seen: BTreeSet<Digest>,
}

impl Collection<'_> {
    async fn referrers_api(&mut self) -> Result<(), PublishError> {
        if !self.looking_up.has_referrers_api {
            return Ok(());
        }
        let LookingUp { contents, repository, .. } = self.looking_up;
        match contents.referrers(repository, &self.subject).await {
            Ok(Some(listed)) => self.listed(listed, EvidencePlace::Referrers).await,
            Ok(None) => Ok(()),
            Err(error) => {
                self.problem(&EvidencePlace::Referrers, &error);
                Ok(())
            }
        }
    }

    async fn fallback_tag(&mut self) -> Result<(), PublishError> {
        let LookingUp { contents, repository, .. } = self.looking_up;
        match found(contents.tagged(repository, &self.subject.fallback_tag()).await) {
            Ok(Some(Manifest { body: Body::Index { entries, cut }, .. })) => {
                let cut = cut.then_some(ApiError::TooMany {
                    what: "the list under the fallback tag",
                    count_max: bus_schema::registry::INDEX_ENTRIES_MAX,
                });
                self.listed(Referrers { entries, cut }, EvidencePlace::FallbackTag).await
            }
            Ok(Some(manifest)) => self.attached(&manifest, EvidencePlace::FallbackTag).await,
            Ok(None) => Ok(()),
            Err(error) => {
                self.problem(&EvidencePlace::FallbackTag, &error);
                Ok(())
            }
        }
    }

    async fn cosign_tags(&mut self) -> Result<(), PublishError> {
        let LookingUp { contents, repository, .. } = self.looking_up;
        for (suffix, place) in COSIGN_TAGS {
            let tag = format!("{}.{suffix}", self.subject.fallback_tag());
            match found(contents.tagged(repository, &tag).await) {
                Ok(Some(manifest)) => self.attached(&manifest, place).await?,
                Ok(None) => {}
                Err(error) => self.problem(&place, &error),
            }
        }
        Ok(())
    }

    async fn listed(&mut self, referrers: Referrers, place: EvidencePlace) -> Result<(), PublishError> {
        if let Some(cut) = &referrers.cut {
            self.problem(&place, cut);
        }
        for entry in referrers.entries {
            if self.seen.contains(&entry.digest) {
                continue;
            }
            if self.seen.len() >= ATTACHED_MANIFESTS_MAX {
                let count_max = ATTACHED_MANIFESTS_MAX;
                self.problem(&place, &ApiError::TooMany { what: "what is attached", count_max });
                return Ok(());
            }
            let LookingUp { contents, repository, .. } = self.looking_up;
            match found(contents.manifest(repository, &entry.digest).await) {
                Ok(Some(manifest)) => self.attached(&manifest, place.clone()).await?,
                // A fallback list that a client did not clean up: the manifest itself is gone.
                Ok(None) => {}
                Err(error) => self.problem(&place, &error),
            }
        }
        Ok(())
    }

    /// Reports one attached manifest, if it is attached to the subject and holds evidence.
    async fn attached(&mut self, manifest: &Manifest, place: EvidencePlace) -> Result<(), PublishError> {
        if !self.seen.insert(manifest.digest) {
            return Ok(());
        }
        // A list may name what belongs to another digest; the manifest knows better.
        if manifest.subject.is_some_and(|subject| subject != self.subject) {
            return Ok(());
        }
        let Body::Manifest { layers, .. } = &manifest.body else { return Ok(()) };
        let evidence: Vec<&Descriptor> =
            layers.iter().filter(|layer| is_evidence(&layer.media_type)).collect();
        if evidence.is_empty() {
            return Ok(());
        }
        let mut items = Items::default();
        for layer in evidence {
            if let Err(error) = self.item(layer, &mut items).await? {
                self.problem(&place, &error);
                items.cut = true;
            }
        }
        if items.items.is_empty() {
            return Ok(());
        }
        let event = AttestationAttached {
            repository: Some(self.looking_up.repository.clone()),
            forge_repository: None,
            subject: self.subject,
            manifest: manifest.digest,
            place,
            artifact_type: manifest.artifact_type.clone(),
            items: items.items,
            cut: items.cut,
            found_at: Timestamp::now(),
        };
        self.looking_up.report(Event::AttestationAttached(event)).await
    }

    /// Fetches one piece. The outer failure is our bus's, the inner one the registry's.
    async fn item(
        &self,
        layer: &Descriptor,
        items: &mut Items,
    ) -> Result<Result<(), ApiError>, PublishError> {
        let what = "the evidence";
        if items.items.len() >= EVIDENCE_ITEMS_MAX {
            return Ok(Err(ApiError::TooMany { what, count_max: EVIDENCE_ITEMS_MAX }));
        }
        if layer.size_bytes > BLOB_BYTES_MAX {
            return Ok(Err(ApiError::TooLarge { what, bytes_max: BLOB_BYTES_MAX }));
        }
        let annotation_bytes = annotation_bytes(&layer.annotations);
        if items.annotation_bytes + annotation_bytes > ANNOTATIONS_BYTES_MAX {
            let bytes_max = ANNOTATIONS_BYTES_MAX as u64;
            return Ok(Err(ApiError::TooLarge { what: "the evidence's annotations", bytes_max }));
        }
        let LookingUp { contents, repository, .. } = self.looking_up;
        let bytes_max = self.looking_up.bytes_left();
        let bytes = match contents.blob(repository, &layer.digest, bytes_max).await {
            Ok(bytes) => bytes,
            // The list of a manifest that the registry keeps names bytes that it does not keep.
            Err(ApiError::NotFound) => {
                let reason = format!("its blob {} is not there", layer.digest.short());
                return Ok(Err(ApiError::Unreadable { what, reason }));
            }
            Err(error) => return Ok(Err(error)),
        };
        self.looking_up.spend(bytes.len());
        let size_bytes = bytes.len() as u64;
        let fits =
            bytes.len() <= INLINE_BYTES_MAX && items.inline_bytes + bytes.len() <= INLINE_TOTAL_BYTES_MAX;
        let (digest, inline) = match fits {
            true => (Digest::sha256_of(&bytes), Some(STANDARD.encode(&bytes))),
            false => (self.looking_up.keep(bytes.clone()).await?, None),
        };
        items.annotation_bytes += annotation_bytes;
        items.inline_bytes += if fits { bytes.len() } else { 0 };
        items.items.push(EvidenceItem {
            media_type: layer.media_type.clone(),
            blob: BlobRef { digest, size_bytes, inline },
            annotations: layer.annotations.clone(),
        });
        Ok(Ok(()))
    }

    fn problem(&self, place: &EvidencePlace, error: &ApiError) {
        self.looking_up.problem(place.as_str(), error);
    }
}

/// The pieces of one attached manifest and what they take up.
#[derive(Debug, Default)]
struct Items {
    items: Vec<EvidenceItem>,
    inline_bytes: usize,
    annotation_bytes: usize,
    cut: bool,
}

/// What annotations take up in an event, where a control character has six bytes.
fn annotation_bytes(annotations: &BTreeMap<String, String>) -> usize {
    serde_json::to_vec(annotations).map_or(usize::MAX / 2, |json| json.len())
}
