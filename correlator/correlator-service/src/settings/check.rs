//! Raw settings → checked settings: every problem at once, each with its key.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use bus_schema::AgentId;
use fleet_runtime::settings::{Checked, DurationText, Problems, Secret};
use reqwest::Url;

use super::alerts::Reach;
use super::{
    AgentGrant, AgentKind, AlertSettings, ApiSettings, CorrelatorSettings, RawAgent, RawAlert, RawApi,
    RawCorrelator, RawSettings, Settings,
};
use crate::deliver::address;
use crate::pause::Pauses;

const DEFAULT_PORT: u16 = 9465;
const ALERTS_MAX: usize = 16;
const AGENTS_MAX: usize = 1000;
const SCOPES_MAX: usize = 1000;
const NAME_BYTES_MAX: usize = 40;
const SECRET_BYTES_MIN: usize = 24;
const SECRET_BYTES_MAX: usize = 64;
const SECRET_PREFIX: &str = "whsec_";
const CERTIFICATES_BYTES_MAX: u64 = 1024 * 1024;
const MIB: u64 = 1024 * 1024;

impl Checked for Settings {
    type Raw = RawSettings;

    fn check(raw: RawSettings, problems: &mut Problems) -> Option<Settings> {
        let correlator = problems.within("correlator", |problems| check_correlator(raw.correlator, problems));
        let api = problems.within("api", |problems| check_api(raw.api, problems));
        let alerts = check_alerts(raw.alert, problems);
        let agents = check_agents(raw.agent, problems);
        Some(Settings { correlator: correlator?, api: api?, alerts: alerts?, agents: agents? })
    }
}

fn check_correlator(raw: RawCorrelator, problems: &mut Problems) -> Option<CorrelatorSettings> {
    let id: Option<AgentId> = problems.parsed("id", raw.id.as_deref().unwrap_or("correlator"));
    let contracts_poll = positive("contracts_poll", raw.contracts_poll, DurationText::seconds(2), problems);
    let roots = positive("trust_root_poll", raw.trust_root_poll, DurationText::seconds(3600), problems);
    let skew = positive("clock_skew_max", raw.clock_skew_max, DurationText::seconds(24 * 3600), problems);
    let head_interval = positive("head_interval", raw.head_interval, DurationText::seconds(60), problems);
    let processors = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let fetch = within("fetch_messages_max", raw.fetch_messages_max.unwrap_or(256), 1..=512, problems);
    let deliveries = within("deliveries_max", raw.deliveries_max.unwrap_or(16), 1..=1000, problems);
    let verifications =
        within("verifications_max", raw.verifications_max.unwrap_or(processors), 1..=64, problems);
    let cache = raw.verification_cache_bytes_max.unwrap_or(16 * MIB);
    let index_cache = raw.index_cache_bytes.unwrap_or(32 * 1024 * 1024);
    let index_cache =
        within("index_cache_bytes", index_cache, 1024 * 1024..=64 * 1024 * 1024 * 1024, problems);
    let supersedes = raw.supersedes.map(|text| problems.parsed("supersedes", &text));
    Some(CorrelatorSettings {
        id: id?,
        contracts: raw.contracts.unwrap_or_else(|| PathBuf::from("contracts")),
        contracts_poll: contracts_poll?,
        trust_root_poll: roots?,
        fetch_messages_max: fetch?,
        deliveries_max: deliveries?,
        clock_skew_max: skew?,
        verifications_max: verifications?,
        verification_cache_bytes_max: within(
            "verification_cache_bytes_max",
            cache,
            0..=64 * 1024 * MIB,
            problems,
        )?,
        head_interval: head_interval?,
        index_cache_bytes: index_cache?,
        log_key_file: raw.log_key_file,
        supersedes: supersedes.map_or(Some(None), |text| text.map(Some))?,
    })
}

