#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::health::Health;
use crate::metrics::{FleetMetrics, Metrics};
use crate::operations;

const LIMITS: HttpLimits = HttpLimits {
    connections_max: 2,
    silence_max: Duration::from_millis(300),
    head_time_max: Duration::from_secs(1),
};

struct Served {
    address: SocketAddr,
    health: Health,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<Result<(), HttpError>>,
}

async fn serve_operations() -> Served {
    let metrics = Metrics::new();
    FleetMetrics::new(&metrics).agent("ci-agent").seen("workflow_run");
    let health = Health::default();
    let listener = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let router = operations::router(health.clone(), metrics);
    let serving = tokio::spawn(serve(listener, router, LIMITS, stop.clone()));
    Served { address, health, stop, serving }
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_operators_pages_tell_the_truth() {
    let served = serve_operations().await;
    let check = served.health.check("bus");
    let before = get(served.address, "/readyz").await;
    assert!(before.starts_with("HTTP/1.1 503") && before.contains(r#""state":"starting""#), "{before}");
    assert!(get(served.address, "/healthz").await.starts_with("HTTP/1.1 200"));
    check.ready();
    assert!(get(served.address, "/readyz").await.starts_with("HTTP/1.1 200"));
    check.failing("the disk is full");
    let failing = get(served.address, "/readyz").await;
    assert!(
        failing.starts_with("HTTP/1.1 503") && failing.contains(r#""reason":"the disk is full""#),
        "{failing}"
    );
    check.ended("the writer is gone");
    assert!(get(served.address, "/healthz").await.starts_with("HTTP/1.1 503"));
    let metrics = get(served.address, "/metrics").await;
    assert!(
        metrics.contains("openmetrics-text") && metrics.contains("custody_events_seen_total"),
        "{metrics}"
    );
    served.stop.cancel();
    served.serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn silent_connections_are_closed_and_make_place_for_others() {
    let served = serve_operations().await;
    let mut silent = Vec::new();
    for _ in 0..LIMITS.connections_max {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(b"GET /healthz HT").await.unwrap();
        silent.push(stream);
    }
    let began = std::time::Instant::now();
    assert!(get(served.address, "/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(began.elapsed() >= LIMITS.silence_max / 2, "the bound did not hold");
    let mut rest = Vec::new();
    silent[0].read_to_end(&mut rest).await.unwrap();
    served.stop.cancel();
    served.serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_byte_now_and_then_keeps_no_place() {
    let served = serve_operations().await;
    let dribbling: Vec<_> = (0..LIMITS.connections_max)
        .map(|_| {
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(served.address).await.unwrap();
                stream.write_all(b"GET /healthz HTTP/1.1\r\nx: ").await.unwrap();
                while stream.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(LIMITS.silence_max / 6).await;
                }
            })
        })
        .collect();
    tokio::time::sleep(LIMITS.silence_max).await;
    let got = tokio::time::timeout(LIMITS.head_time_max * 5, get(served.address, "/healthz")).await;
    assert!(got.expect("every place is held").starts_with("HTTP/1.1 200"));
    for task in dribbling {
        tokio::time::timeout(LIMITS.head_time_max * 5, task).await.expect("it is still heard").unwrap();
    }
    served.stop.cancel();
    served.serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_in_hand_at_the_stop_is_answered() {
    let (begun, go_on) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let (tell, wait) = (begun.clone(), go_on.clone());
    let slow = axum::routing::get(move || async move {
        tell.notify_one();
        wait.notified().await;
        "done"
    });
    let listener = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve(listener, Router::new().route("/", slow), LIMITS, stop.clone()));
    let asking = tokio::spawn(async move { get(address, "/").await });
    begun.notified().await;
    stop.cancel();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!serving.is_finished());
    go_on.notify_one();
    assert!(asking.await.unwrap().ends_with("done"));
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let served = serve_operations().await;
    let second = bind(served.address).await.unwrap_err();
    assert!(second.to_string().contains(&served.address.to_string()));
}
