//! A loopback listener that keeps what it is sent, such as a registry's notifications.
//!
//! In: POST requests of any path. Out: their path, headers and bodies, in order of arrival. The answer is chosen by the test.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// One request, as it came.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    shared: Arc<Shared>,
    _stopped_on_drop: DropGuard,
}

#[derive(Debug)]
struct Shared {
    received: Mutex<Vec<Received>>,
    count: watch::Sender<usize>,
    answer: Mutex<StatusCode>,
}

impl Listener {
    /// Begins to listen; answers 202.
    pub async fn start() -> anyhow::Result<Self> {
        let socket = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.context("listen")?;
        let address = socket.local_addr()?;
        let shared = Arc::new(Shared {
            received: Mutex::default(),
            count: watch::channel(0).0,
            answer: Mutex::new(StatusCode::ACCEPTED),
        });
        let routes = Router::new().fallback(receive).with_state(Arc::clone(&shared));
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move { axum::serve(socket, routes).with_graceful_shutdown(stopped).await });
        Ok(Self { address, shared, _stopped_on_drop: stop.drop_guard() })
    }

    /// The address below which every path is accepted, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Chooses the answer to the requests that follow.
    pub fn answer(&self, status: StatusCode) {
        *self.shared.answer.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// Everything that came until now.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the first request, of those that came and those to come, that the test is looking for.
    pub async fn wait_for(
        &self,
        limit: Duration,
        mut wanted: impl FnMut(&Received) -> bool,
    ) -> anyhow::Result<Received> {
        let mut counted = self.shared.count.subscribe();
        let found = async {
            loop {
                counted.borrow_and_update();
                if let Some(request) = self.received().into_iter().find(&mut wanted) {
                    return Some(request);
                }
                counted.changed().await.ok()?;
            }
        };
        match tokio::time::timeout(limit, found).await {
            Ok(Some(request)) => Ok(request),
            _ => bail!(
                "what was waited for did not come within {limit:?}; {} requests came",
                self.received().len()
            ),
        }
    }
}

async fn receive(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let request = Received { method, path: uri.path().to_owned(), headers, body };
    let count = {
        let mut received = shared.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.push(request);
        received.len()
    };
    shared.count.send_replace(count);
    *shared.answer.lock().unwrap_or_else(PoisonError::into_inner)
}
