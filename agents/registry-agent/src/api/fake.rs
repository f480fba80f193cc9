//! A registry in this process that can be told to misbehave. It is no model of a good registry: the tests over real
//! servers are elsewhere.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus_schema::{Digest, ImageRepository};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::media_type::{OCI_INDEX, OCI_MANIFEST};

pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    Status(u16),
    RetryAfter(u16, &'static str),
    /// The header announces more than comes.
    HalfBody,
    Hang,
    /// More bytes than any answer may have.
    Oversize,
    /// Bytes that do not hash to what was asked for.
    Other(&'static str),
    /// The same, called what is said first.
    Called(&'static str, &'static str),
    Redirect(String),
    /// A challenge for a token from this realm.
    Challenge(String),
}

#[derive(Debug, Default)]
pub(crate) struct Content {
    manifests: BTreeMap<String, (String, Bytes)>,
    blobs: BTreeMap<String, Bytes>,
    tags: BTreeMap<String, Digest>,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    repositories: BTreeMap<String, Content>,
    pub(crate) native_referrers: bool,
    /// `sha256-<hex>` is another way to write a digest, as it is to one public registry.
    pub(crate) takes_dashes: bool,
    /// Entries per page of every list.
    pub(crate) page: Option<usize>,
    /// What is listed as attached, whatever is.
    pub(crate) also_listed: Vec<Digest>,
    /// The first of these whose text is in `METHOD path` happens.
    pub(crate) faults: Vec<(String, Fault)>,
    pub(crate) basic: Option<(String, String)>,
    /// Tokens are asked for at `/token`.
    pub(crate) token: Option<String>,
    /// `METHOD path?query authorization`.
    pub(crate) requests: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) host: String,
    inner: Arc<Mutex<Inner>>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Fake {
    pub(crate) async fn start() -> Fake {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let inner = Arc::new(Mutex::new(Inner::default()));
        let router = Router::new().fallback(answer).with_state(inner.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Fake { host, inner, server }
    }

    pub(crate) fn set(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub(crate) fn fault(&self, at: &str, fault: Fault) {
        self.set().faults.insert(0, (at.to_owned(), fault));
    }

    pub(crate) fn repository(&self, name: &str) -> ImageRepository {
        ImageRepository::new(&self.host, name).unwrap()
    }

    pub(crate) fn blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256_of(bytes);
        let mut inner = self.set();
        let content = inner.repositories.entry(repository.to_owned()).or_default();
        content.blobs.insert(digest.to_string(), Bytes::copy_from_slice(bytes));
        digest
    }

    /// Stores a manifest; `tag` points at it.
    pub(crate) fn manifest(
        &self,
        repository: &str,
        tag: Option<&str>,
        media_type: &str,
        json: &Value,
    ) -> Digest {
        self.bytes(repository, tag, media_type, json.to_string())
    }

    /// Stores what is called a manifest, whatever it is; `tag` points at it.
    pub(crate) fn bytes(
        &self,
        repository: &str,
        tag: Option<&str>,
        media_type: &str,
        text: String,
    ) -> Digest {
        let bytes = Bytes::from(text);
        let digest = Digest::sha256_of(&bytes);
        let mut inner = self.set();
        let content = inner.repositories.entry(repository.to_owned()).or_default();
        content.manifests.insert(digest.to_string(), (media_type.to_owned(), bytes));
        if let Some(tag) = tag {
            content.tags.insert(tag.to_owned(), digest);
        }
        digest
    }

    pub(crate) fn untag(&self, repository: &str, tag: &str) {
        self.set().repositories.get_mut(repository).unwrap().tags.remove(tag);
    }

    pub(crate) fn remove(&self, repository: &str) {
        self.set().repositories.remove(repository);
    }

    /// An image of one layer that holds `seed`.
    pub(crate) fn image(&self, repository: &str, tag: Option<&str>, seed: &str) -> Digest {
        let config = Digest::sha256_of(format!("config {seed}").as_bytes());
        let layer = Digest::sha256_of(seed.as_bytes());
        self.manifest(
            repository,
            tag,
            OCI_MANIFEST,
            &json!({
                "schemaVersion": 2, "mediaType": OCI_MANIFEST,
                "config": {"mediaType": CONFIG, "digest": config, "size": 2},
                "layers": [{"mediaType": LAYER, "digest": layer, "size": 2}],
            }),
        )
    }

    /// An index of linux images and one attestation of BuildKit's kind.
    pub(crate) fn index(&self, repository: &str, tag: Option<&str>, listed: &[(&str, Digest)]) -> Digest {
        let entries: Vec<Value> = listed
            .iter()
            .map(|(architecture, digest)| {
                let os = if *architecture == "unknown" { "unknown" } else { "linux" };
                json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": 2,
                       "platform": {"os": os, "architecture": architecture}})
            })
            .collect();
        let json = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
        self.manifest(repository, tag, OCI_INDEX, &json)
    }

    /// A manifest that is attached to `subject` and holds `bytes` as a bundle.
    pub(crate) fn attach(&self, repository: &str, subject: Digest, bytes: &[u8]) -> Digest {
        let blob = self.blob(repository, bytes);
        self.manifest(repository, None, OCI_MANIFEST, &json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": BUNDLE,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::sha256_of(b"{}"), "size": 2},
            "layers": [{"mediaType": BUNDLE, "digest": blob, "size": bytes.len()}],
            "subject": {"mediaType": OCI_MANIFEST, "digest": subject, "size": 2},
        }))
    }

    /// The fallback list of a subject.
    pub(crate) fn fallback(&self, repository: &str, subject: Digest, listed: &[Digest]) -> Digest {
        let entries: Vec<Value> = listed
            .iter()
            .map(|digest| json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": 2, "artifactType": BUNDLE}))
            .collect();
        let json = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
        self.manifest(repository, Some(&subject.fallback_tag()), OCI_INDEX, &json)
    }

    /// cosign's older form: a tag beside the image with annotated layers.
    pub(crate) fn cosign(
        &self,
        repository: &str,
        subject: Digest,
        suffix: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Digest {
        let blob = self.blob(repository, bytes);
        let tag = format!("{}.{suffix}", subject.fallback_tag());
        self.manifest(
            repository,
            Some(&tag),
            OCI_MANIFEST,
            &json!({
                "schemaVersion": 2, "mediaType": OCI_MANIFEST,
                "config": {"mediaType": CONFIG, "digest": Digest::sha256_of(b"c"), "size": 2},
                "layers": [{"mediaType": media_type, "digest": blob, "size": bytes.len(),
                            "annotations": {"dev.cosignproject.cosign/signature": "MEUCIQ=="}}],
            }),
        )
    }
}

async fn answer(State(inner): State<Arc<Mutex<Inner>>>, request: Request) -> Response {
    let (method, uri, headers) = (request.method().clone(), request.uri().clone(), request.headers().clone());
    let fault = {
        let mut inner = inner.lock().unwrap();
        let authorization = headers.get(header::AUTHORIZATION).map_or("-", |value| value.to_str().unwrap());
        let line = format!("{method} {uri}");
        inner.requests.push(format!("{line} {authorization}"));
        inner.faults.iter().find(|(at, _)| line.contains(at.as_str())).map(|(_, fault)| fault.clone())
    };
    match fault {
        None => inner.lock().unwrap().serve(&method, &uri, &headers),
        Some(fault) => misbehave(fault).await,
    }
}

async fn misbehave(fault: Fault) -> Response {
    let status = |code: u16| StatusCode::from_u16(code).unwrap();
    match fault {
        Fault::Status(code) => status(code).into_response(),
        Fault::RetryAfter(code, text) => (status(code), [(header::RETRY_AFTER, text)]).into_response(),
        Fault::HalfBody => {
            let chunks = vec![Ok(Bytes::from_static(b"{\"manifests\":[")), Err(std::io::Error::other("cut"))];
            let body = Body::from_stream(futures::stream::iter(chunks));
            ([(header::CONTENT_LENGTH, "1000")], body).into_response()
        }
        Fault::Hang => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            StatusCode::OK.into_response()
        }
        Fault::Oversize => {
            let chunk = Bytes::from(vec![b' '; 1024 * 1024]);
            let endless = futures::stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone()));
            Body::from_stream(endless).into_response()
        }
        Fault::Other(text) => text.into_response(),
        Fault::Called(media_type, text) => ([(header::CONTENT_TYPE, media_type)], text).into_response(),
        Fault::Redirect(to) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response(),
        Fault::Challenge(realm) => {
            let challenge =
                format!("Bearer realm=\"{realm}\",service=\"fake\",scope=\"repository:x:pull,push\"");
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response()
        }
    }
}

