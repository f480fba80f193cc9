//! What is attached to a digest, as the registry lists it by the referrers API.
//!
//! In: a subject. Out: descriptors of manifests, or why the list could not be read whole. No filter is sent, so no
//! server can leave something out by mistaking it; what the listed manifests are, their bytes say, not the list:
//! registries get `artifactType` wrong.
//!
//! A registry without this API says so in many ways: it answers 404 as the specification has it, refuses the
//! request as one that it does not know, shows a page, or leads to another host. Then there is no such list
//! here, and what is attached lies under the fallback tag, which is asked for all the same. What may pass (a
//! denial, too many requests, a failure), and an answer that is called an index and is none, say nothing of
//! what is attached.

use bus_schema::{Digest, ImageRepository};

use super::client::{Answer, MANIFEST_BYTES_MAX, RegistryClient, Wanted, pull_scope};
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
            Err(error) if page == 0 && says_there_is_no_api(&error, subject) => return Ok(None),
            // A list that ends in nothing was not read to its end.
            Err(ApiError::NotFound) => return Err(unreadable("a page of it is missing")),
            answer => answer?,
        };
        let (entries, cut) = match index(&answer) {
            Ok(index) => index,
            Err(_) if page == 0 && !is_list(&answer) => return Ok(None),
            Err(error) => return Err(error),
        };
        let next = next_page(answer.links(), &answer.url)?;
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

/// Whether the first request was answered as by a registry that does not know it. Some send whoever asks to a page for
/// people; one that sends them to the same list elsewhere does know it.
fn says_there_is_no_api(error: &ApiError, subject: &Digest) -> bool {
    match error {
        ApiError::NotFound | ApiError::Unexpected { status: 400 | 405 | 406 } => true,
        ApiError::ForeignHost { path, .. } => !path.ends_with(&format!("/referrers/{subject}")),
        _ => false,
    }
}

/// Whether an answer means to be a list, though it cannot be read as one: by what it is called, or by what it holds.
fn is_list(answer: &Answer) -> bool {
    #[derive(serde::Deserialize)]
    struct Listing {
        #[serde(rename = "manifests")]
        _manifests: Vec<serde::de::IgnoredAny>,
    }
    answer.media_type() == OCI_INDEX || serde_json::from_slice::<Listing>(&answer.body).is_ok()
}

/// A page of the list, whatever it is called, and whether it is cut.
fn index(answer: &Answer) -> Result<(Vec<Descriptor>, bool), ApiError> {
    match Manifest::parse(Digest::sha256_of(&answer.body), OCI_INDEX, &answer.body)?.body {
        Body::Index { entries, cut } => Ok((entries, cut)),
        Body::Manifest { .. } => Err(unreadable("it is not an index")),
    }
}

fn too_many() -> ApiError {
    ApiError::TooMany { what: "the list of referrers", count_max: REFERRERS_MAX }
}

fn unreadable(reason: &str) -> ApiError {
    ApiError::Unreadable { what: "the list of referrers", reason: reason.to_owned() }
}