fn check_api(raw: RawApi, problems: &mut Problems) -> Option<ApiSettings> {
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT));
    let listen: Option<SocketAddr> = match &raw.listen {
        Some(text) => problems.parsed("listen", text),
        None => Some(default),
    };
    if listen.is_some_and(|address| !address.ip().is_loopback()) {
        problems.at("listen", "is not on loopback: the API has no users of its own");
        return None;
    }
    let hosts = raw.hosts.iter().enumerate().filter_map(|(index, host)| {
        let is_name = url::Host::parse(host).is_ok() && !host.contains([':', '/']);
        if !is_name {
            problems.at(&format!("hosts[{index}]"), "is not a host name");
        }
        is_name.then(|| host.to_ascii_lowercase())
    });
    let hosts: Vec<String> = hosts.collect();
    let public_url = raw.public_url.map(|text| web_url("public_url", &text, problems));
    let in_flight =
        within("requests_in_flight_max", raw.requests_in_flight_max.unwrap_or(16), 1..=1024, problems);
    Some(ApiSettings {
        listen: listen?,
        hosts,
        public_url: public_url.map_or(Some(None), |url| url.map(Some))?,
        requests_in_flight_max: in_flight?,
    })
}

fn check_alerts(raw: Vec<RawAlert>, problems: &mut Problems) -> Option<Vec<AlertSettings>> {
    let count = raw.len();
    if count > ALERTS_MAX {
        problems.at("alert", format!("more than {ALERTS_MAX} webhooks"));
        return None;
    }
    let alerts = problems.each("alert", raw, check_alert);
    let mut names = BTreeSet::new();
    for alert in &alerts {
        if !names.insert(&alert.name) {
            problems.at("alert", format!("two webhooks are named {:?}", alert.name));
        }
    }
    (alerts.len() == count).then_some(alerts)
}

fn check_alert(raw: RawAlert, problems: &mut Problems) -> Option<AlertSettings> {
    let name = problems.required("name", raw.name).filter(|name| {
        let is_plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let is_right = is_plain && !name.is_empty() && name.len() <= NAME_BYTES_MAX;
        if !is_right {
            problems
                .at("name", format!("is not 1 to {NAME_BYTES_MAX} lower-case letters, digits and hyphens"));
        }
        is_right
    });
    let reach = Reach { private: raw.allow_private, loopback: raw.allow_loopback };
    let url = problems.required("url", raw.url);
    let url = url.and_then(|text| check_alert_url(&text, raw.plain_http, reach, problems));
    let secret = problems.required_secret("secret", raw.secret, raw.secret_file);
    let secret = secret.and_then(|secret| check_secret(&secret, problems));
    let certificates = raw.certificate_authority_file.as_deref().map(read_certificates).transpose();
    let certificates = certificates.map_err(|reason| problems.at("certificate_authority_file", reason)).ok();
    let runbooks_url = raw.runbooks_url.map(|text| web_url("runbooks_url", &text, problems));
    let timeout = positive("timeout", raw.timeout, DurationText::seconds(10), problems);
    let first = positive("backoff_first", raw.backoff_first, DurationText::seconds(1), problems);
    let max = positive("backoff_max", raw.backoff_max, DurationText::seconds(300), problems);
    let refusals = within("refusals_max", raw.refusals_max.unwrap_or(3), 1..=100, problems);
    let give_up_after =
        positive("give_up_after", raw.give_up_after, DurationText::seconds(24 * 3600), problems);
    Some(AlertSettings {
        name: name?,
        url: url?,
        secret: secret?,
        reach,
        certificates: certificates?.unwrap_or_default(),
        runbooks_url: runbooks_url.map_or(Some(None), |url| url.map(Some))?,
        timeout: timeout?,
        pauses: Pauses { first: first?, max: max? },
        refusals_max: refusals?,
        give_up_after: give_up_after?,
    })
}

fn check_alert_url(text: &str, plain_http: bool, reach: Reach, problems: &mut Problems) -> Option<Url> {
    let url = web_url("url", text, problems)?;
    let literal: Option<IpAddr> = match url.host() {
        Some(url::Host::Ipv4(address)) => Some(address.into()),
        Some(url::Host::Ipv6(address)) => Some(address.into()),
        _ => None,
    };
    let is_local =
        literal.is_some_and(|address| address.is_loopback()) || url.host_str() == Some("localhost");
    if url.scheme() == "http" && !is_local && !plain_http {
        problems.at("url", "is plain HTTP and not on loopback; say plain_http = true if that is meant");
        return None;
    }
    // A name is checked each time it is resolved; an address never is resolved, so it is checked here.
    if let Some(reason) = literal.and_then(|address| address::refusal(address, reach)) {
        problems.at("url", reason);
        return None;
    }
    Some(url)
}

