//! The lists of a registry: its repositories and their tags, page by page, to a bound.

use bus_schema::{ImageRepository, Tag};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::client::{RegistryClient, Wanted, pull_scope};
use super::error::ApiError;
use super::link::next_page;

const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
const PAGE_ENTRIES: usize = 1000;
const PAGES_MAX: usize = 200;
const CATALOG_SCOPE: &str = "registry:catalog:*";

/// A list, whether a bound cut it, and how many entries are not what they should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listed<T> {
    pub(crate) entries: Vec<T>,
    pub(crate) cut: bool,
    pub(crate) unreadable: usize,
}

#[derive(Deserialize)]
struct TagPage {
    /// `null` where the repository is empty.
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct CatalogPage {
    repositories: Option<Vec<String>>,
}

/// The tags of a repository, at most `tags_max`.
pub(crate) async fn tags(
    client: &RegistryClient,
    repository: &ImageRepository,
    tags_max: usize,
) -> Result<Listed<Tag>, ApiError> {
    let path = format!("{}/tags/list", repository.name());
    let listed = pages(client, &path, &pull_scope(repository), tags_max, |page: TagPage| page.tags).await?;
    Ok(parsed(listed, |text| text.parse().ok()))
}

/// The repositories of the registry, at most `repositories_max`.
pub(crate) async fn repositories(
    client: &RegistryClient,
    repositories_max: usize,
) -> Result<Listed<ImageRepository>, ApiError> {
    let listed =
        pages(client, "_catalog", CATALOG_SCOPE, repositories_max, |page: CatalogPage| page.repositories)
            .await?;
    Ok(parsed(listed, |text| ImageRepository::new(client.host(), text).ok()))
}

async fn pages<P: DeserializeOwned>(
    client: &RegistryClient,
    path: &str,
    scope: &str,
    entries_max: usize,
    of_page: impl Fn(P) -> Option<Vec<String>>,
) -> Result<Listed<String>, ApiError> {
    let mut url = client.url(path);
    url.set_query(Some(&format!("n={PAGE_ENTRIES}")));
    let wanted = Wanted { what: "the list", scope, accept: "application/json", bytes_max: PAGE_BYTES_MAX };
    let mut listed = Listed { entries: Vec::new(), cut: false, unreadable: 0 };
    for page in 0..PAGES_MAX {
        let answer = match client.get(url, wanted).await {
            Err(ApiError::NotFound) if page > 0 => return Err(ApiError::Unexpected { status: 404 }),
            answer => answer?,
        };
        let next = next_page(answer.links(), &answer.url)?;
        let parsed: P = serde_json::from_slice(&answer.body)
            .map_err(|error| ApiError::Unreadable { what: "the list", reason: error.to_string() })?;
        listed.entries.extend(of_page(parsed).unwrap_or_default());
        if listed.entries.len() > entries_max {
            listed.entries.truncate(entries_max);
            listed.cut = true;
            return Ok(listed);
        }
        match next {
            None => return Ok(listed),
            Some(next) => url = next,
        }
    }
    listed.cut = true;
    Ok(listed)
}

fn parsed<T>(listed: Listed<String>, parse: impl Fn(&str) -> Option<T>) -> Listed<T> {
    let count = listed.entries.len();
    let entries: Vec<T> = listed.entries.iter().filter_map(|text| parse(text)).collect();
    let unreadable = count - entries.len();
    Listed { entries, cut: listed.cut, unreadable }
}
