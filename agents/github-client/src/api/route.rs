//! A path of the API with its query: made from parts, so that text from outside cannot add one.

use std::fmt;

use url::Url;

/// A path and query, relative to the API's address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route(String);

impl Route {
    /// The path of these segments. Each one is percent-encoded, slashes included.
    pub fn new<'a>(segments: impl IntoIterator<Item = &'a str>) -> Route {
        let mut path = String::new();
        for segment in segments {
            path.push('/');
            path.push_str(&encode(segment));
        }
        Route(path)
    }

    /// The path below a repository.
    pub fn repository<'a>(owner: &'a str, name: &'a str, rest: impl IntoIterator<Item = &'a str>) -> Route {
        Route::new(["repos", owner, name].into_iter().chain(rest))
    }

    /// The same route with one more field in its query.
    pub fn with(mut self, name: &str, value: &str) -> Route {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        self.0.push_str(&encode(name));
        self.0.push('=');
        self.0.push_str(&encode(value));
        self
    }

    /// The same route, asking for full pages.
    pub fn in_full_pages(self) -> Route {
        self.with("per_page", &super::PAGE_ENTRIES_MAX.to_string())
    }

    /// Path and query of an address, without its host.
    pub(super) fn of_url(url: &Url) -> Route {
        match url.query() {
            Some(query) => Route(format!("{}?{query}", url.path())),
            None => Route(url.path().to_owned()),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Everything but RFC 3986's unreserved characters is encoded; a segment of dots alone too, because clients collapse it.
fn encode(text: &str) -> String {
    let dots_only = text.bytes().all(|byte| byte == b'.');
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~' | b'.');
        match unreserved && !dots_only {
            true => encoded.push(char::from(byte)),
            false => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn outside_text_cannot_add_segments_or_queries() {
        let route = Route::repository("acme", "api", ["compare", "a/b?c=d...ü"]).in_full_pages();
        assert_eq!(route.as_str(), "/repos/acme/api/compare/a%2Fb%3Fc%3Dd...%C3%BC?per_page=100");
        assert_eq!(Route::new(["repos", "..", "x"]).as_str(), "/repos/%2E%2E/x");
        let route = Route::new(["a"]).with("ref", "refs/heads/x&y=z").with("b", "1");
        assert_eq!(route.as_str(), "/a?ref=refs%2Fheads%2Fx%26y%3Dz&b=1");
    }
}
