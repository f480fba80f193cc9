//! The single looks of the doctor.

use std::path::Path;

use correlator_service::TrustRootCopies;
use jiff::Timestamp;

use super::{Finding, alerts, forges, process};
use crate::client::Api;
use crate::data::DataFolder;
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
        Ok(None) => findings.push(Finding::lacks(
            "process",
            "nothing runs on this data folder",
            "start it: custody up",
        )),
        Err(error) => {
            let advice = "run this as the user whose folder it is";
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

/// Everything that the settings name.
pub(super) async fn settings(settings: &Settings, data: &DataFolder) -> Vec<Finding> {
    let copies = TrustRootCopies::of_data(&data.correlator());
    let mut findings = vec![contracts(&settings.correlator.correlator.contracts, &copies)];
    match &settings.registries {
        Some(registries) => findings.extend(registries_look(&registries.settings).await),
        None => findings.push(Finding::lacks(
            "registries",
            "none is configured",
            "name one with [[registry]]: without it no push and no attestation is known",
        )),
    }
    match &settings.forges {
        Some(forges) => findings.extend(forges::look(forges).await),
        None => findings.push(Finding::lacks(
            "forges",
            "none is configured",
            "name one with [[github]]: without it no review and no run is known",
        )),
    }
    for cluster in &settings.clusters {
        findings.extend(cluster_look(&cluster.name, &cluster.settings).await);
    }
    if settings.clusters.is_empty() {
        let advice = "name one with [[cluster]]: without it nobody knows what runs";
        findings.push(Finding::lacks("clusters", "none is configured", advice));
    }
    findings.extend(alerts::look(&settings.correlator.alerts).await);
    findings
}

fn contracts(folder: &Path, copies: &TrustRootCopies) -> Finding {
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
