//! The `Link` header with which registries page their lists (OCI distribution specification, "Listing Tags").
//!
//! In: header values and the address of the page. Out: the next page. A next page on another origin or under another
//! path is refused: a registry may not send this agent elsewhere.

use reqwest::Url;

use super::error::ApiError;

/// The `rel="next"` target, resolved against the page that named it.
pub(crate) fn next_page<'a>(
    links: impl IntoIterator<Item = &'a str>,
    page: &Url,
) -> Result<Option<Url>, ApiError> {
    let Some(target) = links.into_iter().flat_map(split_links).find_map(next_target) else {
        return Ok(None);
    };
    let unreadable =
        |reason: &str| ApiError::Unreadable { what: "the link to the next page", reason: reason.into() };
    let next = page.join(target).map_err(|_| unreadable("it is not a URL"))?;
    if next.origin() != page.origin() {
        let host = next.host_str().unwrap_or("another host");
        return Err(unreadable(&format!("it leads to {host}")));
    }
    match next.path() == page.path() && next != *page {
        true => Ok(Some(next)),
        false => Err(unreadable("it leads to another list or to itself")),
    }
}

/// Several links may share one header; a comma inside `<…>` belongs to the URL.
fn split_links(header: &str) -> Vec<&str> {
    let (mut parts, mut start, mut inside) = (Vec::new(), 0, false);
    for (index, byte) in header.bytes().enumerate() {
        match byte {
            b'<' => inside = true,
            b'>' => inside = false,
            b',' if !inside => {
                parts.push(&header[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&header[start..]);
    parts
}

fn next_target(link: &str) -> Option<&str> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = parameters.split(';').any(|parameter| {
        let Some((name, value)) = parameter.split_once('=') else { return false };
        name.trim().eq_ignore_ascii_case("rel")
            && value.trim().trim_matches('"').split_whitespace().any(|rel| rel.eq_ignore_ascii_case("next"))
    });
    is_next.then_some(target)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn only_the_next_page_of_the_same_list_is_followed() {
        let page: Url = "https://r.example/v2/a/tags/list?n=2".parse().unwrap();
        let next = |header: &str| next_page([header], &page).map(|url| url.map(|url| url.to_string()));
        let second = Some("https://r.example/v2/a/tags/list?n=2&last=b".to_owned());
        assert_eq!(next("</v2/a/tags/list?n=2&last=b>; rel=\"next\""), Ok(second.clone()));
        assert_eq!(next("<https://r.example/v2/a/tags/list?n=2&last=b>; rel=next"), Ok(second.clone()));
        assert_eq!(next("<x,y>; rel=prev, </v2/a/tags/list?n=2&last=b>; a=b; rel=\"last next\""), Ok(second));
        assert_eq!(next("</v2/a/tags/list?n=2&last=b>; rel=\"prev\""), Ok(None));
        assert_eq!(next("nonsense"), Ok(None));
        assert!(next("<https://evil.example/v2/a/tags/list?last=b>; rel=next").is_err());
        assert!(next("<http://r.example/v2/a/tags/list?last=b>; rel=next").is_err());
        assert!(next("</v2/b/tags/list?last=b>; rel=next").is_err());
        assert!(next("</v2/a/tags/list?n=2>; rel=next").is_err(), "a page that names itself");
    }
}
