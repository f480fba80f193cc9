//! One forge in the settings: where it is, what is watched there, with which credential and which webhook secrets.
//!
//! In: a table of the configuration. Out: a checked forge, or every problem with its key. Secrets print as `***`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use bus_schema::ForgeHost;
use fleet_runtime::settings::{DurationText, Problems, Secret};
use serde::Deserialize;
use url::Url;

use crate::api::{ApiConfig, AppCredential, Credential};
use crate::scope::{ForgeScope, Watched};
use crate::webhook::{WEBHOOK_SECRET_BYTES_MIN, WEBHOOK_SECRETS_MAX, WebhookSecret};

/// The most owners and repositories in one list.
const WATCHED_MAX: usize = 256;
const RESPONSE_BYTES: usize = 16 * 1024 * 1024;
const RESPONSE_BYTES_MAX: usize = 64 * 1024 * 1024;
const IN_FLIGHT: usize = 8;
const IN_FLIGHT_MAX: usize = 64;
const BUDGET_RESERVE_REQUESTS: u64 = 200;
const REQUEST_TIMEOUT_SECONDS_MAX: u64 = 120;

/// One forge, as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawForge {
    /// The forge's host as repositories name it: `github.com` (the default) or the host of a GitHub Enterprise server.
    pub host: Option<String>,
    /// Where its REST API is: `https://api.github.com` for github.com, else `https://<host>/api/v3`. Plain http is accepted on
    /// loopback only.
    pub api_url: Option<String>,
    /// What is watched: owners (`acme`) and single repositories (`acme/api`). At least one.
    pub watch: Vec<String>,
    /// A token that may read contents, pull requests, actions, attestations and metadata of what is watched.
    pub token: Option<Secret>,
    pub token_file: Option<PathBuf>,
    /// A GitHub App instead of a token.
    pub app: Option<RawApp>,
    /// Webhook secrets, each bound to what it may speak for.
    pub webhooks: Vec<RawWebhook>,
    /// The longest that one look-up may take, `15s` by default.
    pub request_timeout: Option<DurationText>,
    /// The largest answer that is read, 16 MiB by default.
    pub response_bytes_max: Option<usize>,
    /// Look-ups on the way at once, 8 by default.
    pub in_flight_max: Option<usize>,
    /// Requests of the rate limit that are left to others with the same credential, 200 by default.
    pub budget_reserve_requests: Option<u64>,
}

/// An installation of a GitHub App, as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawApp {
    pub id: Option<u64>,
    pub installation: Option<u64>,
    /// The private key in PEM.
    pub private_key: Option<Secret>,
    pub private_key_file: Option<PathBuf>,
}

/// A webhook's secret, as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawWebhook {
    /// The secret that was given to GitHub: at least 16 bytes, random.
    pub secret: Option<Secret>,
    pub secret_file: Option<PathBuf>,
    /// The owners or repositories that it may speak for; all that is watched when it is left out.
    pub from: Vec<String>,
}

/// One forge, checked.
#[derive(Debug, Clone)]
pub struct Forge {
    pub scope: ForgeScope,
    pub api: ApiConfig,
    pub webhooks: Vec<WebhookSecret>,
}

impl RawForge {
    /// Checks everything, and notes all that is wrong.
    pub fn check(self, problems: &mut Problems) -> Option<Forge> {
        let host: Option<ForgeHost> = problems.parsed("host", self.host.as_deref().unwrap_or("github.com"));
        let watched = watched("watch", &self.watch, problems);
        if self.watch.is_empty() {
            problems.at("watch", "is missing: name at least one owner or owner/repository");
        }
        let credential = credential(self.app, self.token, self.token_file, problems);
        let timeout = self.request_timeout.unwrap_or(DurationText::seconds(15)).get();
        if timeout.is_zero() || timeout > Duration::from_secs(REQUEST_TIMEOUT_SECONDS_MAX) {
            problems.at("request_timeout", format!("is not between 1ms and {REQUEST_TIMEOUT_SECONDS_MAX}s"));
        }
        let response_bytes_max = self.response_bytes_max.unwrap_or(RESPONSE_BYTES);
        in_range("response_bytes_max", response_bytes_max, 4096, RESPONSE_BYTES_MAX, problems);
        let in_flight_max = self.in_flight_max.unwrap_or(IN_FLIGHT);
        in_range("in_flight_max", in_flight_max, 1, IN_FLIGHT_MAX, problems);
        if self.webhooks.len() > WEBHOOK_SECRETS_MAX {
            problems.at("webhooks", format!("are more than {WEBHOOK_SECRETS_MAX}"));
        }
        let host = host?;
        let base = base(&host, self.api_url.as_deref(), problems);
        let scope = ForgeScope { host: host.clone(), watched };
        let webhooks =
            problems.each("webhooks", self.webhooks, |webhook, problems| webhook.check(&scope, problems));
        let api = ApiConfig {
            host,
            base: base?,
            credential: credential?,
            request_timeout: timeout,
            response_bytes_max,
            in_flight_max,
            budget_reserve_requests: self.budget_reserve_requests.unwrap_or(BUDGET_RESERVE_REQUESTS),
        };
        Some(Forge { scope, api, webhooks })
    }
}

