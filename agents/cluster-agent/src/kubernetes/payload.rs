//! Foreign shapes: what the Kubernetes API says about pods, only the fields that are used.
//!
//! In: the JSON text of one object, one page or one watch line, each already bounded in size. Out: slim values, or a
//! typed refusal that keeps the pod's UID where it could be read. Nothing is decided here.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// How much of a pod that could not be read is kept, in bytes.
const UNREADABLE_BYTES_MAX: usize = 64 * 1024;
/// The longest name and UID that the API server gives, in bytes.
const NAME_BYTES_MAX: usize = 253;

/// The longest name of a namespace, in bytes.
const NAMESPACE_BYTES_MAX: usize = 63;

/// The largest pod that is read, in bytes. The API server stores no object over 1.5 MiB and accepts none over 3 MiB.
pub(crate) const POD_BYTES_MAX: usize = 2 * 1024 * 1024;

/// One pod: about a tenth of the whole object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Pod {
    pub(crate) metadata: PodMetadata,
    #[serde(default)]
    pub(crate) spec: PodSpec,
    #[serde(default)]
    pub(crate) status: PodStatus,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodMetadata {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) uid: String,
    #[serde(default)]
    pub(crate) resource_version: String,
    #[serde(default)]
    pub(crate) creation_timestamp: Option<Timestamp>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) labels: PodLabels,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) annotations: PodAnnotations,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) owner_references: Vec<OwnerReference>,
}

/// The labels by which controllers mark the pods of one template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct PodLabels {
    #[serde(default, rename = "pod-template-hash")]
    pub(crate) pod_template_hash: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct PodAnnotations {
    /// Set by the kubelet on the mirror of a static pod.
    #[serde(default, rename = "kubernetes.io/config.mirror")]
    pub(crate) mirror: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OwnerReference {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    #[serde(default)]
    pub(crate) controller: Option<bool>,
}

impl OwnerReference {
    /// The API group: `apps` of `apps/v1`, empty for the core group.
    pub(crate) fn group(&self) -> &str {
        self.api_version.rsplit_once('/').map_or("", |(group, _)| group)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodSpec {
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) init_containers: Vec<ContainerSpec>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) containers: Vec<ContainerSpec>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) ephemeral_containers: Vec<ContainerSpec>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContainerSpec {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) image: Option<String>,
    /// Only init containers have one; `Always` makes them sidecars.
    #[serde(default)]
    pub(crate) restart_policy: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodStatus {
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) init_container_statuses: Vec<ContainerStatus>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) container_statuses: Vec<ContainerStatus>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) ephemeral_container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct ContainerStatus {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) image: String,
    #[serde(default, rename = "imageID")]
    pub(crate) image_id: String,
    #[serde(default, rename = "containerID")]
    pub(crate) container_id: String,
    #[serde(default, rename = "restartCount")]
    pub(crate) restart_count: i64,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) state: ContainerState,
    #[serde(default, rename = "lastState", deserialize_with = "null_as_default")]
    pub(crate) last_state: ContainerState,
}

/// At most one of the three is set; none means waiting.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct ContainerState {
    #[serde(default)]
    pub(crate) waiting: Option<Waiting>,
    #[serde(default)]
    pub(crate) running: Option<Running>,
    #[serde(default)]
    pub(crate) terminated: Option<Terminated>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Waiting {
    #[serde(default)]
    pub(crate) reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Running {
    #[serde(default)]
    pub(crate) started_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Terminated {
    #[serde(default, rename = "containerID")]
    pub(crate) container_id: String,
    #[serde(default, rename = "exitCode")]
    pub(crate) exit_code: Option<i32>,
    #[serde(default)]
    pub(crate) reason: String,
    #[serde(default, rename = "startedAt")]
    pub(crate) started_at: Option<Timestamp>,
    #[serde(default, rename = "finishedAt")]
    pub(crate) finished_at: Option<Timestamp>,
}

/// The metadata of an owner, as a metadata-only request answers it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Owner {
    pub(crate) metadata: OwnerMetadata,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OwnerMetadata {
    pub(crate) uid: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) owner_references: Vec<OwnerReference>,
}

/// One page of a list; its items stay text, so that one that does not parse harms no other.
#[derive(Debug, Deserialize)]
pub(crate) struct Page<'a> {
    pub(crate) metadata: PageMetadata,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub(crate) items: Vec<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PageMetadata {
    #[serde(default)]
    pub(crate) resource_version: String,
    #[serde(default, rename = "continue")]
    pub(crate) continue_token: String,
    /// How many follow, where the server says so.
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) remaining_item_count: i64,
}

/// One line of a watch.
#[derive(Debug, Deserialize)]
pub(crate) struct WatchLine<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(borrow)]
    pub(crate) object: &'a RawValue,
}

/// What a bookmark says, and the least that any object says.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Marked {
    #[serde(default)]
    pub(crate) metadata: MarkedMetadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MarkedMetadata {
    #[serde(default)]
    pub(crate) uid: Option<String>,
    #[serde(default)]
    pub(crate) resource_version: String,
}

