//! `kind: Installation`: what holds for the whole installation: clusters, mirrors, windows, limits, agents.

use std::collections::BTreeMap;

use bus_schema::{AgentId, ImageRepository};
use jiff::Timestamp;
use serde::Deserialize;

use crate::contracts::duration::Span;

/// The checked table; the default holds where no document is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    pub clusters: BTreeMap<String, ClusterContract>,
    /// From the pull-through host's prefix to the origin's, longest first.
    pub mirrors: Vec<Mirror>,
    pub windows: Windows,
    /// The longest time from loading to expiry that an exception may have.
    pub exception_length_max: Span,
    pub agents: BTreeMap<AgentId, AgentContract>,
}

/// What people say of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct AgentContract {
    /// It is taken down for good, and its silence is meant.
    pub retired: bool,
    /// Somebody has seen to it that nothing from before this time is missing: webhooks were sent again, or the source was
    /// compared by hand.
    pub complete_until: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ClusterContract {
    #[serde(default)]
    pub production: bool,
}

/// A prefix of image repositories that stands for another.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// For example `mirror.acme.example/hub`.
    pub from: String,
    /// For example `docker.io`.
    pub to: String,
}

/// The windows that are not a pipeline's own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Windows {
    /// How long a failed look-up keeps a link pending, from its first attempt.
    pub evidence: Span,
    /// How long after an attempt that failed the next one comes.
    pub retry: Span,
    /// How long a placement that ended still counts, so that cron jobs and crash loops do not flap.
    pub linger: Span,
    /// How far source times may be apart and still agree.
    pub source_skew: Span,
    /// How long nothing from an agent counts as silence, unless three of its intervals are longer; and how long a report may
    /// be overtaken by a later one before it counts as lost.
    pub silence: Span,
}

impl Default for Windows {
    fn default() -> Windows {
        Windows {
            evidence: Span::from_secs(15 * 60),
            retry: Span::from_secs(60),
            linger: Span::from_hours(24),
            source_skew: Span::from_secs(5 * 60),
            silence: Span::from_secs(2 * 60),
        }
    }
}

impl Default for Installation {
    fn default() -> Installation {
        Installation {
            clusters: BTreeMap::new(),
            mirrors: Vec::new(),
            windows: Windows::default(),
            exception_length_max: Span::from_hours(366 * 24),
            agents: BTreeMap::new(),
        }
    }
}

impl Installation {
    /// The repository that a mirror's stands for, or the repository itself.
    pub fn origin(&self, repository: &ImageRepository) -> ImageRepository {
        let text = repository.to_string();
        for mirror in &self.mirrors {
            let rest = text.strip_prefix(mirror.from.as_str()).and_then(|rest| rest.strip_prefix('/'));
            if let Some(origin) = rest.and_then(|rest| format!("{}/{rest}", mirror.to).parse().ok()) {
                return origin;
            }
        }
        repository.clone()
    }

    pub fn is_production(&self, cluster_id: &str, cluster_name: &str) -> bool {
        [cluster_id, cluster_name]
            .iter()
            .any(|key| self.clusters.get(*key).is_some_and(|cluster| cluster.production))
    }
}

/// The document as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct InstallationSpec {
    #[serde(default)]
    clusters: BTreeMap<String, ClusterContract>,
    #[serde(default)]
    mirrors: Vec<Mirror>,
    #[serde(default)]
    windows: Windows,
    #[serde(default)]
    exception_length_max: Option<Span>,
    #[serde(default)]
    agents: BTreeMap<String, AgentContract>,
}

impl InstallationSpec {
    pub(crate) fn check(self, problems: &mut Vec<String>) -> Installation {
        let mut mirrors = self.mirrors;
        for mirror in &mirrors {
            for (field, prefix) in [("from", &mirror.from), ("to", &mirror.to)] {
                if let Err(error) = format!("{prefix}/x").parse::<ImageRepository>() {
                    problems.push(format!("mirrors.{field}: {error}"));
                }
            }
        }
        let mut agents = BTreeMap::new();
        for (id, agent) in self.agents {
            match id.parse() {
                Ok(id) => {
                    agents.insert(id, agent);
                }
                Err(error) => problems.push(format!("agents: {error}")),
            }
        }
        mirrors.sort_by_key(|mirror| std::cmp::Reverse(mirror.from.len()));
        let default = Installation::default();
        Installation {
            clusters: self.clusters,
            mirrors,
            windows: self.windows,
            exception_length_max: self.exception_length_max.unwrap_or(default.exception_length_max),
            agents,
        }
    }
}
