//! What every request must be before it is looked at.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::answer::Refused;
use super::{Api, CHANGE_HEADER};

/// Refuses requests under other names (a page that rebinds its name to this machine), and changes that a page of another
/// site could send. Bounds how many requests are worked on.
pub(super) async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    let instance = api.instance.clone();
    let mut response = match check(&api, request.method(), request.headers(), request.uri()) {
        Ok(()) => match api.places.try_acquire() {
            Ok(_place) => next.run(request).await,
            Err(_) => {
                let message = "too many requests are being answered";
                Refused::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message).into_response()
            }
        },
        Err(refused) => refused.into_response(),
    };
    let headers = response.headers_mut();
    instance.sign(headers);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
    response
}

fn check(api: &Api, method: &Method, headers: &HeaderMap, uri: &Uri) -> Result<(), Refused> {
    let named = uri.authority().map(|authority| authority.as_str());
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).or(named);
    if !host.is_some_and(|host| is_ours(host, &api.hosts)) {
        let message =
            "the Host header names none of this machine's; list it under api.hosts if that is meant";
        return Err(Refused::new(StatusCode::MISDIRECTED_REQUEST, "host", message));
    }
    if method == Method::GET || method == Method::HEAD {
        return Ok(());
    }
    let forbidden = |message: &str| Err(Refused::new(StatusCode::FORBIDDEN, "cross_site", message));
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or_default();
        let host = origin.split_once("://").map(|(_, host)| host);
        if !host.is_some_and(|host| is_ours(host, &api.hosts)) {
            return forbidden("the Origin is another site");
        }
    }
    match headers.contains_key(CHANGE_HEADER) {
        true => Ok(()),
        false => forbidden("a change needs the header X-Custody"),
    }
}

/// Whether a host with or without a port is loopback or one of the settings.
fn is_ours(host: &str, hosts: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if is_port(port) => address,
            _ => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) if is_port(&format!(":{port}")) => name,
            Some(_) => return false,
            None => host,
        },
    };
    let name = name.to_ascii_lowercase();
    let is_loopback = name == "localhost"
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    is_loopback || hosts.contains(&name)
}

fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_answered() {
        let hosts = vec!["custody.acme.example".to_owned()];
        for ours in [
            "localhost",
            "LOCALHOST:9465",
            "127.0.0.1:9465",
            "127.0.0.2",
            "[::1]:9465",
            "[::1]",
            "custody.acme.example",
            "Custody.Acme.Example:443",
        ] {
            assert!(is_ours(ours, &hosts), "{ours}");
        }
        for other in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:9465",
            "10.0.0.1:9465",
            "localhost:port",
            "[::1",
            "[::1]x",
            "localhost@evil.example",
        ] {
            assert!(!is_ours(other, &hosts), "{other}");
        }
    }
}
