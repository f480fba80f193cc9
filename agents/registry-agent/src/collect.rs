//! Collects what is attached to a digest, from every place where it may lie.
//!
//! In: a subject. Out: one `attestation.attached` per attached manifest, its bytes stored first by their hash where
//! they are many. Nothing is verified or judged here. A place that could not be looked at is a problem of the look-up,
//! never an empty place; what the other places hold is reported all the same. Of one manifest everything is said or
//! nothing yet: what is said of it is said for good, so that only a bound may leave a piece out.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus_schema::registry::{
    AttestationAttached, BLOB_BYTES_MAX, BlobRef, EVIDENCE_ITEMS_MAX, EvidenceItem, EvidencePlace,
    INLINE_BYTES_MAX,
};
use bus_schema::{Digest, Event};
use fleet_runtime::publisher::PublishError;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::api::error::{ApiError, found};
use crate::api::manifest::{Body, Descriptor, Manifest};
use crate::api::referrers::Referrers;
use crate::look_up::{LOOK_UP_BYTES_MAX, LookingUp};
use crate::media_type::is_evidence;

/// The most attached manifests of one digest that are read.
const ATTACHED_MANIFESTS_MAX: usize = 128;
/// The most bytes that one event carries inside it, before base64.
const INLINE_TOTAL_BYTES_MAX: usize = 384 * 1024;
/// The most bytes of annotations in one event, as JSON.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

/// The places that may be asked at once: the list, the fallback tag, and cosign's tags.
const PLACES_MAX: usize = 2 + COSIGN_TAGS.len();

/// cosign's tags beside `sha256-<hex>`, and the places they are.
const COSIGN_TAGS: [(&str, EvidencePlace); 3] = [
    ("sig", EvidencePlace::CosignSignatureTag),
    ("att", EvidencePlace::CosignAttestationTag),
    ("sbom", EvidencePlace::CosignSbomTag),
];

/// Reports everything attached to `subject`. Fails only where our own bus does. All places are asked at once; what they
/// answer is gone through one after the other, always in the same order.
pub(crate) async fn collect(looking_up: &LookingUp<'_>, subject: Digest) -> Result<(), PublishError> {
    collect_after(looking_up, subject, std::future::ready(Ok(()))).await
}

/// The same with something else that is asked for beside the places and reported before what they answer.
pub(crate) async fn collect_after<T>(
    looking_up: &LookingUp<'_>,
    subject: Digest,
    first: impl Future<Output = Result<T, PublishError>>,
) -> Result<T, PublishError> {
    let (answered, mut answers) = mpsc::channel(PLACES_MAX);
    let asking = async move {
        let mut asked = asked(looking_up, subject);
        while let Some(answer) = asked.next().await {
            // Nobody listens any more where our bus failed, which ends both.
            let _ = answered.send(answer).await;
        }
        Ok(())
    };
    let going_through = async {
        let done = first.await?;
        let mut collection = Collection { looking_up, subject, seen: BTreeSet::new() };
        while let Some((place, answer)) = answers.recv().await {
            collection.place(place, answer).await?;
        }
        Ok(done)
    };
    tokio::try_join!(asking, going_through).map(|((), done)| done)
}

/// What a place of evidence answered.
enum Answer {
    List(Result<Option<Referrers>, ApiError>),
    Tag(Result<Box<Manifest>, ApiError>),
}

type Asked<'a> = FuturesOrdered<BoxFuture<'a, (EvidencePlace, Answer)>>;

/// The requests to all places, in the order in which their answers are gone through.
fn asked<'a>(looking_up: &'a LookingUp<'a>, subject: Digest) -> Asked<'a> {
    let LookingUp { contents, repository, .. } = *looking_up;
    let mut asked = FuturesOrdered::new();
    if looking_up.has_referrers_api {
        let list = async move { Answer::List(contents.referrers(repository, &subject).await) };
        asked.push_back(list.map(|answer| (EvidencePlace::Referrers, answer)).boxed());
    }
    let fallback_tag = subject.fallback_tag();
    let cosign_tags = COSIGN_TAGS.map(|(suffix, place)| (format!("{fallback_tag}.{suffix}"), place));
    for (tag, place) in std::iter::once((fallback_tag, EvidencePlace::FallbackTag)).chain(cosign_tags) {
        let tagged = async move { contents.tagged(repository, &tag).await.map(Box::new) };
        asked.push_back(tagged.map(|answer| (place, Answer::Tag(answer))).boxed());
    }
    asked
}

struct Collection<'a> {
    looking_up: &'a LookingUp<'a>,
    subject: Digest,
    /// The attached manifests read so far: one may be listed in several places.
    seen: BTreeSet<Digest>,
}

impl Collection<'_> {
    async fn place(&mut self, place: EvidencePlace, answer: Answer) -> Result<(), PublishError> {
        match answer {
            Answer::List(Ok(Some(listed))) => self.listed(listed, place).await,
            Answer::Tag(Ok(manifest)) => self.tagged(*manifest, place).await,
            Answer::List(Ok(None)) | Answer::Tag(Err(ApiError::NotFound)) => Ok(()),
            Answer::List(Err(error)) | Answer::Tag(Err(error)) => {
                self.problem(&place, &error);
                Ok(())
            }
        }
    }

    async fn tagged(&mut self, manifest: Manifest, place: EvidencePlace) -> Result<(), PublishError> {
        // Some registries take the fallback tag for another way to write the digest, and give the subject
        // itself: what an index lists is not attached to it.
        if manifest.digest == self.subject {
            return Ok(());
        }
        match manifest.body {
            Body::Index { entries, cut } if place == EvidencePlace::FallbackTag => {
                let cut = cut.then_some(ApiError::TooMany {
                    what: "the list under the fallback tag",
                    count_max: bus_schema::registry::INDEX_ENTRIES_MAX,
                });
                self.listed(Referrers { entries, cut }, place).await
            }
            _ => self.attached(&manifest, place).await,
        }
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
                match error.is_a_bound() {
                    true => items.cut = true,
                    false => items.unread = true,
                }
            }
        }
        if items.unread || items.items.is_empty() {
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
        if layer.size_bytes > bytes_max as u64 {
            return Ok(Err(ApiError::UsedUp { bytes_max: LOOK_UP_BYTES_MAX }));
        }
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
            false => match self.looking_up.keep(bytes.clone()).await? {
                Some(digest) => (digest, None),
                None => return Ok(Err(ApiError::NoRoom)),
            },
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
    /// A bound leaves a piece out, as it will the next time.
    cut: bool,
    /// A piece could not be read now.
    unread: bool,
}

/// What annotations take up in an event, where a control character has six bytes.
fn annotation_bytes(annotations: &BTreeMap<String, String>) -> usize {
    serde_json::to_vec(annotations).map_or(usize::MAX / 2, |json| json.len())
}
