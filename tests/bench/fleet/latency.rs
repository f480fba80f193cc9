//! How long it takes from the publishing of an event to the alert at the receiver, at a steady rate of events.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::ensure;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::load::{EVENTS_PER_IMAGE, Load, Signatures};
use crate::place::{Place, Sync};

const SECONDS: u64 = 30;
const ALERTS_PER_SECOND: u64 = 10;
const TOLD_WITHIN: Duration = Duration::from_secs(120);
/// Images of the load are numbered below this, those of alerts from here on.
const FIRST_ALERT: u64 = 1_000_000;

/// Times in milliseconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Latency {
    pub(crate) events_per_second: u64,
    pub(crate) alerts: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

/// When the first alert about each image came.
type Told = Arc<Mutex<BTreeMap<String, Instant>>>;

pub(crate) async fn measure() -> anyhow::Result<Vec<Latency>> {
    let told = Told::default();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/custody", listener.local_addr()?);
    let routes = Router::new().fallback(receive).with_state(Arc::clone(&told));
    let serving = tokio::spawn(async move { axum::serve(listener, routes).await });
    let place = Place::new(Sync::Default).await?;
    let load = Load::new("latency", &place.contracts(), false).await?;
    let mut correlator = place.correlator(Some(&url)).await?;
    let (mut latencies, mut next_image, mut next_alert) = (Vec::new(), 0, FIRST_ALERT);
    for events_per_second in [100, 1000] {
        let images = (events_per_second - ALERTS_PER_SECOND) * SECONDS / EVENTS_PER_IMAGE as u64;
        let mut messages = load.images(next_image..next_image + images, Signatures::Key).await?.into_iter();
        next_image += images;
        let alert_every = events_per_second / ALERTS_PER_SECOND;
        let mut sent: BTreeMap<String, Instant> = BTreeMap::new();
        let before = correlator.done().await?;
        let began = Instant::now();
        let mut published = 0;
        let mut confirming = tokio::task::JoinSet::new();
        for event in 0..events_per_second * SECONDS {
            // Time goes on whatever waits: an event that is held up counts from when it should have been sent.
            let due = began + Duration::from_secs_f64(event as f64 / events_per_second as f64);
            tokio::time::sleep_until(due.into()).await;
            let message = if event % alert_every == 0 {
                sent.insert(load.digest(next_alert).to_string(), due);
                next_alert += 1;
                load.pushed_by_a_person(next_alert - 1)?
            } else {
                match messages.next() {
                    Some(message) => message,
                    None => continue,
                }
            };
            let confirmed = place.wire.send(message).await?;
            published += 1;
            confirming.spawn(async move { confirmed.await.map(|_| ()) });
            while let Some(confirmed) = confirming.try_join_next() {
                confirmed??;
            }
        }
        let waited = Instant::now();
        while lock(&told).keys().filter(|digest| sent.contains_key(*digest)).count() < sent.len() {
            ensure!(waited.elapsed() < TOLD_WITHIN, "{} of {} alerts came", lock(&told).len(), sent.len());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        while let Some(confirmed) = confirming.join_next().await {
            confirmed??;
        }
        // What is still to be judged would weigh on the next rate.
        correlator.judged(before, published).await?;
        let told = lock(&told);
        let mut times: Vec<f64> = sent
            .iter()
            .filter_map(|(digest, at)| {
                told.get(digest).map(|told| told.duration_since(*at).as_secs_f64() * 1e3)
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
        latencies.push(Latency {
            events_per_second,
            alerts: times.len(),
            p50_ms: at(50),
            p99_ms: at(99),
            max_ms: at(100),
        });
    }
    correlator.stop().await?;
    serving.abort();
    Ok(latencies)
}

async fn receive(State(told): State<Told>, body: Bytes) -> StatusCode {
    let now = Instant::now();
    let alert: Value = serde_json::from_slice(&body).unwrap_or_default();
    let subject = alert["data"]["case"]["subject"].as_str().unwrap_or_default();
    if let Some(start) = subject.find("sha256:") {
        let digest = subject[start..].chars().take("sha256:".len() + 64).collect();
        lock(&told).entry(digest).or_insert(now);
    }
    StatusCode::ACCEPTED
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
