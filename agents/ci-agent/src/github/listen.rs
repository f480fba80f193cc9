//! The agent's side of the webhook intake.

use std::sync::Arc;

use fleet_runtime::publisher::Publisher;
use github_client::intake::Receiver;
use github_client::receiving::Receiving;

use super::translate::Translation;

/// Hands deliveries to this agent's translation and its events to the bus.
pub fn receiver(publisher: Publisher) -> Arc<dyn Receiver> {
    Arc::new(Receiving::new(publisher, Translation))
}
