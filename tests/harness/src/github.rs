//! A stand-in for GitHub: a model of repositories, a REST API over it on loopback, and signed webhooks.
//!
//! In: what happens at the forge, said by the test (`push`, `merge`, `start_run`, …). Out: the answers that GitHub would
//! give, and deliveries that the test sends, repeats or loses. Every body is validated against GitHub's OpenAPI
//! description where the fixtures have it; what does not fit is kept in [`GithubStandIn::violations`]. It knows nothing
//! of what it is used for.

pub mod deliver;
pub mod git;
pub mod model;
pub mod openapi;
pub mod run;
pub mod shape;
pub mod story;

mod answer;
mod compare;
mod serve;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;

pub use deliver::Delivery;
pub use model::{Fault, Model, Person, Repository};
pub use story::MergeMethod;

/// The stand-in while it runs; it ends when this is dropped.
#[derive(Debug)]
pub struct GithubStandIn {
    address: String,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    model: Mutex<Model>,
    violations: Mutex<Vec<String>>,
    requests: Mutex<Vec<String>>,
}

impl GithubStandIn {
    /// Starts on a free port of loopback, as the forge `github.com`.
    pub async fn start() -> anyhow::Result<GithubStandIn> {
        GithubStandIn::start_as("github.com").await
    }

    /// Starts as another forge: the host that repositories and pages name.
    pub async fn start_as(host: &str) -> anyhow::Result<GithubStandIn> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared {
            model: Mutex::new(Model::new(host, &address)),
            violations: Mutex::default(),
            requests: Mutex::default(),
        });
        let router = serve::router(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            // The task is aborted with the stand-in; an error before that shows in the tests as no answer.
            let _ = axum::serve(listener, router).await;
        });
        Ok(GithubStandIn { address, shared, server })
    }

    /// Where its REST API is.
    pub fn api_url(&self) -> &str {
        &self.address
    }

    /// The model, to be changed by the test.
    pub fn model(&self) -> MutexGuard<'_, Model> {
        lock(&self.shared.model)
    }

    /// Bodies that did not fit GitHub's description. Tests end by checking that there are none.
    pub fn violations(&self) -> Vec<String> {
        lock(&self.shared.violations).clone()
    }

    /// The paths asked so far, with their queries.
    pub fn requests(&self) -> Vec<String> {
        lock(&self.shared.requests).clone()
    }

    /// Validates a delivery, signs it and posts it. Answers the status.
    pub async fn deliver(&self, url: &str, secret: &str, delivery: &Delivery) -> anyhow::Result<u16> {
        self.shared.note(openapi::check_webhook(delivery));
        deliver::post(url, secret, delivery).await
    }
}

impl Drop for GithubStandIn {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    pub(crate) fn note(&self, violations: Vec<String>) {
        lock(&self.violations).extend(violations);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
