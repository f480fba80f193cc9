//! The JSON API on loopback: what the command line and people ask the correlator.
//!
//! In: requests whose `Host` is a name of this machine. Out: JSON of the types in [`types`]. `GET` changes nothing; what
//! changes something is a `POST` that a page of another site cannot send.

mod answer;
mod dead_letters;
mod fleet;
mod guard;
mod routes;
pub mod types;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use fleet_runtime::bus::Bus;
use fleet_runtime::instance::Instance;
use tokio::sync::Semaphore;

use crate::deliver::Resend;
use crate::query::Answers;
use crate::settings::ApiSettings;

/// Where everything lies.
pub const PREFIX: &str = "/api/v1";
/// A request that changes something carries this header, with any value: a page of another site cannot add it.
pub const CHANGE_HEADER: &str = "x-custody";
/// No request needs more than a list of numbers.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What requests are answered from.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) answers: Answers,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) resend: Arc<Resend>,
    hosts: Arc<Vec<String>>,
    /// Who answers, as every answer says.
    instance: Instance,
    places: Arc<Semaphore>,
}

impl Api {
    pub(crate) fn new(
        settings: &ApiSettings,
        instance: Instance,
        answers: Answers,
        bus: Arc<dyn Bus>,
        resend: Resend,
    ) -> Api {
        Api {
            answers,
            bus,
            resend: Arc::new(resend),
            hosts: Arc::new(settings.hosts.clone()),
            instance,
            places: Arc::new(Semaphore::new(settings.requests_in_flight_max)),
        }
    }

    /// The routes, with their guards around them.
    pub(crate) fn router(self) -> Router {
        let routes = Router::new()
            .route("/status", get(routes::status))
            .route("/fleet", get(fleet::fleet))
            .route("/trace", get(routes::trace))
            .route("/where", get(routes::places))
            .route("/cases", get(routes::cases))
            .route("/cases/{id}", get(routes::case))
            .route("/verdicts", get(routes::verdicts))
            .route("/contracts", get(routes::contracts))
            .route("/log/head", get(routes::log_head))
            .route("/log/verify", get(routes::log_verify))
            .route("/deadletters", get(dead_letters::list))
            .route("/deadletters/{number}", get(dead_letters::show))
            .route("/deadletters/replay", post(dead_letters::replay))
            .route("/deadletters/discard", post(dead_letters::discard))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .fallback(routes::nothing)
            .with_state(self.clone());
        Router::new()
            .nest(PREFIX, routes)
            .fallback(routes::nothing)
            .layer(from_fn_with_state(self, guard::guard))
    }
}
