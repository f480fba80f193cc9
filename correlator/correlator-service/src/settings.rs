//! The settings of the correlator: raw as in the file, then checked.
//!
//! In: the sections `[correlator]`, `[api]`, `[[alert]]` and `[[agent]]`. Out: checked settings, or every problem with its
//! key. Times are texts such as `90s`; sizes are in bytes.

mod agents;
mod alerts;
mod check;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bus_schema::AgentId;
use fleet_runtime::settings::{DurationText, Secret};
use serde::Deserialize;

use crate::heads::LogGeneration;

pub use agents::AgentGrant;
pub use alerts::AlertSettings;
pub(crate) use alerts::Reach;
pub use bus_schema::AgentKind;

/// The sections of the file that are the correlator's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawSettings {
    pub correlator: RawCorrelator,
    pub api: RawApi,
    /// Where alerts go.
    pub alert: Vec<RawAlert>,
    /// Which agents may say what.
    pub agent: Vec<RawAgent>,
}

/// The `[correlator]` section.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawCorrelator {
    /// The correlator's own name on the bus. Default: `correlator`.
    pub id: Option<String>,
    /// The folder of the contracts; a relative path begins at the working folder. Default: `contracts`.
    pub contracts: Option<PathBuf>,
    /// How often the contracts are looked at. Default: 2s.
    pub contracts_poll: Option<DurationText>,
    /// How often repositories of trust roots (`source: tuf`) are asked for a newer one. Default: `1h`.
    pub trust_root_poll: Option<DurationText>,
    /// The most events that are taken from the bus at once. Default: 128.
    pub fetch_messages_max: Option<usize>,
    /// How often an event may be handed to the correlator before it goes to the dead letter. Default: 16.
    pub deliveries_max: Option<u32>,
    /// How far ahead of our clock an event's times may be. Default: 1d.
    pub clock_skew_max: Option<DurationText>,
    /// Verifications that run at once. Default: the number of processors, at most 4.
    pub verifications_max: Option<usize>,
    /// Memory for results of verification, in bytes. Default: 16 MiB.
    pub verification_cache_bytes_max: Option<u64>,
    /// How often the head of the evidence log is signed and published. Default: 1m.
    pub head_interval: Option<DurationText>,
    /// The memory in which the index keeps hot pages, in bytes. Default: 64 MiB.
    pub index_cache_bytes: Option<usize>,
    /// Where the log's private key is, when not in the log's folder.
    pub log_key_file: Option<PathBuf>,
    /// What a refusal to start names, an evidence log's id and generation: that log is over, and this data
    /// folder's goes on in its place.
    pub supersedes: Option<String>,
}

/// The `[api]` section.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawApi {
    /// The address of the JSON API, on loopback. Default: 127.0.0.1:9465. A port of 0 takes any that is free.
    pub listen: Option<String>,
    /// Host names beside those of loopback under which the API may be asked.
    pub hosts: Vec<String>,
    /// The address under which people reach the API; links in alerts begin with it. Default: `http://<listen>`.
    pub public_url: Option<String>,
    /// Requests that are answered at once. Default: 16.
    pub requests_in_flight_max: Option<usize>,
}

/// One `[[alert]]` section: a webhook.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawAlert {
    /// Its name in receipts, logs and dead letters.
    pub name: Option<String>,
    pub url: Option<String>,
    /// The key of the signature (Standard Webhooks): `whsec_` and base64 of 24 to 64 bytes.
    pub secret: Option<Secret>,
    pub secret_file: Option<PathBuf>,
    /// Allows plain HTTP to a host that is not on loopback. Default: false.
    pub plain_http: bool,
    /// Allows addresses of private networks (RFC 1918, unique local). Default: false.
    pub allow_private: bool,
    /// Allows addresses of this machine. Default: false.
    pub allow_loopback: bool,
    /// Certificates in PEM to trust beside the system's.
    pub certificate_authority_file: Option<PathBuf>,
    /// Where runbooks are, for links: `https://wiki.acme.example/runbooks`. Default: the path in this repository.
    pub runbooks_url: Option<String>,
    /// For one request with its answer. Default: 10s.
    pub timeout: Option<DurationText>,
    /// The pause after a first failure; it doubles with each. Default: 1s.
    pub backoff_first: Option<DurationText>,
    /// Default: 5m.
    pub backoff_max: Option<DurationText>,
    /// How often an answer that no repetition makes right (400, 401, 404, …) is tried. Default: 3.
    pub refusals_max: Option<u32>,
    /// How long an alert is tried before it goes to the dead letter. Default: 1d.
    pub give_up_after: Option<DurationText>,
}

/// One `[[agent]]` section: who may speak on the bus, and about what.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawAgent {
    /// The agent's name on the bus.
    pub id: Option<String>,
    /// `source`, `ci`, `registry` or `cluster`.
    pub kind: Option<String>,
    /// What it may speak about: image repositories (`ghcr.io/acme/**`), forge repositories (`github.com/acme/**`) or
    /// cluster ids; `**` is everything.
    pub scopes: Vec<String>,
}

/// The checked settings.
#[derive(Clone, Debug)]
pub struct Settings {
    pub correlator: CorrelatorSettings,
    pub api: ApiSettings,
    pub alerts: Vec<AlertSettings>,
    pub agents: BTreeMap<AgentId, AgentGrant>,
}

/// The checked `[correlator]` section.
#[derive(Clone, Debug)]
pub struct CorrelatorSettings {
    pub id: AgentId,
    pub contracts: PathBuf,
    pub contracts_poll: Duration,
    pub trust_root_poll: Duration,
    pub fetch_messages_max: usize,
    pub deliveries_max: u32,
    pub clock_skew_max: Duration,
    pub verifications_max: usize,
    pub verification_cache_bytes_max: u64,
    pub head_interval: Duration,
    pub index_cache_bytes: usize,
    pub log_key_file: Option<PathBuf>,
    pub supersedes: Option<LogGeneration>,
}

/// The checked `[api]` section.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    pub listen: SocketAddr,
    /// In lower case, without a port.
    pub hosts: Vec<String>,
    pub public_url: Option<url::Url>,
    pub requests_in_flight_max: usize,
}
