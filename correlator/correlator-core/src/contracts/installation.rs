//! `kind: Installation`: what holds for the whole installation: clusters, mirrors, windows, limits.

use std::collections::BTreeMap;

use bus_schema::ImageRepository;
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
}

impl Default for Windows {
    fn default() -> Windows {
        Windows {
            evidence: Span::from_secs(15 * 60),
            retry: Span::from_secs(60),
            linger: Span::from_hours(24),
            source_skew: Span::from_secs(5 * 60),
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
        mirrors.sort_by_key(|mirror| std::cmp::Reverse(mirror.from.len()));
        let default = Installation::default();
        Installation {
            clusters: self.clusters,
            mirrors,
            windows: self.windows,
            exception_length_max: self.exception_length_max.unwrap_or(default.exception_length_max),
        }
    }
}
