//! One signed request, and what the answer means.

use std::sync::Arc;
use std::time::Duration;

use fleet_runtime::error_chain;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url, redirect};

use super::address::GuardedResolver;
use super::sign::signature;
use crate::settings::AlertSettings;

/// How much of an answer is read: it means nothing to us beyond its status.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// No receiver makes us wait longer than this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CLOUDEVENT: &str = "application/cloudevents+json; charset=utf-8";

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Accepted,
    /// It may go better later.
    Later {
        reason: String,
        retry_after: Option<Duration>,
        whole_sink: bool,
    },
    /// The receiver does not want it as it is.
    Refused {
        reason: String,
    },
}

/// A client for one webhook.
#[derive(Debug)]
pub(super) struct Webhook {
    client: Client,
    settings: AlertSettings,
}

impl Webhook {
    pub(super) fn new(settings: AlertSettings) -> Result<Webhook, reqwest::Error> {
        let mut builder = Client::builder()
            // A redirect would take the signed alert to an address that nobody chose.
            .redirect(redirect::Policy::none())
            // A proxy would resolve names where we cannot see what they mean.
            .no_proxy()
            .dns_resolver(Arc::new(GuardedResolver { reach: settings.reach }))
            .connect_timeout(CONNECT_TIMEOUT.min(settings.timeout))
            .timeout(settings.timeout)
            .pool_max_idle_per_host(1)
            .user_agent(concat!("custody/", env!("CARGO_PKG_VERSION")));
        if !settings.certificates.is_empty() {
            builder = builder.tls_certs_merge(settings.certificates.iter().cloned());
        }
        Ok(Webhook { client: builder.build()?, settings })
    }

    pub(super) async fn send(&self, id: &str, body: Vec<u8>) -> Answer {
        let timestamp = Timestamp::now().as_second();
        let Some(signature) = signature(&self.settings.secret, id, timestamp, &body) else {
            return Answer::Refused { reason: "the secret makes no key".to_owned() };
        };
        let url: Url = self.settings.url.clone();
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, CLOUDEVENT)
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(body);
        match request.send().await {
            Ok(mut response) => {
                let answer = judge(response.status(), response.headers(), Timestamp::now());
                // Read to its end, so that the connection can be used again; what is longer is cut off with it.
                let mut read = 0;
                while let Ok(Some(chunk)) = response.chunk().await {
                    read += chunk.len();
                    if read > ANSWER_BYTES_MAX {
                        break;
                    }
                }
                answer
            }
            // The address of a webhook may hold a secret path.
            Err(error) => Answer::Later {
                reason: error_chain(&error.without_url()),
                retry_after: None,
                whole_sink: true,
            },
        }
    }
}

fn judge(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Answer {
    let reason = format!("it answered {}", status.as_u16());
    let retry_after = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| fleet_runtime::retry_after(text, now, RETRY_AFTER_MAX));
    match status.as_u16() {
        200..=299 => Answer::Accepted,
        429 => Answer::Later { reason, retry_after, whole_sink: true },
        503 => Answer::Later { reason, retry_after, whole_sink: retry_after.is_some() },
        408 | 425 | 500..=599 => Answer::Later { reason, retry_after, whole_sink: false },
        _ => Answer::Refused { reason },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let answer = |status: u16, retry_after: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(text) = retry_after {
                headers.insert(RETRY_AFTER, text.parse().unwrap());
            }
            judge(StatusCode::from_u16(status).unwrap(), &headers, now)
        };
        assert_eq!(answer(204, None), Answer::Accepted);
        for refused in [301, 302, 307, 400, 401, 404, 410] {
            assert!(matches!(answer(refused, None), Answer::Refused { .. }), "{refused}");
        }
        for later in [408, 429, 500, 502, 503] {
            assert!(matches!(answer(later, None), Answer::Later { retry_after: None, .. }), "{later}");
        }
        let waits = |text: &str| match answer(429, Some(text)) {
            Answer::Later { retry_after, .. } => retry_after.map(|pause| pause.as_secs()),
            other => panic!("{other:?}"),
        };
        assert_eq!(waits("7"), Some(7));
        assert_eq!(waits("Sun, 01 Mar 2026 12:00:30 GMT"), Some(30));
        assert_eq!(waits("Sun, 01 Mar 2026 11:00:00 GMT"), Some(0));
        assert_eq!(waits("99999999999"), Some(3600));
        assert_eq!(waits("soon"), None);
    }
}
