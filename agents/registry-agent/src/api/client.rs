//! Requests to one registry: bounded, authorised, and never sent to a host that is not configured.

use std::sync::Arc;
use std::time::Duration;

use bus_schema::{Digest, ImageRepository, Tag};
use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LINK, LOCATION, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use reqwest::{Method, Response, StatusCode, Url};
use tokio::sync::Semaphore;

use super::challenge::{self, Challenge};
use super::error::ApiError;
use super::http::Http;
use super::manifest::Manifest;
use super::token::Authority;
use crate::media_type::{MANIFEST_ACCEPT, is_manifest};
use crate::settings::Registry;

/// The largest manifest or index, in bytes (OCI distribution specification, "Pushing Manifests").
pub(crate) const MANIFEST_BYTES_MAX: usize = 4 * 1024 * 1024;
const REDIRECTS_MAX: usize = 3;
/// The longest wait that a registry may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// One configured registry.
#[derive(Debug)]
pub(crate) struct RegistryClient {
    /// The name under which images are referenced, with its port.
    host: String,
    base: Url,
    redirect_hosts: Vec<String>,
    may_lead_on: bool,
    request_timeout: Duration,
    http: Arc<Http>,
    authority: Authority,
    in_flight: Semaphore,
}

/// The client of a registry could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client of {host} cannot be made")]
pub struct ClientError {
    pub(crate) host: String,
    pub(crate) source: reqwest::Error,
}

/// A complete answer of 200.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn links(&self) -> impl Iterator<Item = &str> {
        self.headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok())
    }

    pub(crate) fn media_type(&self) -> String {
        let stated = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        stated.split(';').next().unwrap_or_default().trim().to_owned()
    }
}

/// What to ask for, and how large the answer may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) what: &'static str,
    pub(crate) scope: &'a str,
    pub(crate) accept: &'static str,
    pub(crate) bytes_max: usize,
}

const GREETING: Wanted<'_> =
    Wanted { what: "the registry's greeting", scope: "", accept: "*/*", bytes_max: 64 * 1024 };

