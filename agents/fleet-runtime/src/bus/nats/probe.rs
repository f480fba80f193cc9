//! Whether each server takes a process as the settings have it: for people who set it up. Nothing is made or said there.

use std::time::Duration;

use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use super::declared::MESSAGE_BYTES_MAX;
use super::link::Link;
use super::settings::NatsSettings;
use crate::bus::BusError;

/// How long somebody waits for one server at most.
const CONNECT_WITHIN_MAX: Duration = Duration::from_secs(5);

/// One server of the settings.
#[derive(Debug)]
pub struct Probed {
    /// Its host and port, as the settings have them.
    pub address: String,
    /// What it says of itself, or why it did not take the connection.
    pub answer: Result<Answered, BusError>,
}

/// What a server says of itself to whoever it lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    pub name: String,
    pub version: String,
    /// Whether it keeps streams itself. Others of its cluster may for it.
    pub has_jetstream: bool,
    pub message_bytes_max: usize,
}

impl Answered {
    /// The largest message that a fleet sends, in bytes.
    pub const MESSAGE_BYTES_NEEDED: usize = MESSAGE_BYTES_MAX;
}

/// Connects to each server with the login of the settings, and leaves again.
pub async fn probe(settings: &NatsSettings) -> Vec<Probed> {
    let probes = settings.servers.iter().map(|server| {
        let mut alone = settings.clone();
        alone.servers = vec![server.clone()];
        alone.waits_for_servers = false;
        alone.connect_within = settings.connect_within.min(CONNECT_WITHIN_MAX);
        let address = format!("{}:{}", server.host(), server.port());
        async move { Probed { address, answer: answer(&alone).await } }
    });
    join_all(probes).await
}

async fn answer(alone: &NatsSettings) -> Result<Answered, BusError> {
    let closed = CancellationToken::new();
    let link = Link::connect(alone, closed.clone()).await?;
    let info = link.client().server_info();
    closed.cancel();
    Ok(Answered {
        name: info.server_name,
        version: info.version,
        has_jetstream: info.jetstream,
        message_bytes_max: info.max_payload,
    })
}