/// What an error line of a watch says.
#[derive(Debug, Deserialize)]
pub(crate) struct ErrorStatus {
    #[serde(default)]
    pub(crate) code: u16,
    #[serde(default)]
    pub(crate) reason: String,
}

/// A pod's text that could not be read, kept for the dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnreadablePod {
    /// Which pod it is, where at least that could be read.
    pub(crate) uid: Option<String>,
    pub(crate) reason: UnreadableReason,
    /// The beginning of its text.
    pub(crate) text: Vec<u8>,
    /// How long its text is.
    pub(crate) bytes: usize,
}

/// A pod, or why there is none.
pub(crate) type ReadPod = Result<Box<Pod>, Box<UnreadablePod>>;

impl UnreadablePod {
    pub(crate) fn new(uid: Option<String>, reason: UnreadableReason, text: &[u8]) -> UnreadablePod {
        let beginning = text[..text.len().min(UNREADABLE_BYTES_MAX)].to_vec();
        UnreadablePod { uid, reason, text: beginning, bytes: text.len() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnreadableReason {
    #[error("the pod has {bytes} bytes, the limit is {POD_BYTES_MAX}")]
    TooLarge { bytes: usize },
    #[error("the pod does not have the expected shape: {0}")]
    Malformed(String),
}

/// Reads one pod.
pub(crate) fn read_pod(text: &str) -> ReadPod {
    let refuse = |reason| {
        let uid = serde_json::from_str::<Marked>(text).ok().and_then(|marked| marked.metadata.uid);
        let uid = uid.filter(|uid| is_name(uid));
        Box::new(UnreadablePod::new(uid, reason, text.as_bytes()))
    };
    if text.len() > POD_BYTES_MAX {
        return Err(refuse(UnreadableReason::TooLarge { bytes: text.len() }));
    }
    let pod: Pod =
        serde_json::from_str(text).map_err(|error| refuse(UnreadableReason::Malformed(describe(&error))))?;
    let PodMetadata { uid, name, namespace, .. } = &pod.metadata;
    let is_named =
        is_name(uid) && is_name(name) && is_name(namespace) && namespace.len() <= NAMESPACE_BYTES_MAX;
    match is_named {
        true => Ok(Box::new(pod)),
        false => Err(refuse(UnreadableReason::Malformed("a uid, name or namespace that is none".to_owned()))),
    }
}

fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.bytes().all(is_plain)
}

/// Says where reading stopped. The parser's own words quote the text, which may hold anything, so they are left out.
pub(crate) fn describe(error: &serde_json::Error) -> String {
    let kind = match error.classify() {
        serde_json::error::Category::Io => "unreadable",
        serde_json::error::Category::Syntax => "not JSON",
        serde_json::error::Category::Data => "an unexpected value",
        serde_json::error::Category::Eof => "cut off",
    };
    format!("{kind} at line {} column {}", error.line(), error.column())
}

fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_least_pod_is_read() {
        let pod = read_pod(r#"{"metadata":{"name":"a","namespace":"b","uid":"c"}}"#).unwrap();
        assert_eq!(pod.spec, PodSpec::default());
        assert_eq!(pod.status, PodStatus::default());
    }

    #[test]
    fn null_lists_are_empty_lists() {
        let pod = read_pod(
            r#"{"metadata":{"name":"a","namespace":"b","uid":"c","ownerReferences":null,"labels":null},
                "spec":{"initContainers":null},"status":{"containerStatuses":null}}"#,
        );
        assert!(pod.is_ok());
    }

    #[test]
    fn a_pod_of_another_shape_is_refused_with_its_uid() {
        let text = r#"{"metadata":{"name":"a","namespace":"b","uid":"c"},"spec":{"containers":"secret"}}"#;
        let refused = read_pod(text).unwrap_err();
        assert_eq!(refused.uid.as_deref(), Some("c"));
        assert!(!refused.reason.to_string().contains("secret"), "{}", refused.reason);
    }

    #[test]
    fn a_pod_over_the_limit_is_refused_with_its_uid() {
        let padding = "x".repeat(POD_BYTES_MAX);
        let text =
            format!(r#"{{"metadata":{{"name":"a","namespace":"b","uid":"c"}},"padding":"{padding}"}}"#);
        let refused = read_pod(&text).unwrap_err();
        assert_eq!(refused.uid.as_deref(), Some("c"));
        assert_eq!(refused.reason, UnreadableReason::TooLarge { bytes: text.len() });
    }

    #[test]
    fn deep_json_is_refused_where_it_is_read_and_harmless_where_it_is_not() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let metadata = r#""metadata":{"name":"a","namespace":"b","uid":"c"}"#;
        assert!(read_pod(&format!(r#"{{{metadata},"spec":{{"containers":{deep}}}}}"#)).is_err());
        assert!(read_pod(&format!(r#"{{{metadata},"deep":{deep}}}"#)).is_ok());
    }

    #[test]
    fn text_that_is_no_json_is_refused() {
        for text in ["", "{", "null", "[]", "\u{0}", r#"{"metadata":{"name":"","namespace":"","uid":""}}"#] {
            assert!(read_pod(text).is_err(), "{text:?}");
        }
    }
}
