//! Sending a webhook the way GitHub does: signed over the exact bytes.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// GitHub gives up after ten seconds.
const ANSWER_SECONDS_MAX: u64 = 10;

/// One webhook, not yet sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The value of `X-GitHub-Event`.
    pub event: String,
    pub body: Value,
}

impl Delivery {
    pub fn new(event: &str, body: Value) -> Delivery {
        Delivery { event: event.to_owned(), body }
    }

    /// The bytes that are signed and sent.
    pub fn bytes(&self) -> Vec<u8> {
        self.body.to_string().into_bytes()
    }
}

/// `sha256=` and the HMAC of the body.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map(|mut mac| {
        mac.update(body);
        hex::encode(mac.finalize().into_bytes())
    });
    format!("sha256={}", mac.unwrap_or_default())
}

/// Signs and posts a delivery as it is. Answers the status.
pub async fn post(url: &str, secret: &str, delivery: &Delivery) -> anyhow::Result<u16> {
    let body = delivery.bytes();
    let id = hex::encode(&Sha256::digest(&body)[..16]);
    let response = reqwest::Client::new()
        .post(url)
        .timeout(Duration::from_secs(ANSWER_SECONDS_MAX))
        .header("content-type", "application/json")
        .header("user-agent", "GitHub-Hookshot/stand-in")
        .header("x-github-event", delivery.event.as_str())
        .header("x-github-delivery", id)
        .header("x-hub-signature-256", signature(secret, &body))
        .body(body)
        .send()
        .await?;
    Ok(response.status().as_u16())
}
