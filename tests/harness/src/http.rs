//! How tests ask over HTTP: an answer that does not come is an error, and nothing waits for ever.

use std::time::Duration;

use reqwest::{Client, IntoUrl, Response};

/// How long an answer may take on a busy machine.
pub const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// A client of the runtime that it is made in.
pub fn client() -> reqwest::Result<Client> {
    Client::builder().timeout(ANSWERED_WITHIN).build()
}

/// The answer to one GET.
pub async fn get(url: impl IntoUrl) -> reqwest::Result<Response> {
    client()?.get(url).send().await
}
