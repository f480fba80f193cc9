//! The settings of the registry agent: raw as in the file, then checked.
//!
//! In: `[[registry]]` sections and `[registry_agent]`. Out: registries that this agent may call, with the bounds of its
//! work, or every problem with its key. Only what stands here is ever called.

mod check;
mod pattern;

use std::path::PathBuf;
use std::time::Duration;

use fleet_runtime::settings::{Checked, DurationText, Problem, Problems, Secret};
use reqwest::Url;
use serde::Deserialize;

pub use pattern::RepositoryPattern;

/// The raw settings: the sections of the file that are this agent's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawSettings {
    /// The registries to watch.
    pub registry: Vec<RawRegistry>,
    /// Bounds of the agent's own work.
    pub registry_agent: RawTuning,
}

/// One `[[registry]]` section.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawRegistry {
    /// The name under which images are referenced, with its port: `registry.acme.example:5000`.
    pub host: Option<String>,
    /// Where the registry answers. Default: `https://<host>`.
    pub url: Option<String>,
    /// Allows a `url` of plain HTTP that is not on loopback. Default: false.
    pub plain_http: bool,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub password_file: Option<PathBuf>,
    /// The realm that may ask for the credentials beside the registry itself: `https://auth.acme.example/token`.
    pub token_realm: Option<String>,
    /// Hosts (with a port where it is not the usual one) to which the registry may redirect. They get no credentials.
    pub redirect_hosts: Option<Vec<String>>,
    /// Certificates in PEM to trust beside the system's.
    pub certificate_authority_file: Option<PathBuf>,
    /// Whether the registry may have the referrers API. False only for one that has none and says so in no
    /// known way: it denies the request or fails. Default: true.
    pub referrers_api: Option<bool>,
    /// The token that the registry sends with its notifications, as `Authorization: Bearer <token>`.
    pub notification_token: Option<Secret>,
    pub notification_token_file: Option<PathBuf>,
    /// Repositories to poll, beside those that a notification named: `acme/app`, `acme/**`, or `**`.
    pub repositories: Vec<String>,
    /// How often tags are compared with what is known; `0s` turns polling off. Default: 5m.
    pub poll_interval: Option<DurationText>,
    /// The most requests that polling sends. Default: 10.
    pub poll_requests_per_second: Option<u32>,
    /// The most tags of one repository. Default: 10000.
    pub tags_max: Option<usize>,
    /// The most repositories that are polled. Default: 1000.
    pub repositories_max: Option<usize>,
    /// Default: 5s.
    pub connect_timeout: Option<DurationText>,
    /// For one request with authorisation, redirects and body. Default: 30s.
    pub request_timeout: Option<DurationText>,
    /// Default: 8.
    pub requests_in_flight_max: Option<usize>,
}

/// The `[registry_agent]` section.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawTuning {
    /// Questions of the correlator that are answered at once. Default: 4.
    pub questions_in_hand_max: Option<usize>,
    /// Looks of the agent's own that run at once. Default: 2.
    pub look_ups_in_hand_max: Option<usize>,
    /// How long one look may take. Default: 2m.
    pub look_up_timeout: Option<DurationText>,
    /// How often a look of the agent's own is tried. Default: 6.
    pub look_up_attempts_max: Option<u32>,
    /// The wait before the second attempt; it doubles with each. Default: 2s.
    pub look_up_backoff: Option<DurationText>,
    /// How long a poll waits for a notification of what it found. Default: 3s.
    pub poll_grace: Option<DurationText>,
    /// How often the agent reports itself. Default: 30s.
    pub report_interval: Option<DurationText>,
    /// After this time without the agent running, events may be missing. Default: 1m.
    pub gap_after: Option<DurationText>,
    /// The largest body of a notification. Default: 16 MiB.
    pub notification_bytes_max: Option<usize>,
}

/// The checked settings.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) registries: Vec<Registry>,
    pub(crate) tuning: Tuning,
}

impl Settings {
    /// The settings for one look at a registry that a person named on a command line, polled by nobody. Plain HTTP on
    /// loopback only.
    pub fn of_named_host(host: &str, login: Option<(String, Secret)>) -> Result<Settings, Vec<Problem>> {
        let is_on_loopback = format!("http://{host}").parse().is_ok_and(|url: Url| is_loopback(&url));
        let (username, password) = login.unzip();
        let registry = RawRegistry {
            host: Some(host.to_owned()),
            url: is_on_loopback.then(|| format!("http://{host}")),
            username,
            password,
            poll_interval: Some(DurationText::seconds(0)),
            ..RawRegistry::default()
        };
        let raw = RawSettings { registry: vec![registry], registry_agent: RawTuning::default() };
        let mut problems = Problems::default();
        let settings = Settings::check(raw, &mut problems);
        let mut settings = settings.ok_or_else(|| problems.into_found())?;
        for registry in &mut settings.registries {
            registry.may_lead_on = true;
        }
        Ok(settings)
    }

    /// The hosts that are configured, for people.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.registries.iter().map(|registry| registry.host.as_str())
    }

    /// Whether any registry sends notifications.
    pub fn takes_notifications(&self) -> bool {
        self.registries.iter().any(|registry| registry.notification_authorization.is_some())
    }
}

/// One registry that may be called.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    pub(crate) host: String,
    pub(crate) url: Url,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) token_realm: Option<Url>,
    pub(crate) redirect_hosts: Vec<String>,
    /// It may redirect to, and fetch anonymous tokens from, any host over HTTPS: a person named it, no event did.
    pub(crate) may_lead_on: bool,
    pub(crate) certificates: Vec<reqwest::Certificate>,
    pub(crate) referrers_api: bool,
    /// The whole header that its notifications carry: `Bearer <token>`.
    pub(crate) notification_authorization: Option<Secret>,
    pub(crate) poll: Option<Poll>,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) requests_in_flight_max: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) password: Secret,
}

#[derive(Clone, Debug)]
pub(crate) struct Poll {
    pub(crate) patterns: Vec<RepositoryPattern>,
    pub(crate) interval: Duration,
    pub(crate) requests_per_second: u32,
    pub(crate) tags_max: usize,
    pub(crate) repositories_max: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Tuning {
    pub(crate) questions_in_hand_max: usize,
    pub(crate) look_ups_in_hand_max: usize,
    pub(crate) look_up_timeout: Duration,
    pub(crate) look_up_attempts_max: u32,
    pub(crate) look_up_backoff: Duration,
    pub(crate) poll_grace: Duration,
    pub(crate) report_interval: Duration,
    pub(crate) gap_after: Duration,
    pub(crate) notification_bytes_max: usize,
}

/// Whether a URL stays on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}
