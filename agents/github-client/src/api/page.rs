//! Listings that come in pages.

use axum::http::{HeaderMap, header};
use url::Url;

use super::Route;

/// One page and where the next one is.
#[derive(Debug)]
pub struct Page<T> {
    pub value: T,
    pub next: Option<Route>,
}

/// A whole listing, or its beginning.
#[derive(Debug)]
pub struct Listing<T> {
    pub entries: Vec<T>,
    /// The forge has more than was read.
    pub cut: bool,
}

/// The route of `rel="next"` in a Link header (RFC 8288). Its host is dropped: pages are asked of the configured host.
pub(super) fn next_route(headers: &HeaderMap) -> Option<Route> {
    headers
        .get_all(header::LINK)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(next_of_link)
}

fn next_of_link(link: &str) -> Option<Route> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = parameters
        .split(';')
        .map(str::trim)
        .any(|parameter| parameter == "rel=\"next\"" || parameter == "rel=next");
    if !is_next {
        return None;
    }
    // A relative target is resolved against any host, because the host is dropped again.
    let anywhere = Url::parse("https://forge.invalid/").ok()?;
    anywhere.join(target).ok().map(|url| Route::of_url(&url))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn the_next_page_is_found_and_loses_its_host() {
        let check = |link: &str, expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::LINK, link.parse().unwrap());
            assert_eq!(next_route(&headers).as_ref().map(Route::as_str), expected, "{link}");
        };
        check(
            r#"<https://api.github.com/repositories/7/commits?page=2>; rel="next", <https://api.github.com/repositories/7/commits?page=9>; rel="last""#,
            Some("/repositories/7/commits?page=2"),
        );
        check(r#"<https://evil.example/x?page=1>; rel="prev""#, None);
        check(r#"<https://evil.example/x?page=3>; rel="next""#, Some("/x?page=3"));
        check("nonsense", None);
        check("<", None);
    }
}
