//! What is attached to a digest, as the registry lists it by the referrers API.
//!
//! In: a subject. Out: descriptors of manifests, or why the list could not be read whole. No filter is sent, so no
//! server can leave something out by mistaking it; what the listed manifests are, their bytes say, not the list:
//! registries get `artifactType` wrong. Only a 404 means that there is no such list.

use bus_schema::{Digest, ImageRepository};

use super::client::{MANIFEST_BYTES_MAX, RegistryClient, Wanted, pull_scope};
use super::error::ApiError;
use super::link::next_page;
use super::manifest::{Body, Descriptor, Manifest};
use crate::media_type::OCI_INDEX;

/// The most pages of one list.
const PAGES_MAX: usize = 50;
/// The most manifests attached to one digest that are listed.
pub(crate) const REFERRERS_MAX: usize = 1000;

/// A list, and whether a bound cut it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Referrers {
    pub(crate) entries: Vec<Descriptor>,
    pub(crate) cut: Option<ApiError>,
}

/// The referrers API. `None`: this registry has none, or knows no such repository.
pub(crate) async fn native(
    client: &RegistryClient,
    repository: &ImageRepository,
    subject: &Digest,
) -> Result<Option<Referrers>, ApiError> {
    let mut url = client.url(&format!("{}/referrers/{subject}", repository.name()));
    let scope = pull_scope(repository);
    let wanted = Wanted {
        what: "the list of referrers",
        scope: &scope,
        accept: OCI_INDEX,
        bytes_max: MANIFEST_BYTES_MAX,
    };
    let mut listed = Referrers::default();
    for page in 0..PAGES_MAX {
        let answer = match client.get(url, wanted).await {
            Err(ApiError::NotFound) if page == 0 => return Ok(None),
            // A list that ends in nothing was not read to its end.
            Err(ApiError::NotFound) => return Err(unreadable("a page of it is missing")),
            answer => answer?,
        };
        let next = next_page(answer.links(), &answer.url)?;
        let parsed = Manifest::parse(Digest::sha256_of(&answer.body), OCI_INDEX, &answer.body)?;
        let Body::Index { entries, cut } = parsed.body else {
            return Err(unreadable("it is not an index"));
        };
        listed.entries.extend(entries);
        if cut || listed.entries.len() > REFERRERS_MAX {
            listed.entries.truncate(REFERRERS_MAX);
            listed.cut = Some(too_many());
            return Ok(Some(listed));
        }
        match next {
            None => return Ok(Some(listed)),
            Some(next) => url = next,
        }
    }
    listed.cut = Some(too_many());
    Ok(Some(listed))
}

fn too_many() -> ApiError {
    ApiError::TooMany { what: "the list of referrers", count_max: REFERRERS_MAX }
}

fn unreadable(reason: &str) -> ApiError {
    ApiError::Unreadable { what: "the list of referrers", reason: reason.to_owned() }
}
