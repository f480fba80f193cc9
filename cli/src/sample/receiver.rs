//! The sample's own on-call person: a webhook on loopback that checks the signature and prints the alert.
//!
//! In: deliveries of the correlator, as anybody's webhook gets them. Out: lines on the screen, once per change, and one line
//! for each in `alerts.jsonl` of the data folder, so that a start after a kill knows what was told before.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
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
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::data::DataFolder;
use crate::screen::Screen;
use fleet_runtime::outside_text::shown;

/// Where alerts are posted.
pub(crate) const PATH: &str = "/alerts";
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Ids that are remembered, so that a repeat is not printed twice.
const IDS_MAX: usize = 10_000;
const FILE: &str = "alerts.jsonl";
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The receiver.
#[derive(Debug, Clone)]
pub(crate) struct Receiver {
    key: Arc<[u8]>,
    screen: Screen,
    told: Arc<Mutex<Told>>,
}

/// The alerts that were told.
#[derive(Debug)]
struct Told {
    path: PathBuf,
    ids: BTreeSet<String>,
}

/// A line of `alerts.jsonl`.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    /// The message's id.
    id: Cow<'a, str>,
    /// `opened`, `updated` or `resolved`.
    change: Cow<'a, str>,
    case: Cow<'a, str>,
    rule: Cow<'a, str>,
}

#[derive(Deserialize)]
struct CloudEvent {
    #[serde(rename = "type")]
    event_type: String,
    data: AlertBody,
}

impl Receiver {
    /// A receiver with a key of its own.
    pub(crate) fn new(data: &DataFolder, screen: Screen) -> anyhow::Result<Receiver> {
        let mut key = [0; 32];
        std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut key)?;
        let told = Told::read(data.path().join(FILE)).context("read the alerts that were told")?;
        Ok(Receiver { key: key.into(), screen, told: Arc::new(Mutex::new(told)) })
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
        let Ok(CloudEvent { event_type, data }) = serde_json::from_slice(body) else {
            return StatusCode::BAD_REQUEST;
        };
        let line = Line {
            id: id.into(),
            change: change_of(&event_type).into(),
            case: data.case.id.as_str().into(),
            rule: data.case.rule.as_str().into(),
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match told.note(&line) {
            Ok(true) => self.screen.say(&alert(&data, self.screen)),
            Ok(false) => {}
            // It comes again.
            Err(error) => {
                tracing::warn!(%error, "failed to note an alert");
                return StatusCode::SERVICE_UNAVAILABLE;
            }
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

impl Told {
    fn read(path: PathBuf) -> std::io::Result<Told> {
        let mut text = String::new();
        match File::open(&path) {
            Ok(file) => {
                file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Line<'_>>(line).ok());
        let ids = lines.map(|line| line.id.into_owned()).collect();
        Ok(Told { path, ids })
    }

    /// Notes an alert. False: it was told before.
    fn note(&mut self, line: &Line<'_>) -> std::io::Result<bool> {
        if self.ids.contains(line.id.as_ref()) || self.ids.len() >= IDS_MAX {
            return Ok(false);
        }
        let text = serde_json::to_string(line)? + "\n";
        OpenOptions::new().create(true).append(true).open(&self.path)?.write_all(text.as_bytes())?;
        Ok(self.ids.insert(line.id.to_string()))
    }
}

/// The change in `dev.custody.case.opened.v1`.
fn change_of(event_type: &str) -> &str {
    event_type.rsplit('.').nth(1).unwrap_or_default()
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
    lines.extend(text.covered_by.iter().map(|covering| format!("       covered  {}", shown(covering))));
    lines.extend(text.resolution.iter().map(|resolution| format!("       because  {}", shown(resolution))));
    lines.push(format!("       next     {}", shown(&text.next_step)));
    lines.join("\n")
}
