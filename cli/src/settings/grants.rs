//! Which agent of this process may say what: each only what its own section lets it watch.

use bus_schema::AgentId;
use correlator_service::{AgentGrant, AgentKind};
use fleet_runtime::settings::Problems;

use super::Settings;

/// A grant for every agent of the settings.
pub(crate) fn grants(settings: &Settings, problems: &mut Problems) -> Option<Vec<(AgentId, AgentGrant)>> {
    let mut wanted: Vec<(AgentId, AgentKind, Vec<String>)> = Vec::new();
    if let Some(registries) = &settings.registries {
        let scopes = registries.settings.hosts().map(|host| format!("{host}/**")).collect();
        wanted.push((registries.agent.clone(), AgentKind::Registry, scopes));
    }
    if let Some(forges) = &settings.forges {
        let scopes = forges.forges.iter().flat_map(|forge| forge.scope.coverage_scopes());
        // An owner stands for all below it, a repository for itself.
        let scopes: Vec<String> = scopes.flat_map(|scope| [format!("{scope}/**"), scope]).collect();
        wanted.push((forges.source.agent.clone(), AgentKind::Source, scopes.clone()));
        wanted.push((forges.ci.agent.clone(), AgentKind::Ci, scopes));
    }
    for cluster in &settings.clusters {
        // The cluster's id is its own word: it is known when the API server has said it.
        wanted.push((cluster.agent.clone(), AgentKind::Cluster, vec!["**".to_owned()]));
    }
    let grants = wanted.into_iter().map(|(agent, kind, scopes)| {
        match AgentGrant::new(kind, scopes.iter().map(String::as_str)) {
            Ok(grant) => Some((agent, grant)),
            Err(reason) => {
                problems.at("agent", format!("{agent}: {reason}"));
                None
            }
        }
    });
    grants.collect()
}
