//! Serving HTTP/1.1 with bounds on connections, silence and the time of a request's head.
//!
//! In: a router and an address. Out: served requests until the stop, then those in hand. A connection that says nothing for
//! too long, or whose next request does not begin with a whole head in time, is closed: a sender that says a byte now and
//! then keeps no place. How long a body may take is the router's.

mod guarded;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::guarded::{Connection, Guarded};

/// The bounds of one listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Connections held at once; more wait in the system's backlog.
    pub connections_max: usize,
    /// How long a connection may be silent, in both directions.
    pub silence_max: Duration,
    /// How long a connection may take to say the whole head of its first or next request.
    pub head_time_max: Duration,
}

impl Default for HttpLimits {
    fn default() -> HttpLimits {
        HttpLimits {
            connections_max: 256,
            silence_max: Duration::from_secs(60),
            head_time_max: Duration::from_secs(20),
        }
    }
}

/// Why nothing could be served.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("cannot listen on {address}")]
    Bind { address: SocketAddr, source: std::io::Error },
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
    let mut guarded = Guarded::new(listener, limits);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            connection = guarded.accept() => {
                connections.spawn(answer(connection, router.clone(), limits.head_time_max, stop.clone()));
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    drop(guarded);
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// Answers one connection until its end, or until the request in hand at the stop is answered.
async fn answer(connection: Connection, router: Router, head_time_max: Duration, stop: CancellationToken) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head_time_max);
    let answering = builder.serve_connection(TokioIo::new(connection), TowerToHyperService::new(router));
    let mut answering = std::pin::pin!(answering);
    let ended = tokio::select! {
        ended = &mut answering => ended,
        () = stop.cancelled() => {
            answering.as_mut().graceful_shutdown();
            answering.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = crate::error_chain(&error), "a connection ended early");
    }
}

#[cfg(test)]
mod tests;
