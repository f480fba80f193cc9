//! Settings: as written, and as checked.
//!
//! In: a table of the configuration. Out: checked settings, or every problem at once with its key. Secrets are none of
//! them: credentials stay in the kubeconfig or the service account.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use fleet_runtime::settings::{Checked, DurationText, Problems};
use serde::Deserialize;

use crate::kubernetes::api::PodScope;
use crate::kubernetes::list::ListLimits;
use crate::kubernetes::owners::OwnerKind;

const CLUSTER_NAME_BYTES_MAX: usize = 253;
const NAMESPACES_MAX: usize = 64;
const OWNER_KINDS_MAX: usize = 64;
const PAGE_PODS: RangeInclusive<u64> = 1..=1_000;
const PODS: RangeInclusive<u64> = 1..=500_000;
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(86_400);
const REQUEST_TIME: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);
/// The server counts in whole seconds.
const WATCH_TIME: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3_600);

/// One cluster, as written. One agent speaks for a whole cluster: what its inventory does not list counts as stopped.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSettings {
    /// The name that people use for this cluster. Contracts match it (`deploy.clusters`). Required.
    pub cluster_name: Option<String>,
    /// The kubeconfig file to read. Without it the agent uses the service account of the pod it runs in.
    pub kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig; without it the current one.
    pub context: Option<String>,
    /// Only these namespaces; empty means all. The rest of the cluster is then not watched at all.
    pub namespaces: Vec<String>,
    /// How long between two full inventories, 100ms to 1d.
    pub inventory_interval: DurationText,
    /// How long between two reports of the agent about itself, 100ms to 1d.
    pub report_interval: DurationText,
    /// After how long a request that is not answered has failed, 1s to 5m.
    pub request_timeout: DurationText,
    /// After how long a watch is begun anew where it was, 1s to 1h.
    pub watch_timeout: DurationText,
    /// Pods per page of a list, 1 to 1000.
    pub page_pods_max: u64,
    /// The most pods that the agent follows; a cluster with more is refused as a whole, 1 to 500000.
    pub pods_max: u64,
    /// Kinds to look up for an owner of their own, beside ReplicaSet, Job and ReplicationController. Each needs `get`
    /// in the agent's role. A kind that is not looked up is the workload itself, like Deployment or Rollout.
    pub owner_kinds: Vec<RawOwnerKind>,
}

/// A kind whose objects are owned by something else.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawOwnerKind {
    /// Group and version: `example.com/v1`; without a slash it is the core group's version.
    pub api_version: String,
    pub kind: String,
    /// The kind's name in the API's paths: `widgets`.
    pub plural: String,
}

impl Default for RawSettings {
    fn default() -> RawSettings {
        RawSettings {
            cluster_name: None,
            kubeconfig: None,
            context: None,
            namespaces: Vec::new(),
            inventory_interval: DurationText::seconds(300),
            report_interval: DurationText::seconds(60),
            request_timeout: DurationText::seconds(30),
            watch_timeout: DurationText::seconds(290),
            page_pods_max: 100,
            pods_max: 150_000,
            owner_kinds: Vec::new(),
        }
    }
}

/// One cluster, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    pub(crate) cluster_name: String,
    pub(crate) access: Access,
    pub(crate) scopes: Vec<PodScope>,
    pub(crate) inventory_interval: Duration,
    pub(crate) report_interval: Duration,
    pub(crate) request_time_max: Duration,
    pub(crate) watch_time_max: Duration,
    pub(crate) list_limits: ListLimits,
    pub(crate) owner_kinds: Vec<OwnerKind>,
}

/// How the API server is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    ServiceAccount,
    Kubeconfig { path: PathBuf, context: Option<String> },
}

impl Checked for Settings {
    type Raw = RawSettings;

