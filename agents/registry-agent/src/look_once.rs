//! One look for somebody who waits for it: no bus, no state, no polling. The same places, bounds and rules as every look.
//!
//! In: an image reference and the registries that may be called. Out: the events that an agent would have said, with the
//! bytes of the evidence, and each place that could not be looked at. That a place failed is never "nothing is there".

use std::collections::BTreeMap;

use bus_schema::fleet::Unavailable;
use bus_schema::{Digest, Event, ImageRef, ImageRepository};
use bytes::Bytes;

use crate::answer::end_of;
use crate::api::client::{ClientError, RegistryClient};
use crate::api::error::ApiError;
use crate::contents::Contents;
use crate::look_up::{LookingUp, MANIFESTS, WHOLE_LOOK};
use crate::settings::{Registry, Settings};
use crate::sink::InMemory;
use crate::tags::What;

/// The tag that a reference without tag and digest means.
const DEFAULT_TAG: &str = "latest";

/// What one look found.
#[derive(Debug, Clone)]
pub struct Collected {
    pub repository: ImageRepository,
    /// The digest that was looked at; where a tag was given, the one that it points at.
    pub digest: Digest,
    /// `image.resolved` and `attestation.attached`, in the order in which they were found.
    pub events: Vec<Event>,
    /// The bytes of evidence that are not inside an event.
    pub blobs: BTreeMap<Digest, Bytes>,
    /// There is no manifest of this digest.
    pub is_missing: bool,
    /// Why the manifest of this digest is not known, where that is so although nobody said that it is missing.
    pub manifest_unread: Option<Unread>,
    /// Each place that could not be looked at.
    pub unread: Vec<Unread>,
    /// How the look ended, as the answer to a question says it: `not_found` means "nothing beyond what was found".
    pub end: Unavailable,
    pub end_detail: String,
}

/// A place that could not be looked at: it may hold evidence, for all that anybody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// `manifests`, `referrers`, `fallback_tag`, `cosign_sig`, …
    pub place: String,
    pub reason: Unavailable,
    pub detail: String,
}

/// Why a look could not begin.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error("{host} is not among the configured registries")]
    Unconfigured { host: String },
    #[error("the registry cannot be called")]
    Client(#[from] ClientError),
    /// The registry says that there is no such tag.
    #[error("{image} is not there: {reason}")]
    NotThere { image: String, reason: String },
    #[error("{image} cannot be resolved: {reason}")]
    Unresolved { image: String, reason: String },
}

/// Looks at an image and at everything that is attached to it.
pub async fn look_once(settings: &Settings, image: &ImageRef) -> Result<Collected, LookError> {
    let host = image.repository.registry();
    let registry = settings.registries.iter().find(|registry| registry.host == host);
    let Some(registry) = registry else { return Err(LookError::Unconfigured { host: host.to_owned() }) };
    let client = RegistryClient::new(registry)?;
    let digest = match image.digest {
        Some(digest) => digest,
        None => resolve(&client, image).await?,
    };
    Ok(look(&client, registry, settings, &image.repository, digest).await)
}

async fn resolve(client: &RegistryClient, image: &ImageRef) -> Result<Digest, LookError> {
    let tag = match &image.tag {
        Some(tag) => Ok(tag.clone()),
        None => DEFAULT_TAG.parse(),
    };
    let tag = tag.map_err(|error: bus_schema::ParseError| LookError::Unresolved {
        image: image.to_string(),
        reason: error.to_string(),
    })?;
    let mut found = client.tag_digest(&image.repository, &tag).await;
    if matches!(found, Err(ApiError::NotFound))
        && let Err(error) = client.check_is_there().await
    {
        found = Err(error);
    }
    found.map_err(|error| {
        let (image, reason) = (format!("{}:{tag}", image.repository), error.to_string());
        match error {
            ApiError::NotFound => LookError::NotThere { image, reason },
            _ => LookError::Unresolved { image, reason },
        }
    })
}

async fn look(
    client: &RegistryClient,
    registry: &Registry,
    settings: &Settings,
    repository: &ImageRepository,
    digest: Digest,
) -> Collected {
    collected(client, registry.referrers_api, repository, digest, settings.tuning.look_up_timeout).await
}

/// Looks into memory.
pub(crate) async fn collected(
    contents: &dyn Contents,
    has_referrers_list: bool,
    repository: &ImageRepository,
    digest: Digest,
    within: std::time::Duration,
) -> Collected {
    let sink = InMemory::default();
    let looking_up = LookingUp::new(contents, repository, has_referrers_list, &sink);
    let found = looking_up.run(digest, What::Image, within).await;
    let (events, blobs) = sink.into_parts();
    let (is_missing, unread, (end, end_detail)) = match &found {
        Ok(found) => (found.is_missing, &found.unread[..], end_of(Some(found), repository.registry())),
        // Memory does not fail; were it to, nothing is known.
        Err(error) => (false, &[][..], (Unavailable::Unreachable, fleet_runtime::error_chain(error))),
    };
    let mut named: Vec<Unread> = Vec::new();
    for (place, error) in unread {
        let one = Unread { place: place.clone(), reason: error.unavailable(), detail: error.to_string() };
        if !named.contains(&one) {
            named.push(one);
        }
    }
    // Nothing is below a manifest that was not read: the first problem of its place is its own.
    let is_unread = found.as_ref().is_ok_and(|found| found.content.is_none() && !found.is_missing);
    let is_its_own = |one: &&Unread| [MANIFESTS, WHOLE_LOOK].contains(&one.place.as_str());
    let manifest_unread = named.iter().find(is_its_own).filter(|_| is_unread).cloned();
    Collected {
        repository: repository.clone(),
        digest,
        events,
        blobs,
        is_missing,
        manifest_unread,
        unread: named,
        end,
        end_detail,
    }
}