impl Inner {
    fn serve(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
        let given = headers.get(header::AUTHORIZATION).map_or("", |value| value.to_str().unwrap());
        let basic = self
            .basic
            .as_ref()
            .map(|(user, password)| format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
        if uri.path() == "/token" {
            let is_allowed = basic.is_none_or(|basic| basic == given);
            return match (&self.token, is_allowed) {
                (Some(token), true) => axum::Json(json!({"token": token, "expires_in": 300})).into_response(),
                _ => StatusCode::UNAUTHORIZED.into_response(),
            };
        }
        if let Some(token) = &self.token {
            if given != format!("Bearer {token}") {
                let host = headers.get(header::HOST).unwrap().to_str().unwrap();
                let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"fake\"");
                return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response();
            }
        } else if basic.is_some_and(|basic| basic != given) {
            return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"fake\"")])
                .into_response();
        }
        let path = uri.path().strip_prefix("/v2/").unwrap_or_default();
        if path.is_empty() {
            return "{}".into_response();
        }
        if path == "_catalog" {
            return self.list(uri, "repositories", self.repositories.keys().cloned().collect());
        }
        let parts: Vec<&str> = path.split('/').collect();
        let Some(verb_at) =
            parts.iter().rposition(|part| matches!(*part, "manifests" | "blobs" | "referrers" | "tags"))
        else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let (name, last) = (parts[..verb_at].join("/"), parts[verb_at + 1]);
        let Some(content) = self.repositories.get(&name) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        match parts[verb_at] {
            "tags" => self.list(uri, "tags", content.tags.keys().cloned().collect()),
            "referrers" if self.native_referrers => self.referrers(uri, content, last),
            "blobs" => content
                .blobs
                .get(last)
                .map_or(StatusCode::NOT_FOUND.into_response(), |b| b.clone().into_response()),
            "manifests" => {
                let as_digest = last.replacen("sha256-", "sha256:", 1);
                let is_digest = self.takes_dashes && content.manifests.contains_key(&as_digest);
                let named = if is_digest { as_digest } else { last.to_owned() };
                let digest = content.tags.get(last).map_or(named, Digest::to_string);
                match content.manifests.get(&digest) {
                    None => StatusCode::NOT_FOUND.into_response(),
                    Some((media_type, bytes)) => {
                        let headers =
                            [("content-type", media_type.clone()), ("docker-content-digest", digest.clone())];
                        let body = if *method == Method::HEAD { Bytes::new() } else { bytes.clone() };
                        (headers, body).into_response()
                    }
                }
            }
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    }

    fn referrers(&self, uri: &Uri, content: &Content, subject: &str) -> Response {
        let is_attached = |bytes: &Bytes| {
            serde_json::from_slice::<Value>(bytes).is_ok_and(|json| json["subject"]["digest"] == subject)
        };
        let attached = content.manifests.iter().filter(|(_, (_, bytes))| is_attached(bytes));
        let mut digests: Vec<String> = attached.map(|(digest, _)| digest.clone()).collect();
        digests.extend(self.also_listed.iter().map(Digest::to_string));
        let (digests, next) = self.page(uri, digests);
        // The config's media type stands where the artifact's should: a real server does that.
        let entries: Vec<Value> = digests
            .iter()
            .map(|digest| {
                json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": 2,
                                 "artifactType": "application/vnd.oci.empty.v1+json"})
            })
            .collect();
        let json = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
        (next, [(header::CONTENT_TYPE, OCI_INDEX)], json.to_string()).into_response()
    }

    fn list(&self, uri: &Uri, key: &str, entries: Vec<String>) -> Response {
        let (entries, next) = self.page(uri, entries);
        (next, axum::Json(json!({ key: entries }))).into_response()
    }

    fn page(&self, uri: &Uri, entries: Vec<String>) -> (Vec<String>, HeaderMap) {
        let mut headers = HeaderMap::new();
        let Some(page) = self.page else { return (entries, headers) };
        let from = uri.query().and_then(|query| query.split('&').find_map(|part| part.strip_prefix("from=")));
        let from: usize = from.map_or(0, |text| text.parse().unwrap());
        let to = (from + page).min(entries.len());
        if to < entries.len() {
            let next = format!("<{}?from={to}>; rel=\"next\"", uri.path());
            headers.insert(header::LINK, next.parse().unwrap());
        }
        (entries[from..to].to_vec(), headers)
    }
}
