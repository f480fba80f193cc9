//! The settings of `custody up`: one file for the whole fleet in one process.
//!
//! In: `custody.toml` and `CUSTODY__…` variables. Out: the checked settings of every part, or every problem at once with its
//! key. Paths in the file are relative to the file's folder.

mod grants;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use bus_schema::AgentId;
use fleet_runtime::bus::nats::{NatsSettings, RawNatsSettings};
use fleet_runtime::settings::{Checked, Problem, Problems, SettingsError, Sources, VARIABLE_PREFIX, load};
use fleet_runtime::telemetry::LogSettings;
use fleet_runtime::trace::TraceSettings;
use github_client::settings::{Forge, RawForge};
use serde::Deserialize;

use crate::exit::Failure;

pub(crate) use grants::grants;

/// The file that is read where none is named.
pub(crate) const DEFAULT_FILE: &str = "custody.toml";
const INTAKE_PORT: u16 = 9466;
const CLUSTERS_MAX: usize = 16;

/// A short, complete settings file.
pub(crate) const EXAMPLE: &str = r#"# custody.toml
[intake]                                      # where webhooks come in; without it 127.0.0.1:9466, for this machine alone
listen = "0.0.0.0:9466"

[[registry]]                                  # what is pushed, and what is attached to it
host = "registry.acme.example"                # for a registry without TLS on loopback also: url = "http://127.0.0.1:5000"
username = "custody"
password_file = "secrets/registry-password"
notification_token_file = "secrets/registry-token"   # the registry posts to http://<this machine>:9466/registry/notifications
repositories = ["**"]

[[github]]                                    # who reviewed, which run built
watch = ["acme"]
token_file = "secrets/github-token"
[[github.webhooks]]                           # GitHub posts to http://<this machine>:9466/github/webhook
secret_file = "secrets/github-webhook"

[[cluster]]                                   # what runs
cluster_name = "prod-eu"
kubeconfig = "secrets/kubeconfig"

[correlator]
contracts = "contracts"                       # one YAML file per pipeline; see `custody policy check`

[[alert]]                                     # who is told
name = "on-call"
url = "https://hooks.acme.example/custody"
secret_file = "secrets/webhook-key"           # for a url on this machine also: allow_loopback = true
"#;

/// The file, as written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawFile {
    /// How the process logs.
    log: LogSettings,
    /// Where spans are sent.
    traces: TraceSettings,
    /// NATS servers. Without them the bus is in the data folder, and everything in one process.
    bus: Option<RawNatsSettings>,
    /// Where webhooks come in.
    intake: RawListen,
    /// Health and metrics.
    operations: RawListen,
    registry: Vec<registry_agent::RawRegistry>,
    registry_agent: registry_agent::RawTuning,
    github: Vec<RawForge>,
    source: source_agent::settings::RawSource,
    ci: ci_agent::settings::RawCi,
    cluster: Vec<cluster_agent::RawSettings>,
    correlator: correlator_service::RawCorrelator,
    api: correlator_service::RawApi,
    alert: Vec<correlator_service::RawAlert>,
    agent: Vec<correlator_service::RawAgent>,
}

/// An address to listen on.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawListen {
    /// An address with a port. Default: 127.0.0.1:9466 for `intake`, 127.0.0.1:9464 for `operations`.
    listen: Option<String>,
}

/// The checked settings.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) log: LogSettings,
    pub(crate) traces: TraceSettings,
    pub(crate) bus: Option<NatsSettings>,
    pub(crate) intake: SocketAddr,
    pub(crate) operations: SocketAddr,
    pub(crate) registries: Option<Registries>,
    pub(crate) forges: Option<Forges>,
    pub(crate) clusters: Vec<Cluster>,
    /// Whether they say anything that only a correlator reads: contracts, alerts, agents elsewhere.
    pub(crate) are_a_correlators: bool,
    /// With a grant for every agent above.
    pub(crate) correlator: correlator_service::Settings,
}

