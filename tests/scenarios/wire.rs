//! The way from the outbox to the bus: what is sent comes late, twice, in another order or not at all, and so do the answers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus_schema::Digest;
use bytes::Bytes;
use fleet_runtime::bus::{
    Blobs, Bus, BusError, BusStanding, Consumer, ConsumerConfig, KeyValue, Message, Published, Stored, Stream,
};

use crate::world::World;

const LOST_ONE_IN: usize = 15;
const TWICE_ONE_IN: usize = 10;
const ANSWER_LOST_ONE_IN: usize = 5;
const LATE_MILLIS_MAX: usize = 200;

/// A bus as the outbox has it.
#[derive(Debug)]
pub(crate) struct Wire(pub(crate) Arc<World>);

impl Wire {
    fn away<T>() -> Result<T, BusError> {
        Err(BusError::Unavailable { reason: "no answer".to_owned() })
    }
}

#[async_trait]
impl Bus for Wire {
    async fn publish(&self, message: Message) -> Result<Published, BusError> {
        let world = &self.0;
        let late = world.below(LATE_MILLIS_MAX) as u64;
        tokio::time::sleep(Duration::from_millis(late)).await;
        let Some(bus) = world.bus().filter(|_| !world.goes_wrong(LOST_ONE_IN)) else { return Wire::away() };
        let published = bus.publish(message.clone()).await;
        world.trace(|| format!("the bus took {}: {published:?}", message.id));
        if world.goes_wrong(TWICE_ONE_IN) {
            let again = bus.publish(message).await;
            world.trace(|| format!("and again: {again:?}"));
        }
        if world.goes_wrong(ANSWER_LOST_ONE_IN) { Wire::away() } else { published }
    }

    async fn consumer(&self, _: ConsumerConfig) -> Result<Arc<dyn Consumer>, BusError> {
        Wire::away()
    }

    async fn remove_consumer(&self, _: Stream, _: &str) -> Result<(), BusError> {
        Wire::away()
    }

    async fn read(&self, _: Stream, _: u64, _: usize) -> Result<Vec<Stored>, BusError> {
        Wire::away()
    }

    async fn remove(&self, _: Stream, _: u64) -> Result<bool, BusError> {
        Wire::away()
    }

    async fn key_value(&self, _: &str) -> Result<Arc<dyn KeyValue>, BusError> {
        Wire::away()
    }

    fn blobs(&self) -> Arc<dyn Blobs> {
        Arc::new(NoBlobs)
    }

    async fn standing(&self) -> Result<BusStanding, BusError> {
        Wire::away()
    }

    async fn close(&self) -> Result<(), BusError> {
        Ok(())
    }
}

/// No event of a scenario has bytes outside it.
#[derive(Debug)]
pub(crate) struct NoBlobs;

#[async_trait]
impl Blobs for NoBlobs {
    async fn put(&self, _: Bytes) -> Result<Digest, BusError> {
        Wire::away()
    }

    async fn get(&self, _: &Digest, _: usize) -> Result<Option<Bytes>, BusError> {
        Wire::away()
    }

    async fn exists(&self, _: &Digest) -> Result<bool, BusError> {
        Wire::away()
    }
}