fn web_url(key: &str, text: &str, problems: &mut Problems) -> Option<Url> {
    let url: Url = problems.parsed(key, text)?;
    let found = match url.scheme() {
        "https" | "http" if url.host_str().is_none() => Some("has no host"),
        "https" | "http" if !url.username().is_empty() || url.password().is_some() => {
            Some("holds credentials, which do not belong into an address")
        }
        "https" | "http" if url.fragment().is_some() => Some("has a fragment"),
        "https" | "http" => None,
        _ => Some("is neither https nor http"),
    };
    match found {
        Some(problem) => {
            problems.at(key, problem);
            None
        }
        None => Some(url),
    }
}

fn check_secret(secret: &Secret, problems: &mut Problems) -> Option<Secret> {
    let encoded = secret.expose().strip_prefix(SECRET_PREFIX);
    let decoded = encoded.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
    match (encoded, decoded) {
        (Some(encoded), Some(key)) if (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&key.len()) => {
            Some(Secret::new(encoded))
        }
        _ => {
            let problem = format!(
                "is not {SECRET_PREFIX} followed by base64 of {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} random bytes"
            );
            problems.at("secret", problem);
            None
        }
    }
}

fn read_certificates(path: &Path) -> Result<Vec<reqwest::Certificate>, String> {
    let shown = path.display();
    let file = std::fs::File::open(path).map_err(|error| format!("cannot open {shown}: {error}"))?;
    let mut bytes = Vec::new();
    file.take(CERTIFICATES_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot read {shown}: {error}"))?;
    if bytes.len() as u64 > CERTIFICATES_BYTES_MAX {
        return Err(format!("{shown} is larger than {CERTIFICATES_BYTES_MAX} bytes"));
    }
    match reqwest::Certificate::from_pem_bundle(&bytes) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(format!("{shown} holds no certificate in PEM")),
    }
}

fn check_agents(raw: Vec<RawAgent>, problems: &mut Problems) -> Option<BTreeMap<AgentId, AgentGrant>> {
    let count = raw.len();
    if count > AGENTS_MAX {
        problems.at("agent", format!("more than {AGENTS_MAX} agents"));
        return None;
    }
    let checked = problems.each("agent", raw, check_agent);
    let is_complete = checked.len() == count;
    let mut agents = BTreeMap::new();
    for (id, grant) in checked {
        if agents.insert(id.clone(), grant).is_some() {
            problems.at("agent", format!("{id} is listed twice"));
        }
    }
    is_complete.then_some(agents)
}

fn check_agent(raw: RawAgent, problems: &mut Problems) -> Option<(AgentId, AgentGrant)> {
    let id: Option<AgentId> = problems.required("id", raw.id).and_then(|text| problems.parsed("id", &text));
    let kind = problems.required("kind", raw.kind).and_then(|word| {
        let kind = AgentKind::ALL.into_iter().find(|kind| kind.as_str() == word);
        if kind.is_none() {
            problems.at("kind", "is none of source, ci, registry, cluster");
        }
        kind
    });
    if raw.scopes.is_empty() || raw.scopes.len() > SCOPES_MAX {
        problems.at("scopes", format!("names 1 to {SCOPES_MAX} patterns; \"**\" is everything"));
        return None;
    }
    let grant = AgentGrant::new(kind?, raw.scopes.iter().map(String::as_str));
    let grant = grant.map_err(|reason| problems.at("scopes", reason)).ok();
    Some((id?, grant?))
}

fn positive(
    key: &str,
    value: Option<DurationText>,
    default: DurationText,
    problems: &mut Problems,
) -> Option<Duration> {
    let value = value.unwrap_or(default).get();
    if value.is_zero() {
        problems.at(key, "must be more than nothing");
        return None;
    }
    Some(value)
}

fn within<T: PartialOrd + std::fmt::Display + Copy>(
    key: &str,
    value: T,
    range: std::ops::RangeInclusive<T>,
    problems: &mut Problems,
) -> Option<T> {
    if range.contains(&value) {
        return Some(value);
    }
    problems.at(key, format!("must be {} to {}", range.start(), range.end()));
    None
}
