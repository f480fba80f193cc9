//! A registry that serves the images of the load over HTTP, and knows neither tags nor referrers beyond them.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::images::Images;

pub(crate) struct Registry {
    address: SocketAddr,
    _stopped_on_drop: DropGuard,
}

impl Registry {
    pub(crate) async fn start(images: Arc<Images>) -> Registry {
        let socket = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let routes = Router::new().fallback(answer).with_state(images);
        tokio::spawn(async move { axum::serve(socket, routes).with_graceful_shutdown(stopped).await });
        Registry { address, _stopped_on_drop: stop.drop_guard() }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn answer(State(images): State<Arc<Images>>, uri: Uri) -> Response {
    let Some(path) = uri.path().strip_prefix("/v2/") else { return StatusCode::NOT_FOUND.into_response() };
    match images.served(path) {
        None if path.is_empty() => StatusCode::OK.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
        Some((media_type, bytes)) => ([(header::CONTENT_TYPE, media_type)], bytes).into_response(),
    }
}