    fn check(raw: RawSettings, problems: &mut Problems) -> Option<Settings> {
        let cluster_name = problems.required("cluster_name", raw.cluster_name);
        let cluster_name = cluster_name.and_then(|name| check_name(name, problems));
        let access = check_access(raw.kubeconfig, raw.context, problems);
        let scopes = check_scopes(raw.namespaces, problems);
        let owner_kinds = check_owner_kinds(raw.owner_kinds, problems);
        let mut duration = |key: &str, value: DurationText, range: RangeInclusive<Duration>| {
            within(key, value.get(), range, |at| DurationText(*at).to_string(), problems)
        };
        let inventory_interval = duration("inventory_interval", raw.inventory_interval, INTERVAL);
        let report_interval = duration("report_interval", raw.report_interval, INTERVAL);
        let request_time_max = duration("request_timeout", raw.request_timeout, REQUEST_TIME);
        let watch_time_max = duration("watch_timeout", raw.watch_timeout, WATCH_TIME);
        let page_pods_max = within("page_pods_max", raw.page_pods_max, PAGE_PODS, u64::to_string, problems);
        let pods_max = within("pods_max", raw.pods_max, PODS, u64::to_string, problems);
        Some(Settings {
            cluster_name: cluster_name?,
            access: access?,
            scopes: scopes?,
            inventory_interval: inventory_interval?,
            report_interval: report_interval?,
            request_time_max: request_time_max?,
            watch_time_max: watch_time_max?,
            list_limits: ListLimits {
                page_pods_max: u32::try_from(page_pods_max?).ok()?,
                pods_max: usize::try_from(pods_max?).ok()?,
            },
            owner_kinds: owner_kinds?,
        })
    }
}

/// The kinds that never are a workload of their own where something owns them.
pub(crate) fn default_owner_kinds() -> Vec<OwnerKind> {
    let kind = |group: &str, kind: &str, plural: &str| OwnerKind {
        group: group.to_owned(),
        version: "v1".to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    };
    vec![
        kind("apps", "ReplicaSet", "replicasets"),
        kind("batch", "Job", "jobs"),
        kind("", "ReplicationController", "replicationcontrollers"),
    ]
}

fn within<T: PartialOrd>(
    key: &str,
    value: T,
    range: RangeInclusive<T>,
    show: impl Fn(&T) -> String,
    problems: &mut Problems,
) -> Option<T> {
    if range.contains(&value) {
        return Some(value);
    }
    let (least, most) = (show(range.start()), show(range.end()));
    problems.at(key, format!("{} is not between {least} and {most}", show(&value)));
    None
}

fn check_name(name: String, problems: &mut Problems) -> Option<String> {
    if name.is_empty() || name.len() > CLUSTER_NAME_BYTES_MAX || name.chars().any(char::is_control) {
        problems.at("cluster_name", format!("is not plain text of 1 to {CLUSTER_NAME_BYTES_MAX} bytes"));
        return None;
    }
    Some(name)
}

fn check_access(
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    problems: &mut Problems,
) -> Option<Access> {
    match (kubeconfig, context) {
        (Some(path), context) if !path.as_os_str().is_empty() => Some(Access::Kubeconfig { path, context }),
        (Some(_), _) => {
            problems.at("kubeconfig", "is an empty path");
            None
        }
        (None, None) => Some(Access::ServiceAccount),
        (None, Some(_)) => {
            problems.at("context", "means nothing without kubeconfig");
            None
        }
    }
}

fn check_scopes(namespaces: Vec<String>, problems: &mut Problems) -> Option<Vec<PodScope>> {
    let mut is_right = true;
    let mut refuse = |key: &str, message: String| {
        problems.at(key, message);
        is_right = false;
    };
    if namespaces.len() > NAMESPACES_MAX {
        refuse("namespaces", format!("are more than {NAMESPACES_MAX}: leave them out to watch all"));
    }
    if namespaces.iter().collect::<BTreeSet<_>>().len() != namespaces.len() {
        refuse("namespaces", "name one namespace twice".to_owned());
    }
    for (index, _) in namespaces.iter().enumerate().filter(|(_, name)| !is_label(name)) {
        refuse(&format!("namespaces[{index}]"), "is not the name of a namespace".to_owned());
    }
    let scopes = match namespaces.is_empty() {
        true => vec![PodScope::All],
        false => namespaces.into_iter().map(PodScope::Namespace).collect(),
    };
    is_right.then_some(scopes)
}

