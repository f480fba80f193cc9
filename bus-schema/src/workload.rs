//! Clusters and the workloads in them.

use std::fmt;
use std::str::FromStr;

use crate::ParseError;
use crate::parse_error::check_token;

const WORKLOAD_PARTS: usize = 4;

/// A cluster, by the UID of its `kube-system` namespace.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(String);

impl ClusterId {
    /// The UID's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClusterId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<ClusterId, ParseError> {
        check_token(
            "cluster id",
            text,
            128,
            |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'),
            "not a letter, digit, hyphen, underscore or dot",
        )?;
        Ok(ClusterId(text.to_owned()))
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

text_identity!(
    ClusterId,
    "ClusterId",
    "^[A-Za-z0-9._-]{1,128}$",
    "the UID of the cluster's kube-system namespace"
);

/// A workload by its topmost owner: CronJob, Deployment, Rollout or a bare Pod; never a Job or ReplicaSet below one.
/// Prints as `cluster/namespace/kind/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadRef {
    /// The cluster that it runs in.
    pub cluster: ClusterId,
    /// Its namespace.
    pub namespace: String,
    /// Its kind, as the API writes it: `Deployment`.
    pub kind: String,
    /// Its name in the namespace.
    pub name: String,
}

impl WorkloadRef {
    /// A workload from its parts, checked like the whole.
    pub fn new(
        cluster: ClusterId,
        namespace: &str,
        kind: &str,
        name: &str,
    ) -> Result<WorkloadRef, ParseError> {
        format!("{cluster}/{namespace}/{kind}/{name}").parse()
    }
}

impl FromStr for WorkloadRef {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<WorkloadRef, ParseError> {
        let parts: Vec<&str> = text.splitn(WORKLOAD_PARTS + 1, '/').collect();
        let [cluster, namespace, kind, name] = parts[..] else {
            return Err(ParseError::new(
                "workload",
                text,
                text.len(),
                "it is not cluster/namespace/kind/name",
            ));
        };
        let mut offset = cluster.len() + 1;
        for (part, bytes_max) in [(namespace, 63), (kind, 63), (name, 253)] {
            check_token(
                "workload",
                part,
                bytes_max,
                |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':' | b'_'),
                "not a letter, digit, hyphen, dot, colon or underscore",
            )
            .map_err(|e| e.inside("workload", text, offset))?;
            offset += part.len() + 1;
        }
        Ok(WorkloadRef {
            cluster: cluster.parse().map_err(|e: ParseError| e.inside("workload", text, 0))?,
            namespace: namespace.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for WorkloadRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}/{}", self.cluster, self.namespace, self.kind, self.name)
    }
}

text_identity!(
    WorkloadRef,
    "WorkloadRef",
    "^[^/]+/[^/]+/[^/]+/[^/]+$",
    "cluster, namespace, kind and name of the topmost owner"
);
