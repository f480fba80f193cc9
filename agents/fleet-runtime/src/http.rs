//! Serving HTTP with bounds on connections and silence.
//!
//! In: a router and an address. Out: served requests until the stop, then those in hand. A connection that says
//! nothing for too long is closed, so that slow senders cannot hold every place.

mod guarded;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The bounds of one listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Connections held at once; more wait in the system's backlog.
    pub connections_max: usize,
    /// How long a connection may be silent, in both directions.
    pub silence_max: Duration,
}

impl Default for HttpLimits {
    fn default() -> HttpLimits {
        HttpLimits { connections_max: 256, silence_max: Duration::from_secs(60) }
    }
}

/// Why nothing could be served.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("cannot listen on {address}")]
    Bind { address: SocketAddr, source: std::io::Error },
    #[error("serving ended")]
    Serve(#[source] std::io::Error),
}

pub async fn bind(address: SocketAddr) -> Result<TcpListener, HttpError> {
    TcpListener::bind(address).await.map_err(|source| HttpError::Bind { address, source })
}

/// Serves until `stop`, then finishes the requests in hand (the caller's drain bounds how long).
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: HttpLimits,
    stop: CancellationToken,
) -> Result<(), HttpError> {
    let guarded = guarded::Guarded::new(listener, limits);
    axum::serve(guarded, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
        .map_err(HttpError::Serve)
}

#[cfg(test)]
mod tests;
