//! The addresses at which a process listens.

use std::net::SocketAddr;

use anyhow::Context;
use axum::Router;
use fleet_runtime::http::{self, HttpLimits};

use crate::exit::Failure;
use crate::house::House;

/// Serves routes at an address of the settings, named by its section; tells where.
pub(crate) async fn serve(
    house: &mut House,
    section: &'static str,
    address: SocketAddr,
    routes: Router,
) -> anyhow::Result<String> {
    let listener = http::bind(address).await.map_err(|error| {
        let said = fleet_runtime::error_chain(&error);
        Failure::unreachable(format!("{said}: choose another address with [{section}] listen"))
    })?;
    let bound = format!("http://{}", listener.local_addr().context("tell the port of a listener")?);
    let serving = http::serve(listener, routes, HttpLimits::default(), house.tasks.stop());
    house.tasks.spawn(section, async move { Ok(serving.await?) });
    Ok(bound)
}

/// Serves health and metrics.
pub(crate) async fn serve_operations(house: &mut House, address: SocketAddr) -> anyhow::Result<String> {
    let routes = fleet_runtime::operations::router(house.health.clone(), house.metrics.clone());
    serve(house, "operations", address, routes).await
}
