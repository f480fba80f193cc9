//! Agents that were taken out of the settings: nobody takes their questions any more, and what waits for them
//! would fill the stream of questions, until nobody can be asked anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use bus_schema::AgentId;
use fleet_runtime::bus::{Bus, BusError, Stream};

use crate::settings::AgentGrant;

/// Removes the consumers of questions that belong to no listed agent.
pub(super) async fn forget(
    bus: &Arc<dyn Bus>,
    agents: &BTreeMap<AgentId, AgentGrant>,
) -> Result<(), BusError> {
    let streams = bus.standing().await?.streams.into_iter();
    let readers = streams.filter(|one| one.stream == Stream::Questions).flat_map(|one| one.consumers);
    for reader in readers {
        if agents.keys().any(|agent| agent.as_str() == reader.name) {
            continue;
        }
        bus.remove_consumer(Stream::Questions, &reader.name).await?;
        tracing::warn!(
            agent = reader.name,
            waiting = reader.waiting + reader.unsettled,
            "removed the consumer of questions of an agent that the settings do not list; a bucket OBJ_blobs-{} on NATS servers \
             still has its room reserved, until somebody removes it (`nats stream rm`)",
            reader.name
        );
    }
    Ok(())
}