impl RegistryClient {
    pub(crate) fn new(registry: &Registry) -> Result<RegistryClient, ClientError> {
        let http = Arc::new(Http::new(registry)?);
        let credentials = registry.credentials.clone();
        let authority = Authority::new(
            http.clone(),
            registry.url.clone(),
            registry.token_realm.clone(),
            registry.may_lead_on,
            credentials,
        );
        Ok(RegistryClient {
            host: registry.host.clone(),
            base: registry.url.clone(),
            redirect_hosts: registry.redirect_hosts.clone(),
            may_lead_on: registry.may_lead_on,
            request_timeout: registry.request_timeout,
            http,
            authority,
            in_flight: Semaphore::new(registry.requests_in_flight_max),
        })
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Whether the registry answers as one, with our credentials.
    pub(crate) async fn ping(&self) -> Result<(), ApiError> {
        self.get(self.url(""), GREETING).await.map(|_| ())
    }

    /// Fails unless `/v2/` is answered as a registry answers it: with a greeting, or by asking who asks. What
    /// stands in front of a registry that is away may answer 404 to everything, and that is no word of the
    /// registry.
    pub(crate) async fn check_is_there(&self) -> Result<(), ApiError> {
        let _permit = self.permit().await;
        let work = async {
            let answer = self.send_once(&Method::GET, self.url(""), GREETING.accept, None).await?;
            let answer = self.follow(Method::GET, answer, GREETING.accept).await?;
            match answer.status().as_u16() {
                401 if chosen(&answer).is_some() => Ok(()),
                status @ (401 | 404) => Err(ApiError::Unexpected { status }),
                _ => check_status(&answer),
            }
        };
        self.in_time(work).await
    }

    /// A manifest by its digest; other bytes are an error.
    pub(crate) async fn manifest(
        &self,
        repository: &ImageRepository,
        digest: &Digest,
    ) -> Result<Manifest, ApiError> {
        self.manifest_at(repository, &digest.to_string(), Some(digest)).await
    }

    /// The manifest that a tag points at now, with the digest of its bytes.
    pub(crate) async fn tagged(&self, repository: &ImageRepository, tag: &str) -> Result<Manifest, ApiError> {
        self.manifest_at(repository, tag, None).await
    }

    async fn manifest_at(
        &self,
        repository: &ImageRepository,
        reference: &str,
        expected: Option<&Digest>,
    ) -> Result<Manifest, ApiError> {
        let url = self.url(&format!("{}/manifests/{reference}", repository.name()));
        let scope = pull_scope(repository);
        let wanted = Wanted {
            what: "the manifest",
            scope: &scope,
            accept: MANIFEST_ACCEPT,
            bytes_max: MANIFEST_BYTES_MAX,
        };
        let answer = self.get(url, wanted).await?;
        let stated = stated_digest(&answer.headers);
        let media_type = answer.media_type();
        let expected = expected.copied().or(stated);
        let digest = match expected {
            Some(expected) => checked(expected, &answer.body)?,
            None => Digest::sha256_of(&answer.body),
        };
        // Where nothing says whose answer it is but what it is called, a page of something in between may pass.
        match expected.is_some() || is_manifest(&media_type) {
            true => Manifest::parse_whole(digest, &media_type, &answer.body),
            false => Manifest::parse(digest, &media_type, &answer.body),
        }
    }

    /// A blob of at most `bytes_max` bytes; other bytes are an error.
    pub(crate) async fn blob(
        &self,
        repository: &ImageRepository,
        digest: &Digest,
        bytes_max: usize,
    ) -> Result<Bytes, ApiError> {
        let url = self.url(&format!("{}/blobs/{digest}", repository.name()));
        let scope = pull_scope(repository);
        let wanted = Wanted { what: "the blob", scope: &scope, accept: "*/*", bytes_max };
        let answer = self.get(url, wanted).await?;
        checked(*digest, &answer.body)?;
        Ok(answer.body)
    }

    /// Which digest a tag points at now. Where the registry does not say it in a header, its bytes do.
    pub(crate) async fn tag_digest(
        &self,
        repository: &ImageRepository,
        tag: &Tag,
    ) -> Result<Digest, ApiError> {
        let url = self.url(&format!("{}/manifests/{tag}", repository.name()));
        let scope = pull_scope(repository);
        let wanted = Wanted { what: "the tag", scope: &scope, accept: MANIFEST_ACCEPT, bytes_max: 0 };
        let permit = self.permit().await;
        let work = async {
            let answer = self.send(Method::HEAD, url, wanted).await?;
            check_status(&answer)?;
            Ok(stated_digest(answer.headers()))
        };
        match self.in_time(work).await? {
            Some(digest) => Ok(digest),
            None => {
                drop(permit);
                self.tagged(repository, tag.as_str()).await.map(|manifest| manifest.digest)
            }
        }
    }

    /// An answer of 200 with its whole body.
    pub(crate) async fn get(&self, url: Url, wanted: Wanted<'_>) -> Result<Answer, ApiError> {
        let _permit = self.permit().await;
        let work = async {
            let answer = self.send(Method::GET, url.clone(), wanted).await?;
            check_status(&answer)?;
            let headers = answer.headers().clone();
            let body = read_body(answer, wanted.what, wanted.bytes_max).await?;
            Ok(Answer { url, headers, body })
        };
        self.in_time(work).await
    }

    /// `/v2/…` of this registry. Names, tags and digests hold no character that a path would have to escape.
    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/v2/{path}", self.base.path().trim_end_matches('/')));
        url
    }

    async fn permit(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.in_flight.acquire().await.ok()
    }