fn check_owner_kinds(raw: Vec<RawOwnerKind>, problems: &mut Problems) -> Option<Vec<OwnerKind>> {
    let written = raw.len();
    if written > OWNER_KINDS_MAX {
        problems.at("owner_kinds", format!("are more than {OWNER_KINDS_MAX}"));
        return None;
    }
    let checked = problems.each("owner_kinds", raw, check_owner_kind);
    let is_right = checked.len() == written;
    is_right.then(|| default_owner_kinds().into_iter().chain(checked).collect())
}

fn check_owner_kind(raw: RawOwnerKind, problems: &mut Problems) -> Option<OwnerKind> {
    let (group, version) = match raw.api_version.split_once('/') {
        Some((group, version)) => (group, version),
        None => ("", raw.api_version.as_str()),
    };
    let group_fits = match raw.api_version.contains('/') {
        true => group.split('.').all(is_label),
        false => true,
    };
    let version_fits = group_fits && is_label(version);
    if !version_fits {
        problems.at("api_version", "is not a group and version");
    }
    let kind_fits =
        (1..=63).contains(&raw.kind.len()) && raw.kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !kind_fits {
        problems.at("kind", "is not a kind");
    }
    let plural_fits = is_label(&raw.plural);
    if !plural_fits {
        problems.at("plural", "is not the lower-case plural of a kind");
    }
    (version_fits && kind_fits && plural_fits).then(|| OwnerKind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: raw.kind,
        plural: raw.plural,
    })
}

/// RFC 1123 label.
fn is_label(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(is_plain)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use serde_json::json;

    use super::*;

    fn check(value: serde_json::Value) -> Result<Settings, Vec<String>> {
        let raw: RawSettings = serde_json::from_value(value).unwrap();
        let mut problems = Problems::default();
        let settings = Settings::check(raw, &mut problems);
        let keys: Vec<String> = problems.into_found().into_iter().map(|problem| problem.key).collect();
        match keys.is_empty() {
            true => Ok(settings.unwrap()),
            false => Err(keys),
        }
    }

    #[test]
    fn a_name_is_enough() {
        let settings = check(json!({ "cluster_name": "prod-1" })).unwrap();
        assert_eq!(settings.access, Access::ServiceAccount);
        assert_eq!(settings.scopes, [PodScope::All]);
        assert_eq!(settings.owner_kinds, default_owner_kinds());
    }

    #[test]
    fn further_kinds_are_looked_up_beside_the_usual_ones() {
        let widgets = json!({ "api_version": "example.com/v1", "kind": "Widget", "plural": "widgets" });
        let settings = check(json!({ "cluster_name": "prod-1", "owner_kinds": [widgets] })).unwrap();
        assert_eq!(settings.owner_kinds.len(), default_owner_kinds().len() + 1);
    }

    #[test]
    fn all_problems_are_told_at_once_with_their_keys() {
        let found = check(json!({
            "context": "admin",
            "namespaces": ["Shop", "a/b", "ok", "ok"],
            "inventory_interval": "0s",
            "report_interval": "2d",
            "page_pods_max": 0,
            "pods_max": 0,
            "owner_kinds": [{ "api_version": "a b/v1", "kind": "../x", "plural": "a/b" }],
        }));
        let expected = [
            "cluster_name",
            "context",
            "namespaces",
            "namespaces[0]",
            "namespaces[1]",
            "owner_kinds[0].api_version",
            "owner_kinds[0].kind",
            "owner_kinds[0].plural",
            "inventory_interval",
            "report_interval",
            "page_pods_max",
            "pods_max",
        ];
        assert_eq!(found.unwrap_err(), expected);
    }

    #[test]
    fn unknown_keys_are_refused() {
        let result: Result<RawSettings, _> =
            serde_json::from_value(json!({ "cluster_name": "prod", "clustername": "prod" }));
        assert!(result.unwrap_err().to_string().contains("clustername"));
    }
}
