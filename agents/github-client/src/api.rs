//! Bounded, read-only look-ups in the forge's REST API.
//!
//! In: routes. Out: parsed answers or an [`ApiFailure`] that says who has to act. Only the configured host is ever
//! called: a redirect is followed on that host alone, links to further pages lose their host, and the credential
//! goes nowhere else. Answers are capped in size, depth and time; octocrab's own retries are off.

mod budget;
mod cache;
mod credential;
mod failure;
mod page;
mod route;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bus_schema::ForgeHost;
use bytes::Bytes;
use jiff::Timestamp;
use octocrab::Octocrab;
use octocrab::service::middleware::retry::RetryConfig;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use url::Url;

pub use budget::Budget;
pub use credential::{AppCredential, Credential};
pub use failure::ApiFailure;
pub use page::{Listing, Page};
pub use route::Route;

use crate::json;

/// The most entries that GitHub gives on one page.
pub const PAGE_ENTRIES_MAX: u32 = 100;
/// Same-host redirects (a renamed repository) followed for one look-up.
pub const REDIRECTS_MAX: u32 = 3;
/// Sends of one look-up when the connection fails or the forge answers 502 to 504.
pub const SENDS_MAX: u32 = 2;
/// The pause before the second send.
const SEND_PAUSE: Duration = Duration::from_millis(250);
const API_VERSION: &str = "2022-11-28";

/// What a client needs to know.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// The forge as repositories name it.
    pub host: ForgeHost,
    /// Where its REST API is: `https://api.github.com`, `https://git.acme.example/api/v3`.
    pub base: Url,
    pub credential: Credential,
    /// The longest that one look-up may take, redirects and second sends included.
    pub request_timeout: Duration,
    /// The largest answer that is read.
    pub response_bytes_max: usize,
    /// Look-ups on the way at once; others wait.
    pub in_flight_max: usize,
    /// Requests of the forge's rate limit that are left to others.
    pub budget_reserve_requests: u64,
}

/// Why a client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the api address {0} has no host or is neither https nor http")]
    Base(String),
    #[error("the app's private key is not an RSA key in PEM")]
    AppKey,
    /// For example: no root certificates on this machine.
    #[error("the https client cannot be built: {0}")]
    Client(String),
}

/// A client for one forge with one credential. Cheap to clone.
#[derive(Clone)]
pub struct ApiClient {
    shared: Arc<Shared>,
}

struct Shared {
    octocrab: Octocrab,
    config: ApiConfig,
    budget: Budget,
    cache: cache::AnswerCache,
    in_flight: Semaphore,
}

impl fmt::Debug for ApiClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ApiClient").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

/// An answer with status 200.
struct Answer {
    body: Bytes,
    next: Option<Route>,
}

impl ApiClient {
    /// Builds the client. Must be called inside a tokio runtime.
    pub fn new(config: ApiConfig) -> Result<ApiClient, ClientError> {
        if !matches!(config.base.scheme(), "https" | "http") || config.base.host_str().is_none() {
            return Err(ClientError::Base(config.base.to_string()));
        }
        let octocrab = build_octocrab(&config)?;
        let shared = Shared {
            octocrab,
            budget: Budget::new(config.budget_reserve_requests),
            cache: cache::AnswerCache::new(),
            in_flight: Semaphore::new(config.in_flight_max.max(1)),
            config,
        };
        Ok(ApiClient { shared: Arc::new(shared) })
    }

    pub fn host(&self) -> &ForgeHost {
        &self.shared.config.host
    }

    /// What is left of the forge's rate limit, where it told.
    pub fn budget_left(&self) -> Option<u64> {
        self.shared.budget.left()
    }

    /// Looks one thing up.
    pub async fn get<T: DeserializeOwned>(&self, route: &Route) -> Result<T, ApiFailure> {
        let answer = self.fetch(route).await?;
        Self::parse(&answer.body)
    }

    /// Looks up one page of a listing.
    pub async fn get_page<T: DeserializeOwned>(&self, route: &Route) -> Result<Page<T>, ApiFailure> {
        let answer = self.fetch(route).await?;
        Ok(Page { value: Self::parse(&answer.body)?, next: answer.next })
    }

    /// Looks up a listing whose pages are plain arrays, up to `entries_max` entries.
    pub async fn list<T: DeserializeOwned>(
        &self,
        route: &Route,
        entries_max: usize,
    ) -> Result<Listing<T>, ApiFailure> {
        self.list_within(route, entries_max, |page: Vec<T>| page).await
    }

    /// Looks up a listing whose pages are objects that hold the entries.
    pub async fn list_within<P: DeserializeOwned, T>(
        &self,
        route: &Route,
        entries_max: usize,
        entries_of: impl Fn(P) -> Vec<T>,
    ) -> Result<Listing<T>, ApiFailure> {
        let mut entries = Vec::new();
        let mut next = Some(route.clone());
        // A forge that answers with ever more empty pages is cut off too.
        let pages_max = entries_max / PAGE_ENTRIES_MAX as usize + 2;
        for _ in 0..pages_max {
            let Some(route) = next.take() else { break };
            let page = self.get_page::<P>(&route).await?;
            entries.extend(entries_of(page.value));
            next = page.next;
            if entries.len() > entries_max {
                break;
            }
        }
        let cut = next.is_some() || entries.len() > entries_max;
        entries.truncate(entries_max);
        Ok(Listing { entries, cut })
    }

    fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiFailure> {
        json::read(body).map_err(|error| ApiFailure::unreadable(&error))
    }