/// The registries and the one agent that watches them.
#[derive(Debug)]
pub(crate) struct Registries {
    pub(crate) agent: AgentId,
    pub(crate) settings: registry_agent::Settings,
}

/// The forges and the two agents that watch them.
#[derive(Debug)]
pub(crate) struct Forges {
    pub(crate) forges: Vec<Forge>,
    pub(crate) source: source_agent::settings::Settings,
    pub(crate) ci: ci_agent::settings::Settings,
}

/// One cluster and its agent.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) agent: AgentId,
    pub(crate) name: String,
    pub(crate) settings: cluster_agent::Settings,
}

impl Settings {
    /// Whether anything is watched.
    pub(crate) fn watches_something(&self) -> bool {
        self.registries.is_some() || self.forges.is_some() || !self.clusters.is_empty()
    }
}

impl Checked for Settings {
    type Raw = RawFile;

    fn check(raw: RawFile, problems: &mut Problems) -> Option<Settings> {
        let intake = listen("intake", raw.intake, INTAKE_PORT, problems);
        let operations =
            listen("operations", raw.operations, fleet_runtime::operations::DEFAULT_PORT, problems);
        let bus = check_bus(raw.bus, problems);
        let registries = check_registries(raw.registry, raw.registry_agent, problems);
        let forges = check_forges(raw.github, raw.source, raw.ci, problems);
        let clusters = check_clusters(raw.cluster, problems);
        let are_a_correlators =
            raw.correlator.contracts.is_some() || !raw.alert.is_empty() || !raw.agent.is_empty();
        let correlator = correlator_service::RawSettings {
            correlator: raw.correlator,
            api: raw.api,
            alert: raw.alert,
            agent: raw.agent,
        };
        let correlator = correlator_service::Settings::check(correlator, problems);
        let mut settings = Settings {
            log: raw.log,
            traces: raw.traces,
            bus: bus?,
            intake: intake?,
            operations: operations?,
            registries: registries?,
            forges: forges?,
            clusters: clusters?,
            are_a_correlators,
            correlator: correlator?,
        };
        for (agent, grant) in grants(&settings, problems)? {
            settings.correlator.agents.entry(agent).or_insert(grant);
        }
        Some(settings)
    }
}

fn check_bus(raw: Option<RawNatsSettings>, problems: &mut Problems) -> Option<Option<NatsSettings>> {
    match raw {
        Some(raw) => problems.within("bus", |problems| NatsSettings::check(raw, problems)).map(Some),
        None => Some(None),
    }
}

fn listen(key: &str, raw: RawListen, port: u16, problems: &mut Problems) -> Option<SocketAddr> {
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match raw.listen {
        Some(text) => problems.within(key, |problems| problems.parsed("listen", &text)),
        None => Some(default),
    }
}

fn check_registries(
    registry: Vec<registry_agent::RawRegistry>,
    registry_agent: registry_agent::RawTuning,
    problems: &mut Problems,
) -> Option<Option<Registries>> {
    if registry.is_empty() {
        return Some(None);
    }
    let raw = registry_agent::RawSettings { registry, registry_agent };
    let settings = registry_agent::Settings::check(raw, problems)?;
    Some(Some(Registries { agent: agent_id("registry", problems)?, settings }))
}

fn check_forges(
    github: Vec<RawForge>,
    source: source_agent::settings::RawSource,
    ci: ci_agent::settings::RawCi,
    problems: &mut Problems,
) -> Option<Option<Forges>> {
    let count = github.len();
    if count == 0 {
        return Some(None);
    }
    let forges = problems.each("github", github, |forge, problems| forge.check(problems));
    let source = problems.within("source", |problems| source.check(forges.clone(), problems));
    let ci = problems.within("ci", |problems| ci.check(forges.clone(), problems));
    if forges.len() != count {
        return None;
    }
    Some(Some(Forges { forges, source: source?, ci: ci? }))
}

