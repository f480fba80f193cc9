//! The operator's side of a process over HTTP: `/healthz`, `/readyz` and `/metrics`.
//!
//! Bound to loopback unless the settings say otherwise: the answers name parts and reasons.

use std::net::{Ipv4Addr, SocketAddr};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use crate::health::{Health, Report};
use crate::metrics::Metrics;

pub const DEFAULT_PORT: u16 = 9464;
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The address when none is set.
pub fn default_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT))
}

/// The routes of a process, whose metrics show its checks from now on. Once per process.
pub fn router(health: Health, metrics: Metrics) -> Router {
    health.show_in(&metrics);
    let instance = health.instance().clone();
    let say_who = move |mut response: Response| {
        instance.sign(response.headers_mut());
        std::future::ready(response)
    };
    let health_routes = Router::new()
        .route(
            "/healthz",
            get(|State(health): State<Health>| async move { answer(health.report(), |r| r.alive) }),
        )
        .route(
            "/readyz",
            get(|State(health): State<Health>| async move { answer(health.report(), |r| r.ready) }),
        )
        .with_state(health);
    let metrics_routes = Router::new()
        .route(
            "/metrics",
            get(|State(metrics): State<Metrics>| async move {
                ([(header::CONTENT_TYPE, OPENMETRICS)], metrics.text())
            }),
        )
        .with_state(metrics);
    health_routes.merge(metrics_routes).layer(map_response(say_who))
}

fn answer(report: Report, is_good: impl Fn(&Report) -> bool) -> Response {
    let status = if is_good(&report) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}
