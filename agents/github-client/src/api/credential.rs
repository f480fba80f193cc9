//! With what the agent presents itself to the forge's API.

use fleet_runtime::settings::Secret;

/// A credential for reading.
#[derive(Debug, Clone)]
pub enum Credential {
    /// Public facts only, with a small rate limit.
    None,
    /// A fine-grained personal access token.
    Token(Secret),
    /// A GitHub App: its key makes tokens that live an hour.
    App(AppCredential),
}

/// An installation of a GitHub App.
#[derive(Debug, Clone)]
pub struct AppCredential {
    pub app_id: u64,
    pub installation_id: u64,
    pub private_key_pem: Secret,
}
