//! The HTTP clients of one registry.
//!
//! In: its settings, and the URL of a request. Out: the client that may send it. Loading the system's certificates takes
//! longer than a whole look at a registry on this machine, so where plain HTTP does not leave it, they are loaded when
//! something leads to TLS for the first time.

use std::sync::OnceLock;

use reqwest::{Certificate, Client, ClientBuilder, Url};

use super::client::{ClientError, transport};
use super::error::ApiError;
use crate::settings::{Registry, is_loopback};

/// Clients that are alike but for the certificates that they know.
#[derive(Debug)]
pub(crate) struct Http {
    registry: Registry,
    /// It knows no certificate, so it speaks TLS with nobody. `None` where the registry is not on this machine.
    plain: Option<Client>,
    with_tls: OnceLock<Client>,
}

impl Http {
    pub(crate) fn new(registry: &Registry) -> Result<Http, ClientError> {
        let made = |client: reqwest::Result<Client>| {
            client.map_err(|source| ClientError { host: registry.host.clone(), source })
        };
        let stays_here = registry.url.scheme() == "http" && is_loopback(&registry.url);
        let none: [Certificate; 0] = [];
        let plain = stays_here.then(|| made(builder(registry).tls_certs_only(none).build())).transpose()?;
        let with_tls = match plain {
            Some(_) => OnceLock::new(),
            None => OnceLock::from(made(with_tls(registry))?),
        };
        Ok(Http { registry: registry.clone(), plain, with_tls })
    }

    /// The client for a request to this URL.
    pub(crate) fn client(&self, url: &Url) -> Result<&Client, ApiError> {
        if let Some(plain) = self.plain.as_ref().filter(|_| url.scheme() == "http") {
            return Ok(plain);
        }
        if let Some(client) = self.with_tls.get() {
            return Ok(client);
        }
        let client = with_tls(&self.registry).map_err(transport)?;
        Ok(self.with_tls.get_or_init(|| client))
    }
}

fn with_tls(registry: &Registry) -> reqwest::Result<Client> {
    let builder = builder(registry);
    match registry.certificates.is_empty() {
        true => builder.build(),
        false => builder.tls_certs_merge(registry.certificates.iter().cloned()).build(),
    }
}

fn builder(registry: &Registry) -> ClientBuilder {
    let builder = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(registry.connect_timeout)
        .timeout(registry.request_timeout)
        .pool_max_idle_per_host(registry.requests_in_flight_max)
        .user_agent(concat!("custody-registry-agent/", env!("CARGO_PKG_VERSION")));
    match is_loopback(&registry.url) {
        true => builder.no_proxy(),
        false => builder,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use crate::settings::Settings;

    fn of(host: &str) -> Http {
        Http::new(&Settings::of_named_host(host, None).unwrap().registries[0]).unwrap()
    }

    #[test]
    fn certificates_are_loaded_for_tls_and_only_once() {
        let (plain, tls) =
            ("http://127.0.0.1:5000/v2/".parse().unwrap(), "https://auth.example/".parse().unwrap());
        let here = of("127.0.0.1:5000");
        here.client(&plain).unwrap();
        assert!(here.with_tls.get().is_none());
        let first: *const Client = here.client(&tls).unwrap();
        assert!(std::ptr::eq(first, here.client(&tls).unwrap()));
        assert!(!std::ptr::eq(first, here.client(&plain).unwrap()));
        let elsewhere = of("registry.example");
        assert!(elsewhere.plain.is_none() && elsewhere.with_tls.get().is_some());
    }
}