    async fn fetch(&self, route: &Route) -> Result<Answer, ApiFailure> {
        let _permit = self
            .shared
            .in_flight
            .acquire()
            .await
            .map_err(|_| ApiFailure::Unreachable { reason: "the client is closed".to_owned() })?;
        let timeout = self.shared.config.request_timeout;
        let outcome = match tokio::time::timeout(timeout, self.send_and_follow(route)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ApiFailure::Unreachable {
                reason: format!("no answer within {} ms", timeout.as_millis()),
            }),
        };
        if let Err(failure) = &outcome {
            tracing::debug!(host = %self.host(), route = %route, failure = %failure, "a look-up failed");
        }
        outcome
    }

    async fn send_and_follow(&self, route: &Route) -> Result<Answer, ApiFailure> {
        let mut current = route.clone();
        for _ in 0..=REDIRECTS_MAX {
            match self.send_twice(&current).await? {
                Sent::Answer(answer) => return Ok(answer),
                Sent::Moved(location) => current = self.on_this_host(&location)?,
            }
        }
        Err(ApiFailure::Unreachable { reason: format!("more than {REDIRECTS_MAX} redirects") })
    }

    async fn send_twice(&self, route: &Route) -> Result<Sent, ApiFailure> {
        let mut sends = 1;
        loop {
            match self.send_once(route).await {
                Err(ApiFailure::Unreachable { .. }) if sends < SENDS_MAX => sends += 1,
                outcome => return outcome,
            }
            tokio::time::sleep(SEND_PAUSE).await;
        }
    }

    async fn send_once(&self, route: &Route) -> Result<Sent, ApiFailure> {
        let shared = &self.shared;
        shared.budget.check(Timestamp::now())?;
        let cached = shared.cache.get(route);
        let etag = cached.as_ref().map(|cached| cached.etag.clone());
        let response = shared
            .octocrab
            ._get_with_headers(route.as_str(), Some(request_headers(etag)))
            .await
            .map_err(|error| ApiFailure::from_octocrab(&error))?;
        let (parts, body) = response.into_parts();
        shared.budget.learn(&parts.headers, Timestamp::now());
        match parts.status {
            StatusCode::NOT_MODIFIED => match cached {
                Some(cached) => Ok(Sent::Answer(Answer { body: cached.body, next: cached.next })),
                None => Err(ApiFailure::Unreadable { reason: "304 to a request without etag".to_owned() }),
            },
            StatusCode::OK => {
                let body = self.read_body(body).await?;
                let next = page::next_route(&parts.headers);
                shared.cache.put(route, &parts.headers, &body, next.as_ref());
                Ok(Sent::Answer(Answer { body, next }))
            }
            status if status.is_redirection() => match header_text(&parts.headers, &header::LOCATION) {
                Some(location) => Ok(Sent::Moved(location)),
                None => Err(ApiFailure::Unreachable { reason: format!("{status} without a location") }),
            },
            status => {
                let limited = shared.budget.refused(status, &parts.headers, Timestamp::now());
                let said = self.read_body(body).await.unwrap_or_default();
                let limited =
                    limited.or_else(|| shared.budget.refused_in_words(status, &said, Timestamp::now()));
                Err(ApiFailure::from_status(status, limited, &said))
            }
        }
    }

    async fn read_body<B>(&self, body: B) -> Result<Bytes, ApiFailure>
    where
        B: axum::body::HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let bytes_max = self.shared.config.response_bytes_max;
        axum::body::to_bytes(axum::body::Body::new(body), bytes_max).await.map_err(|error| {
            match failure::is_length_limit(&error) {
                true => {
                    ApiFailure::Unreadable { reason: format!("the answer has more than {bytes_max} bytes") }
                }
                false => ApiFailure::Unreachable { reason: "the answer broke off".to_owned() },
            }
        })
    }

    /// The route of a redirect, when it stays on the configured host.
    fn on_this_host(&self, location: &str) -> Result<Route, ApiFailure> {
        let base = &self.shared.config.base;
        let target = base.join(location).map_err(|_| ApiFailure::Unreachable {
            reason: "a redirect to something that is no address".to_owned(),
        })?;
        match target.origin() == base.origin() {
            true => Ok(Route::of_url(&target)),
            false => Err(ApiFailure::Unreachable {
                reason: "a redirect to a host that is not configured".to_owned(),
            }),
        }
    }
}

enum Sent {
    Answer(Answer),
    Moved(String),
}

fn build_octocrab(config: &ApiConfig) -> Result<Octocrab, ClientError> {
    let failed = |error: octocrab::Error| ClientError::Client(failure::octocrab_text(&error));
    let builder = Octocrab::builder()
        .add_retry_config(RetryConfig::None)
        .set_connect_timeout(Some(config.request_timeout))
        .set_read_timeout(Some(config.request_timeout))
        .set_write_timeout(Some(config.request_timeout))
        .base_uri(config.base.as_str())
        .map_err(failed)?;
    match &config.credential {
        Credential::None => builder.build().map_err(failed),
        Credential::Token(token) => builder.personal_token(token.expose().to_owned()).build().map_err(failed),
        Credential::App(app) => {
            let builder = builder
                .app_from_rsa_pem(app.app_id.into(), app.private_key_pem.expose().as_bytes())
                .map_err(|_| ClientError::AppKey)?;
            let app_client = builder.build().map_err(failed)?;
            app_client.installation(app.installation_id.into()).map_err(failed)
        }
    }
}

fn request_headers(etag: Option<HeaderValue>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
    headers.insert("x-github-api-version", HeaderValue::from_static(API_VERSION));
    if let Some(etag) = etag {
        headers.insert(header::IF_NONE_MATCH, etag);
    }
    headers
}

fn header_text(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
