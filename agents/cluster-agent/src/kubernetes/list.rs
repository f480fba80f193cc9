//! The list of all pods as of one moment, page by page.
//!
//! In: an API. Out: every pod, read or refused, in pages; at the end the resource version to watch from. It is the most
//! recent state and never a cached one: what an inventory does not list counts as stopped. Nothing of a page is held
//! here once it is given out.

use jiff::Timestamp;

use super::api::{Api, ApiError, PodScope};
use super::payload::{Page, PageMetadata, ReadPod, describe, read_pod};

/// How often a list begins anew because the server forgot its place in it.
const RESTARTS_MAX: u32 = 3;

/// Bounds of one list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListLimits {
    pub(crate) page_pods_max: u32,
    pub(crate) pods_max: usize,
}

/// A list that is being read.
#[derive(Debug)]
pub(crate) struct Listing<'a> {
    api: &'a Api,
    scope: &'a PodScope,
    limits: ListLimits,
    restarts: u32,
    page_pods_max: u32,
    begun: Begun,
}

/// One attempt at the list.
#[derive(Debug)]
struct Begun {
    at: Timestamp,
    /// The pods that were given out.
    pods: usize,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Start,
    After { token: String },
    End { resource_version: String },
}

/// What comes next in a list.
#[derive(Debug)]
pub(crate) enum Listed {
    Pods(Vec<ReadPod>),
    /// The server forgot its place: the list begins anew, and what was given out of it counts no more.
    Anew,
    /// That was all. What happens behind it is told from this resource version on.
    End {
        resource_version: String,
    },
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("there are more than {pods_max} pods")]
    TooMany { pods_max: usize },
}

impl<'a> Listing<'a> {
    /// Begins to list the pods of `scope`.
    pub(crate) fn begin(api: &'a Api, scope: &'a PodScope, limits: ListLimits) -> Listing<'a> {
        let page_pods_max = limits.page_pods_max;
        Listing { api, scope, limits, restarts: 0, page_pods_max, begun: Begun::now() }
    }

    /// A time before the list was asked for. It is a later one when the list has begun anew.
    pub(crate) fn requested_at(&self) -> Timestamp {
        self.begun.at
    }

    pub(crate) async fn next(&mut self) -> Result<Listed, ListError> {
        match self.page().await {
            Err(ListError::Api(ApiError::Gone)) if self.restarts < RESTARTS_MAX => {
                self.restarts += 1;
                self.begun = Begun::now();
                Ok(Listed::Anew)
            }
            result => result,
        }
    }

    async fn page(&mut self) -> Result<Listed, ListError> {
        let token = match &self.begun.place {
            Place::Start => None,
            Place::After { token } => Some(token.as_str()),
            Place::End { resource_version } => {
                return Ok(Listed::End { resource_version: resource_version.clone() });
            }
        };
        let text = loop {
            match self.api.page(self.scope, self.page_pods_max, token).await {
                Err(ApiError::TooLarge { .. }) if self.page_pods_max > 1 => self.page_pods_max /= 2,
                result => break result?,
            }
        };
        let (pods, metadata) = self.read(&text)?;
        let is_stuck = pods.is_empty() && token == Some(&metadata.continue_token);
        if is_stuck {
            return Err(ApiError::Unreadable("the list goes nowhere".to_owned()).into());
        }
        self.begun.pods += pods.len();
        self.begun.place = match metadata.continue_token.is_empty() {
            true => Place::End { resource_version: metadata.resource_version },
            false => Place::After { token: metadata.continue_token },
        };
        Ok(Listed::Pods(pods))
    }

    /// Refuses more pods than are allowed, and those of which the server says that they follow.
    fn read(&self, text: &[u8]) -> Result<(Vec<ReadPod>, PageMetadata), ListError> {
        let page = read_page(text)?;
        let following = usize::try_from(page.metadata.remaining_item_count).unwrap_or(0);
        let pods = self.begun.pods.saturating_add(page.items.len()).saturating_add(following);
        if pods > self.limits.pods_max {
            return Err(ListError::TooMany { pods_max: self.limits.pods_max });
        }
        Ok((page.items.iter().map(|item| read_pod(item.get())).collect(), page.metadata))
    }
}

impl Begun {
    fn now() -> Begun {
        Begun { at: Timestamp::now(), pods: 0, place: Place::Start }
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