fn check_clusters(raw: Vec<cluster_agent::RawSettings>, problems: &mut Problems) -> Option<Vec<Cluster>> {
    let count = raw.len();
    if count > CLUSTERS_MAX {
        problems.at("cluster", format!("more than {CLUSTERS_MAX} clusters"));
        return None;
    }
    let mut number = 0;
    let clusters = problems.each("cluster", raw, |raw, problems| {
        number += 1;
        let name = raw.cluster_name.clone().unwrap_or_default();
        let settings = cluster_agent::Settings::check(raw, problems)?;
        Some(Cluster { agent: agent_id(&format!("cluster-{number}"), problems)?, name, settings })
    });
    (clusters.len() == count).then_some(clusters)
}

fn agent_id(text: &str, problems: &mut Problems) -> Option<AgentId> {
    problems.parsed("agent", text)
}

/// What was found where settings are looked for.
#[derive(Debug)]
pub(crate) enum Found {
    Settings(Box<Settings>),
    /// Neither a file nor a variable says anything.
    Nothing,
}

/// Reads the settings, which have to be there.
pub(crate) fn read_or_fail(file: Option<&Path>, bus: &[String]) -> anyhow::Result<Settings> {
    match read_with_bus(file, bus)? {
        Found::Settings(settings) => Ok(*settings),
        Found::Nothing => {
            Err(Failure::usage(format!("there are no settings: no {DEFAULT_FILE} here, and no --config")))
        }
    }
}

/// Reads the settings, with NATS servers of the command line instead of the file's.
pub(crate) fn read_with_bus(file: Option<&Path>, bus: &[String]) -> anyhow::Result<Found> {
    let Some(first) = bus.first() else { return read(file) };
    let refused = |problems: Vec<Problem>| {
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::usage(format!("--bus: {}", said.join("; ")))
    };
    let servers: Vec<&str> = bus.iter().map(String::as_str).collect();
    let alone = NatsSettings::of_servers(&servers).map_err(refused)?;
    // The file need not name servers: it may hold the rest of the bus alone.
    let named = (format!("{VARIABLE_PREFIX}BUS__SERVERS__0"), first.clone());
    let mut found = read_with(file, vec![named])?;
    if let Found::Settings(settings) = &mut found {
        settings.bus = Some(match settings.bus.take() {
            Some(known) => known.with_servers(bus).map_err(refused)?,
            None => alone,
        });
    }
    Ok(found)
}

/// Reads the settings. Goes to the folder of the file first, so that its paths are its own.
pub(crate) fn read(file: Option<&Path>) -> anyhow::Result<Found> {
    read_with(file, Vec::new())
}

/// With variables beside those of the process, which alone are no settings.
fn read_with(file: Option<&Path>, more: Vec<(String, String)>) -> anyhow::Result<Found> {
    let file = match file {
        Some(file) => Some(file.to_owned()),
        None => Some(PathBuf::from(DEFAULT_FILE)).filter(|file| file.exists()),
    };
    let file = file.map(|file| enter_folder_of(&file)).transpose()?;
    let mut sources = Sources::of_process(file);
    if sources.file.is_none() && sources.variables.is_empty() {
        return Ok(Found::Nothing);
    }
    sources.variables.extend(more);
    match load::<Settings>(&sources) {
        Ok(settings) => Ok(Found::Settings(Box::new(settings))),
        Err(error @ SettingsError::Problems { .. }) => Err(Failure::usage(error.to_string())),
        Err(error) => Err(Failure::usage(fleet_runtime::error_chain(&error))),
    }
}

fn enter_folder_of(file: &Path) -> anyhow::Result<PathBuf> {
    let shown = file.display();
    let full = file.canonicalize();
    let full =
        full.map_err(|error| Failure::usage(format!("the settings file {shown} cannot be read: {error}")))?;
    if let Some(folder) = full.parent() {
        std::env::set_current_dir(folder).with_context(|| format!("go to the folder of {shown}"))?;
    }
    Ok(full)
}

#[cfg(test)]
mod tests;
