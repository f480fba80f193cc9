//! The single looks of the doctor.

use std::path::Path;

use correlator_service::{AgentKind, TrustRootCopies};
use jiff::Timestamp;

use super::{Finding, agents, alerts, forges, process, servers};
use crate::client::Api;
use crate::data::DataFolder;
use crate::exit::{Exit, exit_of};
use crate::settings::Settings;

/// Less space than this stops the fleet soon.
const FREE_BYTES_MIN: u64 = 1 << 30;

/// The data folder: who has it, whether it can be written to, how much space is left.
pub(super) async fn data(data: &DataFolder) -> Vec<Finding> {
    let shown = data.path().display().to_string();
    let mut findings = Vec::new();
    match Api::of_running(data).await {
        Ok(Some(api)) => {
            findings.push(Finding::works("process", format!("process {} runs and answers", api.process())));
            findings.extend(process::look(&api).await);
        }
        Ok(None) => findings.extend(agents_of(data).await),
        Err(error) => {
            let advice = match exit_of(&error) {
                Exit::Unreachable => {
                    "see its log; if it does not answer in a while, stop it and start it again"
                }
                _ => "run this as the user whose folder it is",
            };
            findings.push(Finding::fails("process", format!("{error:#}"), advice))
        }
    }
    let existing = data.path().ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    findings.push(match tempfile::tempfile_in(existing) {
        Ok(_) => Finding::works("data folder", shown),
        Err(error) => Finding::fails(
            "data folder",
            format!("{shown} cannot be written to: {error}"),
            "give this user the folder, or name another with --data",
        ),
    });
    findings.extend(space(existing).await);
    findings
}

/// A folder without a process that answers may be that of agents alone.
async fn agents_of(data: &DataFolder) -> Vec<Finding> {
    match data.running_agents() {
        Ok(agents) if !agents.is_empty() => agents::look(&agents).await,
        Ok(_) => {
            let advice = "start it: custody up, or in a fleet custody correlator or custody agent";
            vec![Finding::lacks("process", "nothing runs on this data folder", advice)]
        }
        Err(error) => {
            vec![Finding::fails("process", format!("{error:#}"), "run this as the user whose folder it is")]
        }
    }
}

/// Free space, as `df` tells it.
async fn space(path: &Path) -> Option<Finding> {
    let output = tokio::process::Command::new("df").arg("-Pk").arg(path).output().await.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let kib: u64 = text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    let (free, mib) = (kib.saturating_mul(1024), kib / 1024);
    Some(match free < FREE_BYTES_MIN {
        true => Finding::lacks("disk", format!("{mib} MiB are free"), "give the data folder at least 1 GiB"),
        false => Finding::works("disk", format!("{mib} MiB are free")),
    })
}

/// Everything that the settings name. What is not there is missed only where everything comes together: an agent's machine
/// has no contracts and tells nobody, and a fleet's other agents are elsewhere.
pub(super) async fn settings(settings: &Settings, data: &DataFolder) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(bus) = &settings.bus {
        findings.extend(servers::look(bus).await);
    }
    let contracts = &settings.correlator.correlator.contracts;
    let judges = settings.bus.is_none() || settings.are_a_correlators || contracts.exists();
    if judges {
        findings.push(contracts_look(contracts, &TrustRootCopies::of_data(&data.correlator())));
    }
    match &settings.registries {
        Some(registries) => findings.extend(registries_look(&registries.settings).await),
        None if judges => {
            let advice = "name one with [[registry]]: without it no push and no attestation is known";
            findings.push(elsewhere(settings, &[AgentKind::Registry], "registries", advice));
        }
        None => {}
    }
    match &settings.forges {
        Some(forges) => findings.extend(forges::look(forges).await),
        None if judges => {
            let advice = "name one with [[github]]: without it no review and no run is known";
            findings.push(elsewhere(settings, &[AgentKind::Source, AgentKind::Ci], "forges", advice));
        }
        None => {}
    }
    for cluster in &settings.clusters {
        findings.extend(cluster_look(&cluster.name, &cluster.settings).await);
    }
    if settings.clusters.is_empty() && judges {
        let advice = "name one with [[cluster]]: without it nobody knows what runs";
        findings.push(elsewhere(settings, &[AgentKind::Cluster], "clusters", advice));
    }
    if judges {
        findings.extend(alerts::look(&settings.correlator.alerts).await);
    }
    findings
}

/// What no section of these settings watches: agents elsewhere may.
fn elsewhere(settings: &Settings, kinds: &[AgentKind], what: &str, advice: &str) -> Finding {
    let of = |kind: AgentKind| {
        settings
            .correlator
            .agents
            .iter()
            .filter(move |(_, grant)| grant.kind == kind)
            .map(|(id, _)| id.as_str())
    };
    let missing: Vec<&str> =
        kinds.iter().filter(|kind| of(**kind).next().is_none()).map(|kind| kind.as_str()).collect();
    let agents: Vec<&str> = kinds.iter().flat_map(|kind| of(*kind)).collect();
    match (agents.is_empty(), missing.is_empty()) {
        (true, _) => Finding::lacks(what, "none is configured", advice),
        (false, true) => Finding::works(what, format!("watched elsewhere by {}", agents.join(", "))),
        (false, false) => {
            let detail =
                format!("watched elsewhere by {}, and by no {} agent", agents.join(", "), missing.join(", "));
            Finding::lacks(what, detail, "enroll one with `custody fleet enroll`, and name it with [[agent]]")
        }
    }
}

fn contracts_look(folder: &Path, copies: &TrustRootCopies) -> Finding {
    let shown = folder.display();
    let advice = "`custody policy check` tells everything that is wrong";
    let set = match correlator_service::load_contracts(folder, Some(copies), Timestamp::now()) {
        Ok((_, set)) => set,
        Err(problems) => return Finding::fails("contracts", problems.join("\n"), advice),
    };
    if set.pipelines.is_empty() {
        let advice =
            "write a pipeline: `custody up` prints one for the busiest repository that nothing claims";
        return Finding::lacks("contracts", format!("{shown} holds no pipeline"), advice);
    }
    let roots: Vec<&str> = set.roots.keys().map(String::as_str).collect();
    let detail = format!("{} pipelines in {shown}, trust roots {}", set.pipelines.len(), roots.join(", "));
    Finding::works("contracts", detail)
}

async fn registries_look(settings: &registry_agent::Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    for probed in registry_agent::probe(settings).await {
        let what = format!("registry {}", probed.what);
        findings.push(match probed.outcome {
            registry_agent::Outcome::Works { detail } => Finding::works(what, detail),
            registry_agent::Outcome::Lacks { reason, advice } => Finding::lacks(what, reason, advice),
            registry_agent::Outcome::Fails { reason, advice } => Finding::fails(what, reason, advice),
        });
    }
    findings
}

async fn cluster_look(name: &str, settings: &cluster_agent::Settings) -> Vec<Finding> {
    let probed = cluster_agent::probe(settings).await;
    let finding = |probed: cluster_agent::Probed| {
        let what = format!("cluster {name}, {}", probed.what);
        match probed.outcome {
            cluster_agent::Outcome::Works { detail } => Finding::works(what, detail),
            cluster_agent::Outcome::Lacks { reason, advice } => Finding::lacks(what, reason, advice),
            cluster_agent::Outcome::Fails { reason, advice } => Finding::fails(what, reason, advice),
        }
    };
    probed.into_iter().map(finding).collect()
}
