//! The stand-in over HTTP: pages, ETags, rate-limit headers, the token, and the faults that the test has asked for.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::answer::{Found, PageAsked, find};
use super::model::{Fault, Model};
use super::{Shared, lock, openapi};

const PER_PAGE: usize = 30;
const PER_PAGE_MAX: usize = 100;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(answer).with_state(shared)
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let target = parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    // Enterprise servers have their API below this path.
    let target = target.strip_prefix("/api/v3").map_or(target.clone(), str::to_owned);
    lock(&shared.requests).push(target.clone());
    let fault = lock(&shared.model).take_fault(&target);
    match fault {
        Some(Fault::Status { status, headers, body }) => faulty(status, &headers, body),
        Some(Fault::Silence(pause)) => {
            tokio::time::sleep(pause).await;
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        Some(Fault::HalfBody) => half(right(&shared, &parts.method, &target, &parts.headers)).await,
        None => right(&shared, &parts.method, &target, &parts.headers),
    }
}

fn right(shared: &Shared, method: &Method, target: &str, headers: &HeaderMap) -> Response {
    if let Some(token) = app_token(shared, method, target, headers) {
        return token;
    }
    if method != Method::GET {
        shared.note(vec![format!("{method} {target}: the stand-in is read only")]);
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let mut model = lock(&shared.model);
    if !is_allowed(&model, headers) {
        return message(StatusCode::UNAUTHORIZED, "Bad credentials");
    }
    let (path, query) = split(target);
    let asked = page_asked(&query);
    let found = find(&model, &path, &query, asked);
    model.rate_limit_left = model.rate_limit_left.saturating_sub(1);
    let (template, body, link) = match found {
        Found::Nothing => return message(StatusCode::NOT_FOUND, "Not Found"),
        Found::NoCommit => return message(StatusCode::UNPROCESSABLE_ENTITY, "No commit found for SHA"),
        Found::One(template, body) => (template, body, None),
        Found::Many(template, key, entries) => {
            let link = next_link(&model, target, asked, entries.len());
            (template, page(key, entries, asked), link)
        }
    };
    shared.note(openapi::check_answer(template, &body));
    let etag = format!("\"{}\"", hex::encode(&Sha256::digest(body.to_string())[..8]));
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, limit_headers(&model)).into_response();
    }
    let mut response = (limit_headers(&model), axum::Json(body)).into_response();
    if let Ok(value) = etag.parse() {
        response.headers_mut().insert(header::ETAG, value);
    }
    if let Some(value) = link.and_then(|link| link.parse().ok()) {
        response.headers_mut().insert(header::LINK, value);
    }
    response
}

/// `POST /app/installations/{installation_id}/access_tokens`, with the app's signed claims (which are not checked).
fn app_token(shared: &Shared, method: &Method, target: &str, headers: &HeaderMap) -> Option<Response> {
    let model = lock(&shared.model);
    let installation = model.installation?;
    if method != Method::POST || target != format!("/app/installations/{installation}/access_tokens") {
        return None;
    }
    let claims = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if claims.is_none_or(|claims| !claims.starts_with("Bearer ") || claims.matches('.').count() != 2) {
        return Some(message(StatusCode::UNAUTHORIZED, "A JSON web token could not be decoded"));
    }
    let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let body = json!({
        "token": model.token, "expires_at": super::shape::time(expires), "permissions": { "contents": "read" },
        "repository_selection": "all",
    });
    Some((StatusCode::CREATED, axum::Json(body)).into_response())
}

fn is_allowed(model: &Model, headers: &HeaderMap) -> bool {
    let Some(token) = &model.token else { return true };
    let stated = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    stated.is_some_and(|stated| stated == format!("Bearer {token}") || stated == format!("token {token}"))
}

fn limit_headers(model: &Model) -> HeaderMap {
    let fields = [
        ("x-ratelimit-limit", "5000".to_owned()),
        ("x-ratelimit-remaining", model.rate_limit_left.to_string()),
        ("x-ratelimit-reset", (jiff::Timestamp::now().as_second() + 3600).to_string()),
        ("x-ratelimit-resource", "core".to_owned()),
    ];
    fields.iter().filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?))).collect()
}

fn page(key: Option<&str>, entries: Vec<Value>, asked: PageAsked) -> Value {
    let total = entries.len();
    let page: Vec<Value> =
        entries.into_iter().skip(asked.per_page * (asked.page - 1)).take(asked.per_page).collect();
    match key {
        None => Value::Array(page),
        Some("attestations") => json!({ "attestations": page }),
        Some(key) => json!({ "total_count": total, key: page }),
    }
}

fn next_link(model: &Model, target: &str, asked: PageAsked, total: usize) -> Option<String> {
    if asked.per_page * asked.page >= total {
        return None;
    }
    let kept = target.split('&').filter(|field| !field.starts_with("page=")).collect::<Vec<_>>().join("&");
    let joint = if kept.contains('?') { '&' } else { '?' };
    Some(format!("<{}{kept}{joint}page={}>; rel=\"next\"", model.api, asked.page + 1))
}

fn page_asked(query: &[(String, String)]) -> PageAsked {
    let number = |name: &str| {
        let value = query.iter().find(|(field, _)| field == name).map(|(_, value)| value)?;
        value.parse::<usize>().ok().filter(|number| *number > 0)
    };
    PageAsked {
        per_page: number("per_page").unwrap_or(PER_PAGE).min(PER_PAGE_MAX),
        page: number("page").unwrap_or(1),
    }
}

/// The path's segments and the query's fields, decoded.
fn split(target: &str) -> (Vec<String>, Vec<(String, String)>) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let segments = path.split('/').filter(|segment| !segment.is_empty()).map(decode).collect();
    let field = |text: &str| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (decode(name), decode(value))
    };
    (segments, query.split('&').filter(|text| !text.is_empty()).map(field).collect())
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex_digits =
            after.get(..2).filter(|_| *first == b'%').and_then(|two| std::str::from_utf8(two).ok());
        match hex_digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn message(status: StatusCode, text: &str) -> Response {
    let body = json!({ "message": text, "documentation_url": "https://docs.github.com/rest" });
    (status, axum::Json(body)).into_response()
}

fn faulty(status: u16, headers: &[(String, String)], body: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, body).into_response();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (name.parse::<header::HeaderName>(), value.parse()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The first half of an answer, and then the end of the connection.
async fn half(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let whole = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let first = whole.slice(..whole.len() / 2);
    parts.headers.remove(header::CONTENT_LENGTH);
    let broken = futures::stream::unfold(Some(first), |state| async move {
        match state {
            Some(first) => Some((Ok(first), None)),
            None => {
                // The half must be on its way before the connection breaks.
                tokio::time::sleep(Duration::from_millis(20)).await;
                Some((Err::<Bytes, _>(std::io::Error::other("the connection broke")), None))
            }
        }
    });
    Response::from_parts(parts, Body::from_stream(broken))
}
