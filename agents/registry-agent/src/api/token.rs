//! How requests to one registry are authorised: not at all, by name and password, or by tokens of its realm.
//!
//! In: a challenge. Out: the value of an `Authorization` header. Passwords and tokens never leave this file except in
//! that header, and the header goes to the registry's own origin and the configured realm only.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fleet_runtime::settings::Secret;
use reqwest::Url;
use reqwest::header::HeaderValue;
use serde::Deserialize;

use super::challenge::Challenge;
use super::client::read_body;
use super::error::ApiError;
use super::http::Http;
use crate::settings::Credentials;

const TOKEN_BYTES_MAX: usize = 64 * 1024;
/// How long a token counts when the realm does not say (distribution: at least 60 seconds).
const TOKEN_DEFAULT_SECONDS: u64 = 60;
const TOKEN_SECONDS_MAX: u64 = 3600;
/// A token is renewed this long before it ends.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);
const TOKENS_MAX: usize = 1000;

/// The authorisation for one registry.
#[derive(Debug)]
pub(crate) struct Authority {
    http: Arc<Http>,
    base: Url,
    /// Where tokens may be fetched from beside the registry itself.
    realm: Option<Url>,
    may_lead_on: bool,
    credentials: Option<Credentials>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    basic: bool,
    tokens: BTreeMap<String, Token>,
    /// Held by whoever fetches the token of a scope.
    fetching: BTreeMap<String, Arc<tokio::sync::Mutex<()>>>,
}

#[derive(Debug)]
struct Token {
    value: Secret,
    until: Instant,
}

/// The realm's answer; `token` and `access_token` mean the same (distribution, "Token Authentication").
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<Secret>,
    access_token: Option<Secret>,
    expires_in: Option<u64>,
}

impl Authority {
    pub(crate) fn new(
        http: Arc<Http>,
        base: Url,
        realm: Option<Url>,
        may_lead_on: bool,
        credentials: Option<Credentials>,
    ) -> Authority {
        Authority { http, base, realm, may_lead_on, credentials, state: Mutex::default() }
    }

    /// What is known to be asked for: nothing before the first challenge.
    pub(crate) fn known(&self, scope: &str) -> Result<Option<HeaderValue>, ApiError> {
        let basic = {
            let mut state = self.state();
            let now = Instant::now();
            state.tokens.retain(|_, token| token.until > now);
            if let Some(token) = state.tokens.get(scope) {
                return bearer(&token.value).map(Some);
            }
            state.basic
        };
        match basic {
            true => self.basic(),
            false => Ok(None),
        }
    }

    /// Answers a challenge to a request that had the header `refused`; a token that was refused is forgotten first. Of
    /// requests that are challenged at once, one fetches the token for all.
    pub(crate) async fn answer(
        &self,
        challenge: Challenge,
        scope: &str,
        refused: Option<&HeaderValue>,
    ) -> Result<HeaderValue, ApiError> {
        let fetching = self.fetching(scope);
        let _one = fetching.lock().await;
        if let Some(known) = self.known(scope)?.filter(|known| Some(known) != refused) {
            return Ok(known);
        }
        self.state().tokens.remove(scope);
        match challenge {
            Challenge::Basic => {
                let header = self.basic()?.ok_or(ApiError::Denied { status: 401 })?;
                self.state().basic = true;
                Ok(header)
            }
            Challenge::Bearer { realm, service } => {
                let (value, seconds) = self.fetch(&realm, service.as_deref(), scope).await?;
                let header = bearer(&value)?;
                let until = Instant::now() + Duration::from_secs(seconds).saturating_sub(TOKEN_MARGIN);
                let mut state = self.state();
                if state.tokens.len() >= TOKENS_MAX {
                    state.tokens.clear();
                }
                state.tokens.insert(scope.to_owned(), Token { value, until });
                Ok(header)
            }
        }
    }

    fn fetching(&self, scope: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut state = self.state();
        if state.fetching.len() >= TOKENS_MAX {
            state.fetching.clear();
        }
        state.fetching.entry(scope.to_owned()).or_default().clone()
    }

    async fn fetch(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: &str,
    ) -> Result<(Secret, u64), ApiError> {
        let mut url = self.allowed_realm(realm)?;
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("scope", scope);
            if let Some(service) = service {
                query.append_pair("service", service);
            }
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        let body = self.ask(url).await.map_err(|error| of_the_realm(error, host))?;
        // The parser's message is not repeated: it may quote the token.
        let unreadable =
            || ApiError::Unreadable { what: "the token", reason: "it is not a token answer".to_owned() };
        let answer: TokenAnswer = serde_json::from_slice(&body).map_err(|_| unreadable())?;
        let value = answer.token.or(answer.access_token).ok_or_else(unreadable)?;
        let seconds = answer.expires_in.unwrap_or(TOKEN_DEFAULT_SECONDS);
        Ok((value, seconds.clamp(TOKEN_DEFAULT_SECONDS, TOKEN_SECONDS_MAX)))
    }

    async fn ask(&self, url: Url) -> Result<Bytes, ApiError> {
        let mut request = self.http.client(&url)?.get(url);
        if let Some(header) = self.basic()? {
            request = request.header(reqwest::header::AUTHORIZATION, header);
        }
        let answer = request.send().await.map_err(super::client::transport)?;
        super::client::check_status(&answer)?;
        read_body(answer, "the token", TOKEN_BYTES_MAX).await
    }

    /// The realm as a URL, when its origin is the registry's own or the configured one's, or may be any.
    fn allowed_realm(&self, realm: &str) -> Result<Url, ApiError> {
        let foreign = |host: &str| ApiError::ForeignRealm { realm: host.chars().take(100).collect() };
        let url: Url = realm.parse().map_err(|_| foreign("something that is not a URL"))?;
        let has_user = !url.username().is_empty() || url.password().is_some();
        let is_allowed =
            std::iter::once(&self.base).chain(&self.realm).any(|allowed| allowed.origin() == url.origin());
        // Where there is nothing to give away, a registry that a person named may name its realm.
        let is_led_on = self.may_lead_on && self.credentials.is_none() && url.scheme() == "https";
        match (is_allowed || is_led_on) && !has_user {
            true => Ok(url),
            false => Err(foreign(url.host_str().unwrap_or("a URL without a host"))),
        }
    }

    fn basic(&self) -> Result<Option<HeaderValue>, ApiError> {
        let Some(credentials) = &self.credentials else { return Ok(None) };
        let pair = format!("{}:{}", credentials.username, credentials.password.expose());
        header(&format!("Basic {}", STANDARD.encode(pair))).map(Some)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a realm answers instead of a token says nothing of what the registry was asked for: nothing is
/// missing there, and no bound cuts it off.
fn of_the_realm(error: ApiError, realm: String) -> ApiError {
    match error {
        ApiError::NotFound => ApiError::NoToken { realm, reason: "it answers 404".to_owned() },
        ApiError::Unexpected { status } => {
            ApiError::NoToken { realm, reason: format!("it answers {status}") }
        }
        error if error.is_a_bound() => ApiError::NoToken { realm, reason: error.to_string() },
        error => error,
    }
}

fn bearer(token: &Secret) -> Result<HeaderValue, ApiError> {
    header(&format!("Bearer {}", token.expose()))
}

fn header(text: &str) -> Result<HeaderValue, ApiError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| ApiError::Unreadable { what: "the token", reason: "it is no header text".to_owned() })?;
    value.set_sensitive(true);
    Ok(value)
}
