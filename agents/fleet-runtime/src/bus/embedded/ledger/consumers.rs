//! Durable consumers on disk: what they looked at and what is unsettled.

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::{Database, ReadableDatabase};

use super::Tables;
use crate::bus::embedded::owed::Owed;
use crate::bus::embedded::shared::Shared;
use crate::bus::embedded::tables::{CONSUMERS, MESSAGES, OWED};
use crate::bus::{BusError, ConsumerConfig, Stream};

/// Every consumer that is on disk, so that what it has not taken is kept from the start. Its reader brings the real
/// bounds when it opens it.
pub(in crate::bus::embedded) fn load(database: &Database, shared: &Shared) -> Result<(), redb::Error> {
    let transaction = database.begin_read()?;
    let consumers = transaction.open_table(CONSUMERS)?;
    let owed = transaction.open_table(OWED)?;
    let messages = transaction.open_table(MESSAGES)?;
    for row in consumers.range::<(u8, &str)>(..)? {
        let (key, value) = row?;
        let (number, name) = key.value();
        let (filter, looked_at) = value.value();
        let (Some(stream), Ok(filter)) = (Stream::from_number(number), filter.parse()) else { continue };
        let mut deliveries = BTreeMap::new();
        for row in owed.range((number, name, 0)..=(number, name, u64::MAX))? {
            let (key, count) = row?;
            let sequence = key.value().2;
            // A settled message may be gone while its acknowledgement was lost.
            if messages.get((number, sequence))?.is_some() {
                deliveries.insert(sequence, count.value());
            }
        }
        let config = ConsumerConfig::new(name, stream, filter);
        shared.add_consumer(Arc::new(Owed::new(config, looked_at, deliveries)));
    }
    Ok(())
}

pub(super) fn open(
    tables: &mut Tables<'_>,
    shared: &Shared,
    config: &ConsumerConfig,
) -> Result<Arc<Owed>, redb::Error> {
    let known = shared.consumer(config.stream, &config.name);
    let owed = known.unwrap_or_else(|| {
        let owed = Arc::new(Owed::new(config.clone(), 0, BTreeMap::new()));
        shared.add_consumer(owed.clone());
        owed
    });
    owed.update(config.clone());
    let key = (config.stream.number(), config.name.as_str());
    tables.consumers.insert(key, (config.filter.as_str(), owed.looked_at()))?;
    Ok(owed)
}

pub(super) fn remove(
    tables: &mut Tables<'_>,
    shared: &Shared,
    stream: Stream,
    name: &str,
) -> Result<(), redb::Error> {
    let number = stream.number();
    tables.consumers.remove((number, name))?;
    tables.owed.retain_in((number, name, 0)..=(number, name, u64::MAX), |_, _| false)?;
    if let Some(owed) = shared.remove_consumer(stream, name) {
        owed.mark_removed();
    }
    Ok(())
}

pub(super) fn deliver(
    tables: &mut Tables<'_>,
    owed: &Owed,
    rows: &[(u64, u32)],
    looked_at: u64,
) -> Result<Result<(), BusError>, redb::Error> {
    if owed.is_removed() {
        return Ok(Err(BusError::Consumer { reason: "it was removed".to_owned() }));
    }
    let number = owed.stream().number();
    for (sequence, deliveries) in rows {
        tables.owed.insert((number, owed.name(), *sequence), deliveries)?;
    }
    let filter = owed.config().filter;
    tables.consumers.insert((number, owed.name()), (filter.as_str(), looked_at))?;
    Ok(Ok(()))
}

pub(super) fn settle(tables: &mut Tables<'_>, owed: &Owed, sequence: u64) -> Result<(), redb::Error> {
    tables.owed.remove((owed.stream().number(), owed.name(), sequence))?;
    Ok(())
}
