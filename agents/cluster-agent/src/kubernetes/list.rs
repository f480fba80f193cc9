//! The list of all pods as of one moment, page by page.
//!
//! In: an API. Out: every pod, read or refused, with the resource version to watch from and a time before the list was
//! asked for. It is the most recent state and never a cached one: what an inventory does not list counts as stopped.

use jiff::Timestamp;

use super::api::{Api, ApiError, PodScope};
use super::payload::{Page, ReadPod, describe, read_pod};

/// How often a list begins anew because the server forgot its place in it.
const RESTARTS_MAX: u32 = 3;

/// Bounds of one list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListLimits {
    pub(crate) page_pods_max: u32,
    pub(crate) pods_max: usize,
}

#[derive(Debug)]
pub(crate) struct PodList {
    pub(crate) pods: Vec<ReadPod>,
    pub(crate) resource_version: String,
    pub(crate) requested_at: Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("there are more than {pods_max} pods")]
    TooMany { pods_max: usize },
}

/// Lists the pods of `scope`.
pub(crate) async fn list(api: &Api, scope: &PodScope, limits: ListLimits) -> Result<PodList, ListError> {
    let mut restarts = 0;
    loop {
        match list_once(api, scope, limits).await {
            Err(ListError::Api(ApiError::Gone)) if restarts < RESTARTS_MAX => restarts += 1,
            result => return result,
        }
    }
}

async fn list_once(api: &Api, scope: &PodScope, limits: ListLimits) -> Result<PodList, ListError> {
    let requested_at = Timestamp::now();
    let mut pods = Vec::new();
    let mut page_pods_max = limits.page_pods_max;
    let mut token: Option<String> = None;
    loop {
        let text = match api.page(scope, page_pods_max, token.as_deref()).await {
            Err(ApiError::TooLarge { .. }) if page_pods_max > 1 => {
                page_pods_max /= 2;
                continue;
            }
            result => result?,
        };
        let page = read_page(&text)?;
        if pods.len() + page.items.len() > limits.pods_max {
            return Err(ListError::TooMany { pods_max: limits.pods_max });
        }
        pods.extend(page.items.iter().map(|item| read_pod(item.get())));
        let metadata = page.metadata;
        if metadata.continue_token.is_empty() {
            let resource_version = metadata.resource_version;
            return Ok(PodList { pods, resource_version, requested_at });
        }
        let is_stuck = page.items.is_empty() && token.as_ref() == Some(&metadata.continue_token);
        if is_stuck {
            return Err(ApiError::Unreadable("the list goes nowhere".to_owned()).into());
        }
        token = Some(metadata.continue_token);
    }
}

fn read_page(text: &[u8]) -> Result<Page<'_>, ApiError> {
    let page: Page<'_> =
        serde_json::from_slice(text).map_err(|error| ApiError::Unreadable(describe(&error)))?;
    match page.metadata.resource_version.is_empty() {
        true => Err(ApiError::Unreadable("the list has no resource version".to_owned())),
        false => Ok(page),
    }
}
