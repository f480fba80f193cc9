//! What a registry asks for when it answers 401 (RFC 9110, "WWW-Authenticate"; distribution's "Token Authentication").
//!
//! In: header values. Out: the strongest challenge that this agent speaks. Nothing is decided about where a
//! credential may go: that is the token's business.

/// The longest header that is read, in bytes.
const HEADER_BYTES_MAX: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// Get a token from this realm.
    Bearer {
        realm: String,
        service: Option<String>,
    },
    Basic,
}

/// The challenge to answer: a token where one is offered.
pub(crate) fn choose<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<Challenge> {
    let mut basic = false;
    for header in headers.into_iter().filter(|header| header.len() <= HEADER_BYTES_MAX) {
        for (scheme, parameters) in challenges(header) {
            let value = |wanted: &str| {
                let mut of_name = parameters.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
                of_name.next().map(|(_, value)| value.clone())
            };
            match scheme.to_ascii_lowercase().as_str() {
                "bearer" => {
                    if let Some(realm) = value("realm") {
                        return Some(Challenge::Bearer { realm, service: value("service") });
                    }
                }
                "basic" => basic = true,
                _ => {}
            }
        }
    }
    basic.then_some(Challenge::Basic)
}

type Parameters = Vec<(String, String)>;

/// Splits `Scheme a="b", c=d, Scheme2 …`. What does not fit is passed over.
fn challenges(header: &str) -> Vec<(String, Parameters)> {
    let mut found: Vec<(String, Parameters)> = Vec::new();
    for item in split_outside_quotes(header) {
        let item = item.trim();
        let (before, value) = match item.split_once('=') {
            Some((before, value)) => (before.trim(), Some(unquote(value.trim()))),
            None => (item, None),
        };
        let mut words = before.split_whitespace();
        match (words.next(), words.next(), value) {
            (Some(scheme), Some(name), Some(value)) => {
                found.push((scheme.to_owned(), vec![(name.to_owned(), value)]));
            }
            (Some(scheme), None, None) => found.push((scheme.to_owned(), Vec::new())),
            (Some(name), None, Some(value)) => {
                if let Some((_, parameters)) = found.last_mut() {
                    parameters.push((name.to_owned(), value));
                }
            }
            _ => {}
        }
    }
    found
}

fn split_outside_quotes(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unquote(value: &str) -> String {
    let Some(inside) = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) else {
        return value.to_owned();
    };
    let (mut text, mut escaped) = (String::with_capacity(inside.len()), false);
    for c in inside.chars() {
        escaped = c == '\\' && !escaped;
        if !escaped {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_challenge_is_chosen_wherever_it_stands() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
        };
        let full = r#"Bearer realm="https://auth.example/token",service="r.example",scope="repository:a/b:pull,push""#;
        assert_eq!(choose([full]), bearer("https://auth.example/token", Some("r.example")));
        assert_eq!(
            choose(["Basic realm=\"x\"", full]),
            bearer("https://auth.example/token", Some("r.example"))
        );
        assert_eq!(choose([r#"Basic realm="a, b", Bearer realm="https://t""#]), bearer("https://t", None));
        assert_eq!(choose(["basic realm=\"Registry Realm\""]), Some(Challenge::Basic));
        assert_eq!(choose(["Basic"]), Some(Challenge::Basic));
        assert_eq!(choose(["Negotiate", "", ",,=", "Bearer", "Bearer x=\"y\""]), None);
    }
}
