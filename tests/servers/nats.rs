//! NATS with JetStream.

use harness::servers::nats::Nats;
use serde_json::Value;
use tempfile::tempdir;

#[tokio::test]
async fn nats_starts_with_jetstream() {
    let folder = tempdir().unwrap();
    let nats = Nats::start(folder.path()).await.unwrap();
    assert!(nats.url().starts_with("nats://127.0.0.1:"));
    let state: Value =
        harness::http::get(format!("{}/jsz", nats.monitoring_url())).await.unwrap().json().await.unwrap();
    assert_eq!(state["streams"], 0, "{state}");
}
