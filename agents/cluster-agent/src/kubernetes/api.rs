//! The few requests that the agent makes, all of them reads, each bounded in time and size.
//!
//! In: a client for the one configured API server. Out: bytes or parsed metadata. Nothing is decided here, and nothing
//! is ever written to the cluster.

use std::time::Duration;

use async_trait::async_trait;
use bus_schema::ClusterId;
use futures::io::{AsyncBufRead, AsyncReadExt};
use kube::core::params::{GetParams, ListParams, WatchParams};
use kube::core::request::Request;

use super::owners::{LookupError, Owned, OwnerKind, OwnerSource};
use super::payload::Owner;

/// The largest answer about one object.
const OBJECT_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// The largest page of a list. One that is larger is asked for again in smaller pages.
pub(crate) const PAGE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// How long the look-up of one owner may take.
const OWNER_TIME_MAX: Duration = Duration::from_secs(5);

/// Reads from one cluster.
#[derive(Clone)]
pub(crate) struct Api {
    client: kube::Client,
    request_time_max: Duration,
    watch_time_max: Duration,
}

/// Which pods: all, or those of one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PodScope {
    All,
    Namespace(String),
}

/// Why a request failed, as far as it matters for what to do next.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The resource version or the place in a list is too old: only a new list helps.
    #[error("the server has forgotten that resource version")]
    Gone,
    #[error("the answer is larger than {bytes_max} bytes")]
    TooLarge { bytes_max: u64 },
    #[error("no answer within {seconds} s")]
    TimedOut { seconds: u64 },
    #[error("the server refuses with {code} {reason}")]
    Refused { code: u16, reason: String },
    #[error("the answer does not have the expected shape: {0}")]
    Unreadable(String),
    #[error("the server cannot be reached")]
    Unreachable(#[source] Box<kube::Error>),
    #[error("the connection broke")]
    Broken(#[source] std::io::Error),
}

impl Api {
    pub(crate) fn new(client: kube::Client, request_time_max: Duration, watch_time_max: Duration) -> Api {
        Api { client, request_time_max, watch_time_max }
    }

    /// The UID of `kube-system`: the cluster's identity.
    pub(crate) async fn cluster_id(&self) -> Result<ClusterId, ApiError> {
        let request = Request::new("/api/v1/namespaces").get_metadata("kube-system", &GetParams::default());
        let text = self.read(request, OBJECT_BYTES_MAX, self.request_time_max).await?;
        let owner: Owner = serde_json::from_slice(&text)
            .map_err(|_| ApiError::Unreadable("kube-system has no metadata".to_owned()))?;
        owner
            .metadata
            .uid
            .parse()
            .map_err(|error: bus_schema::ParseError| ApiError::Unreadable(error.to_string()))
    }

    /// The text of one page of pods. Without a token it is the first page of a list as of now.
    pub(crate) async fn page(
        &self,
        scope: &PodScope,
        pods_max: u32,
        continue_token: Option<&str>,
    ) -> Result<Vec<u8>, ApiError> {
        let params = ListParams {
            limit: Some(pods_max),
            continue_token: continue_token.map(str::to_owned),
            ..ListParams::default()
        };
        self.read(Request::new(scope.path()).list(&params), PAGE_BYTES_MAX, self.request_time_max).await
    }

    /// What happens after `resource_version`, line by line.
    pub(crate) async fn watch(
        &self,
        scope: &PodScope,
        resource_version: &str,
    ) -> Result<impl AsyncBufRead + Unpin + Send + use<>, ApiError> {
        let seconds = u32::try_from(self.watch_time_max.as_secs()).unwrap_or(290);
        let params = WatchParams { timeout: Some(seconds), bookmarks: true, ..WatchParams::default() };
        let request = Request::new(scope.path()).watch(&params, resource_version);
        let request = request.map_err(|error| ApiError::Unreadable(error.to_string()))?;
        let answer = tokio::time::timeout(self.request_time_max, self.client.request_stream(request));
        let answer = answer.await.map_err(|_| self.timed_out())?;
        Ok(Box::pin(answer.map_err(ApiError::from)?))
    }

    /// How long a watch may stay without a line: it ends by itself before.
    pub(crate) fn watch_silence_max(&self) -> Duration {
        self.watch_time_max + self.request_time_max
    }

    async fn read(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
        bytes_max: u64,
        time_max: Duration,
    ) -> Result<Vec<u8>, ApiError> {
        let request = request.map_err(|error| ApiError::Unreadable(error.to_string()))?;
        let exchange = async {
            let answer = self.client.request_stream(request).await?;
            let mut text = Vec::new();
            let mut bounded = std::pin::pin!(answer.take(bytes_max + 1));
            bounded.read_to_end(&mut text).await.map_err(ApiError::Broken)?;
            match text.len() as u64 > bytes_max {
                true => Err(ApiError::TooLarge { bytes_max }),
                false => Ok(text),
            }
        };
        tokio::time::timeout(time_max, exchange)
            .await
            .map_err(|_| ApiError::TimedOut { seconds: time_max.as_secs() })?
    }

    fn timed_out(&self) -> ApiError {
        ApiError::TimedOut { seconds: self.request_time_max.as_secs() }
    }
}

impl std::fmt::Debug for Api {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Api").finish_non_exhaustive()
    }
}

#[async_trait]
impl OwnerSource for Api {
    async fn owners(&self, namespace: &str, kind: &OwnerKind, name: &str) -> Result<Owned, LookupError> {
        if !is_path_segment(namespace) || !is_path_segment(name) {
            return Err(LookupError::Unreadable);
        }
        let request = Request::new(kind.path(namespace)).get_metadata(name, &GetParams::default());
        let text =
            self.read(request, OBJECT_BYTES_MAX, OWNER_TIME_MAX).await.map_err(|error| match error {
                ApiError::Refused { code: 404, .. } | ApiError::Gone => LookupError::NotFound,
                ApiError::Refused { code: 401 | 403, .. } => LookupError::Denied,
                ApiError::TooLarge { .. } | ApiError::Unreadable(_) => LookupError::Unreadable,
                _ => LookupError::Unreachable,
            })?;
        let owner: Owner = serde_json::from_slice(&text).map_err(|_| LookupError::Unreadable)?;
        Ok(Owned { uid: owner.metadata.uid, owners: owner.metadata.owner_references })
    }
}

impl PodScope {
    fn path(&self) -> String {
        match self {
            PodScope::All => "/api/v1/pods".to_owned(),
            PodScope::Namespace(namespace) => format!("/api/v1/namespaces/{namespace}/pods"),
        }
    }
}

impl OwnerKind {
    fn path(&self, namespace: &str) -> String {
        let OwnerKind { group, version, plural, .. } = self;
        match group.as_str() {
            "" => format!("/api/{version}/namespaces/{namespace}/{plural}"),
            group => format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}"),
        }
    }
}

impl From<kube::Error> for ApiError {
    fn from(error: kube::Error) -> ApiError {
        match error {
            kube::Error::Api(status) if status.code == 410 => ApiError::Gone,
            kube::Error::Api(status) => {
                ApiError::Refused { code: status.code, reason: super::cut::cut(&status.reason) }
            }
            other => ApiError::Unreachable(Box::new(other)),
        }
    }
}

/// Names of objects may hold many characters; those that mean something in a path are not asked for.
fn is_path_segment(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
    !text.is_empty() && text.len() <= 253 && text.bytes().all(is_plain) && text != "." && text != ".."
}
