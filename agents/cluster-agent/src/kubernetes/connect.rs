//! The client for the one configured API server.
//!
//! In: checked settings. Out: a client, or why there is none. Errors never quote a kubeconfig: it holds credentials.

use std::path::Path;

use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};

use crate::settings::{Access, Settings};

use super::api::Api;

const KUBECONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("failed to read the kubeconfig {path}")]
    Unreadable { path: String, source: std::io::Error },
    #[error("the kubeconfig {path} is larger than {KUBECONFIG_BYTES_MAX} bytes")]
    TooLarge { path: String },
    #[error("the kubeconfig {path} is not a kubeconfig")]
    Malformed { path: String },
    #[error("the kubeconfig {path} cannot be used")]
    Unusable { path: String, source: Box<KubeconfigError> },
    #[error("no kubeconfig is set, and this is no pod with a service account")]
    NoServiceAccount(#[source] InClusterError),
    #[error("failed to prepare the client")]
    Client(#[source] Box<kube::Error>),
}

/// Makes the client; asks the server nothing.
pub(crate) async fn connect(settings: &Settings) -> Result<Api, ConnectError> {
    let config = match &settings.access {
        Access::ServiceAccount => kube::Config::incluster().map_err(ConnectError::NoServiceAccount)?,
        Access::Kubeconfig { path, context } => from_kubeconfig(path, context.clone()).await?,
    };
    if config.accept_invalid_certs {
        tracing::warn!(
            "the kubeconfig says not to verify the server's certificate: anybody on the way may answer"
        );
    }
    let client = kube::Client::try_from(config).map_err(|error| ConnectError::Client(Box::new(error)))?;
    Ok(Api::new(client, settings.request_time_max, settings.watch_time_max))
}

async fn from_kubeconfig(path: &Path, context: Option<String>) -> Result<kube::Config, ConnectError> {
    let shown = path.display().to_string();
    let metadata = tokio::fs::metadata(path).await;
    let metadata = metadata.map_err(|source| ConnectError::Unreadable { path: shown.clone(), source })?;
    if metadata.len() > KUBECONFIG_BYTES_MAX {
        return Err(ConnectError::TooLarge { path: shown });
    }
    let unusable = |error| match error {
        // The parser's message shows the text around the error.
        KubeconfigError::Parse(_) => ConnectError::Malformed { path: shown.clone() },
        other => ConnectError::Unusable { path: shown.clone(), source: Box::new(other) },
    };
    let kubeconfig = Kubeconfig::read_from(path).map_err(unusable)?;
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(unusable)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    async fn refusal(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, text).unwrap();
        let error = from_kubeconfig(&path, None).await.unwrap_err();
        fleet_runtime::error_chain(&error)
    }

    #[tokio::test]
    async fn a_refusal_never_shows_a_credential() {
        for text in [
            "users: [{name: a, user: {token: hunter2, tokenFile: [}}]",
            "users: {hunter2: hunter2}",
            "hunter2",
            "apiVersion: v1\nkind: Config\nusers:\n- name: a\n  user: {token: hunter2}\n",
        ] {
            let refusal = refusal(text).await;
            assert!(!refusal.contains("hunter2"), "{refusal}");
        }
    }
}
