//! The sample's own on-call person: a webhook on loopback that checks the signature and prints the alert.
//!
//! In: deliveries of the correlator, as anybody's webhook gets them. Out: lines on the screen, once per change.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus_schema::case::CaseState;
use correlator_service::AlertBody;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::screen::Screen;
use fleet_runtime::outside_text::shown;

/// Where alerts are posted.
pub(crate) const PATH: &str = "/alerts";
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Ids that are remembered, so that a repeat is not printed twice.
const IDS_MAX: usize = 10_000;

/// The receiver.
#[derive(Debug, Clone)]
pub(crate) struct Receiver {
    key: Arc<[u8]>,
    screen: Screen,
    seen: Arc<Mutex<BTreeSet<String>>>,
}

#[derive(Deserialize)]
struct CloudEvent {
    data: AlertBody,
}

impl Receiver {
    /// A receiver with a key of its own.
    pub(crate) fn new(screen: Screen) -> anyhow::Result<Receiver> {
        let mut key = [0; 32];
        std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut key)?;
        Ok(Receiver { key: key.into(), screen, seen: Arc::default() })
    }

    /// The key as settings have it.
    pub(crate) fn secret(&self) -> String {
        format!("whsec_{}", STANDARD.encode(&self.key))
    }

    pub(crate) fn routes(&self) -> Router {
        Router::new()
            .route(PATH, post(receive))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(self.clone())
    }

    fn take(&self, headers: &HeaderMap, body: &[u8]) -> StatusCode {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (id, timestamp) = (text("webhook-id"), text("webhook-timestamp"));
        if !self.is_signed(id, timestamp, text("webhook-signature"), body) {
            return StatusCode::UNAUTHORIZED;
        }
        let Ok(CloudEvent { data }) = serde_json::from_slice(body) else { return StatusCode::BAD_REQUEST };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < IDS_MAX && seen.insert(id.to_owned()) {
            self.screen.say(&alert(&data, self.screen));
        }
        StatusCode::NO_CONTENT
    }

    /// Standard Webhooks: HMAC-SHA256 over id, timestamp and body.
    fn is_signed(&self, id: &str, timestamp: &str, signatures: &str, body: &[u8]) -> bool {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return false };
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        signatures.split(' ').any(|found| expected.as_bytes().ct_eq(found.as_bytes()).into())
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    receiver.take(&headers, &body)
}

/// An alert in a few lines.
fn alert(body: &AlertBody, screen: Screen) -> String {
    let paint = screen.paint;
    let (case, text) = (&body.case, &body.text);
    let title = shown(&text.title);
    let mut lines = vec![match case.state {
        CaseState::Resolved => format!("{}  {title}", paint.good("ALERT")),
        _ => format!("{}  {title}", paint.bad("ALERT")),
    }];
    lines.extend(text.what.iter().map(|what| format!("       {}", shown(what))));
    for link in &text.links {
        lines.extend(link.expected.iter().map(|expected| format!("       expected {}", shown(expected))));
        lines.extend(link.found.iter().map(|found| format!("       found    {}", shown(found))));
    }
    lines.extend(text.runs_at.iter().map(|place| format!("       runs at  {}", shown(place))));
    lines.extend(text.resolution.iter().map(|resolution| format!("       because  {}", shown(resolution))));
    lines.push(format!("       next     {}", shown(&text.next_step)));
    lines.join("\n")
}
