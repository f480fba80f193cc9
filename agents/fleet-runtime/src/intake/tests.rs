#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io;

use axum::body::Body;
use futures::stream;

use super::*;
use crate::bus::embedded::{EmbeddedBus, EmbeddedLimits, StreamLimits};
use crate::bus::{Bus, Stream};
use crate::settings::Secret;

const LIMITS: IntakeLimits = IntakeLimits {
    body_bytes_max: 100,
    read_time_max: Duration::from_millis(100),
    in_flight_max: 2,
    retry_after: Duration::from_secs(7),
};

async fn intake(data: &tempfile::TempDir, limits: EmbeddedLimits) -> (Intake, Arc<dyn Bus>) {
    let bus: Arc<dyn Bus> = EmbeddedBus::open(data.path(), limits).await.unwrap();
    (Intake::new("test-agent", LIMITS, DeadLetters::new(bus.clone())), bus)
}

fn request(body: impl Into<Body>) -> Request {
    Request::builder().method("POST").uri("/hook").body(body.into()).unwrap()
}

fn chunks(chunks: Vec<Bytes>) -> Body {
    Body::from_stream(stream::iter(chunks.into_iter().map(Ok::<_, io::Error>)))
}

fn anybody(_: &HeaderMap) -> Result<(), Refusal> {
    Ok(())
}

#[tokio::test]
async fn bodies_are_bounded_in_size_whatever_they_state() {
    let data = tempfile::tempdir().unwrap();
    let (intake, _bus) = intake(&data, EmbeddedLimits::default()).await;
    let taken = intake.receive(request(vec![1; 100]), anybody).await.unwrap();
    assert_eq!(taken.body.len(), 100);
    drop(taken);
    let too_large = Refusal::TooLarge { bytes_max: 100 };
    let endless = chunks(vec![Bytes::from(vec![0; 60]); 1000]);
    assert_eq!(intake.receive(request(endless), anybody).await.unwrap_err(), too_large);
    let mut stating = request(Body::empty());
    stating.headers_mut().insert(header::CONTENT_LENGTH, "104857600".parse().unwrap());
    assert_eq!(intake.receive(stating, anybody).await.unwrap_err(), too_large);
    assert_eq!(too_large.into_response().status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn slow_and_broken_bodies_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let (intake, _bus) = intake(&data, EmbeddedLimits::default()).await;
    let silent = Body::from_stream(stream::pending::<Result<Bytes, io::Error>>());
    assert_eq!(intake.receive(request(silent), anybody).await.unwrap_err(), Refusal::TooSlow);
    let broken =
        Body::from_stream(stream::iter([Ok(Bytes::from_static(b"{")), Err(io::Error::other("gone"))]));
    assert_eq!(intake.receive(request(broken), anybody).await.unwrap_err(), Refusal::Broken);
}

#[tokio::test]
async fn too_many_at_once_are_asked_to_come_again() {
    let data = tempfile::tempdir().unwrap();
    let (intake, _bus) = intake(&data, EmbeddedLimits::default()).await;
    let one = intake.receive(request("a"), anybody).await.unwrap();
    let _two = intake.receive(request("b"), anybody).await.unwrap();
    let busy = intake.receive(request("c"), anybody).await.unwrap_err().into_response();
    assert_eq!(
        (busy.status(), busy.headers()[header::RETRY_AFTER].as_bytes()),
        (StatusCode::SERVICE_UNAVAILABLE, &b"7"[..])
    );
    drop(one);
    assert!(intake.receive(request("c"), anybody).await.is_ok());
}

#[tokio::test]
async fn a_wrong_token_is_refused_before_the_body_is_read() {
    let data = tempfile::tempdir().unwrap();
    let (intake, _bus) = intake(&data, EmbeddedLimits::default()).await;
    let token = Secret::new("t0ken");
    let check = |headers: &HeaderMap| match is_token(&token, headers.get("authorization")) {
        true => Ok(()),
        false => Err(Refusal::Unauthenticated),
    };
    let with = |given: Option<&str>| {
        let mut request = request(Body::from_stream(stream::pending::<Result<Bytes, io::Error>>()));
        given.map(|text| request.headers_mut().insert("authorization", text.parse().unwrap()));
        request
    };
    for wrong in [None, Some(""), Some("t0ke"), Some("t0ken "), Some("T0ken"), Some("t0ken2")] {
        assert_eq!(
            intake.receive(with(wrong), check).await.unwrap_err(),
            Refusal::Unauthenticated,
            "{wrong:?}"
        );
    }
    assert_eq!(intake.receive(with(Some("t0ken")), check).await.unwrap_err(), Refusal::TooSlow);
    assert!(!is_token(&Secret::new(""), None));
}

#[tokio::test]
async fn what_is_not_understood_is_accepted_only_once_it_is_kept() {
    let data = tempfile::tempdir().unwrap();
    let no_room = StreamLimits { bytes_max: 10, age_max: Duration::from_secs(60), may_evict: false };
    let limits = EmbeddedLimits { dead_letters: no_room, ..EmbeddedLimits::default() };
    let (full, bus) = intake(&data, limits).await;
    let refused = full.not_understood("not JSON", None, Bytes::from_static(b"{")).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key(header::RETRY_AFTER));
    bus.close().await.unwrap();

    let (intake, bus) = intake(&data, EmbeddedLimits::default()).await;
    let accepted = intake.not_understood("not JSON", None, Bytes::from_static(b"{")).await;
    assert_eq!(accepted.status(), StatusCode::ACCEPTED);
    assert_eq!(bus.read(Stream::DeadLetters, 0, 10).await.unwrap().len(), 1);
}
