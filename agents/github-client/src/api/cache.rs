//! Answers kept with their ETag, so that asking again costs nothing of the rate limit (a 304 is free). One per client and
//! credential, bounded in bytes; every use is confirmed by the forge.

use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;
use moka::sync::Cache;

use super::Route;

/// The bytes that all kept answers may take.
const CACHE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The largest answer that is kept.
const CACHED_BYTES_MAX: usize = 1024 * 1024;

#[derive(Debug, Clone)]
pub(super) struct Cached {
    pub(super) etag: HeaderValue,
    pub(super) body: Bytes,
    pub(super) next: Option<Route>,
}

pub(super) struct AnswerCache {
    answers: Cache<Route, Cached>,
}

impl AnswerCache {
    pub(super) fn new() -> AnswerCache {
        let answers = Cache::builder()
            .max_capacity(CACHE_BYTES_MAX)
            .weigher(|route: &Route, cached: &Cached| {
                let bytes = route.as_str().len() + cached.body.len() + 256;
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .build();
        AnswerCache { answers }
    }

    pub(super) fn get(&self, route: &Route) -> Option<Cached> {
        self.answers.get(route)
    }

    pub(super) fn put(&self, route: &Route, headers: &HeaderMap, body: &Bytes, next: Option<&Route>) {
        match headers.get(header::ETAG) {
            Some(etag) if body.len() <= CACHED_BYTES_MAX => {
                let cached = Cached { etag: etag.clone(), body: body.clone(), next: next.cloned() };
                self.answers.insert(route.clone(), cached);
            }
            _ => self.answers.invalidate(route),
        }
    }
}
