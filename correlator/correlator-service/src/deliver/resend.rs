//! Sends an alert again that was given up, when a person asks for it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::webhook::{Answer, Webhook};
use crate::settings::AlertSettings;

/// Dead letters of alerts begin their source with this; the webhook's name follows.
const SOURCE_PREFIX: &str = "alert-";

/// Why an alert was not sent again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResendError {
    #[error("the settings name no webhook {0:?}")]
    UnknownSink(String),
    #[error("what was kept is no alert")]
    NotAnAlert(#[source] serde_json::Error),
    #[error("the webhook did not take it: {0}")]
    NotTaken(String),
}

/// The webhooks of the settings, by name.
#[derive(Debug, Default)]
pub(crate) struct Resend {
    webhooks: BTreeMap<String, Webhook>,
}

/// The part of a kept alert that is needed: the same id says that it is the same alert.
#[derive(Deserialize)]
struct Kept {
    id: String,
}

/// The source of a dead letter of an alert.
pub(super) fn source(sink: &str) -> String {
    format!("{SOURCE_PREFIX}{sink}")
}

impl Resend {
    pub(crate) fn new(alerts: &[AlertSettings]) -> Result<Resend, reqwest::Error> {
        let webhook = |alert: &AlertSettings| Ok((alert.name().to_owned(), Webhook::new(alert.clone())?));
        Ok(Resend { webhooks: alerts.iter().map(webhook).collect::<Result<_, reqwest::Error>>()? })
    }

    /// Whether a dead letter of this source is an alert.
    pub(crate) fn is_alert(source: &str) -> bool {
        source.starts_with(SOURCE_PREFIX)
    }

    /// Sends what was kept of an alert once more, under its id.
    pub(crate) async fn send(&self, source: &str, body: Vec<u8>) -> Result<(), ResendError> {
        let sink = source.strip_prefix(SOURCE_PREFIX).unwrap_or(source);
        let webhook = self.webhooks.get(sink).ok_or_else(|| ResendError::UnknownSink(sink.to_owned()))?;
        let kept: Kept = serde_json::from_slice(&body).map_err(ResendError::NotAnAlert)?;
        match webhook.send(&kept.id, body).await {
            Answer::Accepted => Ok(()),
            Answer::Later { reason, .. } | Answer::Refused { reason } => Err(ResendError::NotTaken(reason)),
        }
    }
}