impl RawWebhook {
    fn check(self, forge: &ForgeScope, problems: &mut Problems) -> Option<WebhookSecret> {
        let secret = problems.required_secret("secret", self.secret, self.secret_file);
        if secret.as_ref().is_some_and(|secret| secret.expose().len() < WEBHOOK_SECRET_BYTES_MIN) {
            problems.at("secret", format!("is shorter than {WEBHOOK_SECRET_BYTES_MIN} bytes"));
        }
        let watched = match self.from.is_empty() {
            true => forge.watched.clone(),
            false => watched("from", &self.from, problems),
        };
        let scope = ForgeScope { host: forge.host.clone(), watched };
        if !forge.holds_all(&scope) {
            problems.at("from", "names something that `watch` does not");
        }
        Some(WebhookSecret { secret: secret?, scope })
    }
}

fn watched(key: &str, texts: &[String], problems: &mut Problems) -> Vec<Watched> {
    if texts.len() > WATCHED_MAX {
        problems.at(key, format!("has more than {WATCHED_MAX} entries"));
    }
    problems.each(key, texts.iter().take(WATCHED_MAX), |text, problems| problems.parsed("", text))
}

fn credential(
    app: Option<RawApp>,
    token: Option<Secret>,
    token_file: Option<PathBuf>,
    problems: &mut Problems,
) -> Option<Credential> {
    let has_token = token.is_some() || token_file.is_some();
    match app {
        Some(_) if has_token => {
            problems.at("app", "give either a token or an app, not both");
            None
        }
        Some(app) => problems.within("app", |problems| {
            let app_id = problems.required("id", app.id);
            let installation_id = problems.required("installation", app.installation);
            let key = problems.required_secret("private_key", app.private_key, app.private_key_file);
            let app =
                AppCredential { app_id: app_id?, installation_id: installation_id?, private_key_pem: key? };
            Some(Credential::App(app))
        }),
        None if has_token => problems.secret("token", token, token_file).map(Credential::Token),
        None => Some(Credential::None),
    }
}

fn base(host: &ForgeHost, api_url: Option<&str>, problems: &mut Problems) -> Option<Url> {
    let default = match host.as_str() {
        "github.com" => "https://api.github.com".to_owned(),
        other => format!("https://{other}/api/v3"),
    };
    let base: Url = problems.parsed("api_url", api_url.unwrap_or(&default))?;
    let is_plain_address = base.username().is_empty()
        && base.password().is_none()
        && base.query().is_none()
        && base.fragment().is_none();
    if !is_plain_address || base.host_str().is_none() {
        problems.at("api_url", "is not a plain address of a host");
        return None;
    }
    match base.scheme() {
        "https" => Some(base),
        "http" if is_loopback(&base) => Some(base),
        _ => {
            problems.at("api_url", "is not https (plain http is for loopback only)");
            None
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(url::Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

fn in_range(key: &str, value: usize, least: usize, most: usize, problems: &mut Problems) {
    if !(least..=most).contains(&value) {
        problems.at(key, format!("is not between {least} and {most}"));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn check(text: &str) -> Result<Forge, Vec<String>> {
        let raw: RawForge = serde_json::from_str(text).map_err(|error| vec![error.to_string()])?;
        let mut problems = Problems::default();
        let forge = raw.check(&mut problems);
        let found: Vec<String> = problems.into_found().iter().map(ToString::to_string).collect();
        match (forge, found.is_empty()) {
            (Some(forge), true) => Ok(forge),
            _ => Err(found),
        }
    }

    #[test]
    fn the_smallest_settings_watch_an_owner_on_github() {
        let forge = check(r#"{"watch":["acme"]}"#).unwrap();
        assert_eq!(forge.api.base.as_str(), "https://api.github.com/");
        assert!(matches!(forge.api.credential, Credential::None));
        assert_eq!(forge.scope.coverage_scopes(), ["github.com/acme"]);
    }

    #[test]
    fn an_enterprise_server_and_a_loopback_stand_in_have_their_own_api() {
        let forge = check(r#"{"host":"git.acme.example","watch":["acme"],"token":"t0ken"}"#).unwrap();
        assert_eq!(forge.api.base.as_str(), "https://git.acme.example/api/v3");
        assert!(!format!("{forge:?}").contains("t0ken"));
        check(r#"{"api_url":"http://127.0.0.1:8080/","watch":["acme"]}"#).unwrap();
    }

    #[test]
    fn every_problem_is_named_with_its_key() {
        let text = r#"{
            "api_url": "http://api.github.com", "watch": ["acme", "not a name"], "token": "a", "app": {},
            "request_timeout": "1h", "in_flight_max": 0,
            "webhooks": [{ "secret": "short" }, {}, { "secret": "long enough, 16 bytes", "from": ["umbrella"] }]
        }"#;
        let found = check(text).unwrap_err();
        for key in [
            "api_url: is not https",
            "watch[1]",
            "app: give either",
            "request_timeout: is not between",
            "in_flight_max: is not between",
            "webhooks[0].secret: is shorter",
            "webhooks[1].secret: is missing",
            "webhooks[2].from: names something",
        ] {
            assert!(found.iter().any(|problem| problem.contains(key)), "no {key:?} in {found:#?}");
        }
        assert!(check("{}").unwrap_err()[0].contains("watch: is missing"));
        assert!(check(r#"{"watsh":[]}"#).is_err());
    }
}