    /// Authorisation, redirects and body together have one deadline.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        let timed_out = ApiError::TimedOut { seconds: self.request_timeout.as_secs() };
        tokio::time::timeout(self.request_timeout, work).await.unwrap_or(Err(timed_out))
    }

    async fn send(&self, method: Method, url: Url, wanted: Wanted<'_>) -> Result<Response, ApiError> {
        let known = self.authority.known(wanted.scope)?;
        let answer = self.send_once(&method, url.clone(), wanted.accept, known.clone()).await?;
        let answer = match answer.status() {
            StatusCode::UNAUTHORIZED => {
                let challenge = chosen(&answer).ok_or(ApiError::UnknownChallenge)?;
                let header = self.authority.answer(challenge, wanted.scope, known.as_ref()).await?;
                self.send_once(&method, url, wanted.accept, Some(header)).await?
            }
            _ => answer,
        };
        self.follow(method, answer, wanted.accept).await
    }

    /// Follows redirects to the registry itself and to configured hosts, without credentials.
    async fn follow(
        &self,
        method: Method,
        mut answer: Response,
        accept: &'static str,
    ) -> Result<Response, ApiError> {
        for _ in 0..REDIRECTS_MAX {
            if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(answer);
            }
            let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let target = location.and_then(|location| answer.url().join(location).ok());
            let target = target.ok_or(ApiError::Unexpected { status: answer.status().as_u16() })?;
            self.check_redirect(&target)?;
            answer = self.send_once(&method, target, accept, None).await?;
        }
        match answer.status().is_redirection() {
            true => Err(ApiError::Unexpected { status: answer.status().as_u16() }),
            false => Ok(answer),
        }
    }

    /// A redirect leads to the registry itself, to its configured hosts, or to any host over HTTPS where a person named
    /// the registry.
    fn check_redirect(&self, target: &Url) -> Result<(), ApiError> {
        let host = target.host_str().unwrap_or_default();
        let named = match target.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let is_configured = target.scheme() == "https" && self.redirect_hosts.contains(&named);
        let is_plain_and_configured =
            target.scheme() == "http" && self.base.scheme() == "http" && self.redirect_hosts.contains(&named);
        let is_led_on = self.may_lead_on && target.scheme() == "https";
        match target.origin() == self.base.origin() || is_configured || is_plain_and_configured || is_led_on {
            true => Ok(()),
            false => Err(ApiError::ForeignHost { host: named, path: target.path().to_owned() }),
        }
    }

    async fn send_once(
        &self,
        method: &Method,
        url: Url,
        accept: &'static str,
        authorization: Option<HeaderValue>,
    ) -> Result<Response, ApiError> {
        let http = self.http.client(&url)?;
        let mut request = http.request(method.clone(), url).header(ACCEPT, accept);
        if let Some(header) = authorization {
            request = request.header(AUTHORIZATION, header);
        }
        request.send().await.map_err(transport)
    }
}

/// The challenge to answer, where the registry makes one that we speak.
fn chosen(answer: &Response) -> Option<Challenge> {
    let asked = answer.headers().get_all(WWW_AUTHENTICATE).iter();
    challenge::choose(asked.filter_map(|value| value.to_str().ok()))
}

/// The scope of a token that may read one repository.
pub(crate) fn pull_scope(repository: &ImageRepository) -> String {
    format!("repository:{}:pull", repository.name())
}

/// Maps every status but 200 to its meaning.
pub(crate) fn check_status(answer: &Response) -> Result<(), ApiError> {
    let status = answer.status();
    let retry_after = || {
        let text = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
        fleet_runtime::retry_after(text, Timestamp::now(), RETRY_AFTER_MAX)
    };
    match status.as_u16() {
        200 => Ok(()),
        404 => Err(ApiError::NotFound),
        401 | 403 => Err(ApiError::Denied { status: status.as_u16() }),
        429 => Err(ApiError::RateLimited { retry_after: retry_after() }),
        500..=599 => Err(ApiError::Failed { status: status.as_u16(), retry_after: retry_after() }),
        status => Err(ApiError::Unexpected { status }),
    }
}

/// Reads a body that may have at most `bytes_max` bytes; it stops at the bound, whatever the header announced.
pub(crate) async fn read_body(
    mut answer: Response,
    what: &'static str,
    bytes_max: usize,
) -> Result<Bytes, ApiError> {
    let too_large = ApiError::TooLarge { what, bytes_max: bytes_max as u64 };
    if answer.content_length().is_some_and(|announced| announced > bytes_max as u64) {
        return Err(too_large);
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(broke_off)? {
        if body.len() + chunk.len() > bytes_max {
            return Err(too_large);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// A request that got no answer.
pub(crate) fn transport(error: reqwest::Error) -> ApiError {
    match error.is_timeout() {
        true => ApiError::Unreachable { reason: "it does not answer in time".to_owned() },
        false => ApiError::Unreachable { reason: fleet_runtime::error_chain(&error.without_url()) },
    }
}

fn broke_off(error: reqwest::Error) -> ApiError {
    ApiError::BrokeOff { reason: fleet_runtime::error_chain(&error.without_url()) }
}

fn stated_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get("docker-content-digest")?.to_str().ok()?.parse().ok()
}

/// Bytes that hash to what was asked for.
pub(crate) fn checked(expected: Digest, bytes: &[u8]) -> Result<Digest, ApiError> {
    match expected.matches(bytes) {
        true => Ok(expected),
        false => {
            let found = match expected {
                Digest::Sha256(_) => Digest::sha256_of(bytes),
                Digest::Sha512(_) => Digest::sha512_of(bytes),
            };
            Err(ApiError::WrongDigest { expected: expected.to_string(), found: found.to_string() })
        }
    }
}
