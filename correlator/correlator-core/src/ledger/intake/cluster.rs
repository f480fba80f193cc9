//! Containers that start and stop, and inventories that find what was missed.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use bus_schema::ClusterId;
use bus_schema::cluster::{Container, ContainerStopped, InventoryObserved};
use jiff::Timestamp;

use super::Work;
use crate::contracts::DEFAULT_PIPELINE;
use crate::records::{RecordsError, Table};
use crate::state::agent::{self, InventoriesRecord};
use crate::state::placement::{self, CONTAINERS_MAX, InventoryRecord, PlacementRecord, STOPPED_MAX};
use crate::state::unit::{Unit, fact};
use crate::state::{GROUND_EVENTS_MAX, Occasion, insert_bounded};

/// The most placements of one slot among which a container is looked for that is told without its digest.
const SIBLINGS_MAX: usize = 1000;
/// Running placements that are looked at together.
const RUNNING_PAGE: usize = 500;
/// The most parts of one inventory.
const INVENTORY_PARTS_MAX: usize = 10_000;

impl Work<'_> {
    pub(super) fn take_container_started(
        &mut self,
        occasion: &Occasion,
        cluster_name: &str,
        container: &Container,
    ) -> Result<(), RecordsError> {
        let container_key = placement::container_key(container);
        let inventory = self.inventory_of(&container.workload.cluster)?;
        let is_over = self.missed_by(&inventory, container, &container_key);
        self.learn_start(occasion, cluster_name, container, is_over)
    }

    fn learn_start(
        &mut self,
        occasion: &Occasion,
        cluster_name: &str,
        container: &Container,
        is_over: Option<Timestamp>,
    ) -> Result<(), RecordsError> {
        let container = &*self.with_known_digest(container)?;
        let container_key = placement::container_key(container);
        let stopped = self.forget_without_digest(occasion, container, &container_key)?;
        self.learn_placement(occasion, cluster_name, container, |record| {
            if record.started.len() < CONTAINERS_MAX {
                record.started.insert(container_key.clone(), container.started_at);
            }
            if let Some(stopped) = stopped {
                record.unlisted.remove(&container_key);
                record.stopped.insert(container_key.clone(), stopped);
            }
            match is_over {
                Some(observed_at) if !record.stopped.contains_key(&container_key) => {
                    record.unlisted.insert(container_key.clone());
                    record.stopped.insert(container_key, observed_at);
                }
                Some(_) => {}
                // What is listed runs: that it was missing from an earlier list was the clocks' doing.
                None => {
                    if record.unlisted.remove(&container_key) {
                        record.stopped.remove(&container_key);
                    }
                }
            }
        })
    }

    /// The container with its digest, where it is told without one and was told with one before.
    fn with_known_digest<'a>(&self, container: &'a Container) -> Result<Cow<'a, Container>, RecordsError> {
        if container.digest.is_some() {
            return Ok(Cow::Borrowed(container));
        }
        let container_key = placement::container_key(container);
        let prefix = placement::slot_prefix(container);
        let siblings: Vec<(String, PlacementRecord)> =
            self.draft.scan(Table::Placements, &prefix, SIBLINGS_MAX)?;
        let is_it = |known: &PlacementRecord| {
            known.image_text == container.image_text && known.started.contains_key(&container_key)
        };
        let mut known = siblings.into_iter().map(|(_, known)| known).filter(is_it);
        Ok(match known.find_map(|known| known.digest) {
            Some(digest) => Cow::Owned(Container { digest: Some(digest), ..container.clone() }),
            None => Cow::Borrowed(container),
        })
    }

    /// A container whose digest is known by now is no longer one of those that run without one. Returns when it stopped,
    /// where that was told of it without its digest.
    fn forget_without_digest(
        &mut self,
        occasion: &Occasion,
        container: &Container,
        container_key: &str,
    ) -> Result<Option<Timestamp>, RecordsError> {
        if container.digest.is_none() {
            return Ok(None);
        }
        let key = placement::key(&Container { digest: None, ..container.clone() });
        let Some(mut record) = self.draft.get::<PlacementRecord>(Table::Placements, &key)? else {
            return Ok(None);
        };
        if record.started.remove(container_key).is_none() {
            return Ok(None);
        }
        let stopped = record.stopped.remove(container_key);
        let stopped = stopped.filter(|_| !record.unlisted.remove(container_key));
        if record.started.is_empty() {
            self.touch_unit(Unit::Placement { key: key.clone() });
            self.touch_claimed(&record);
            self.draft.remove(Table::Placements, &placement::running_key(&record.workload.cluster, &key));
            self.draft.remove(Table::Placements, &key);
        } else {
            self.finish_placement(occasion, key, record)?;
        }
        Ok(stopped)
    }

    pub(super) fn take_container_stopped(
        &mut self,
        occasion: &Occasion,
        stopped: &ContainerStopped,
    ) -> Result<(), RecordsError> {
        let container = &*self.with_known_digest(&stopped.container)?;
        let container_key = placement::container_key(container);
        self.forget_without_digest(occasion, container, &container_key)?;
        self.learn_placement(occasion, &stopped.cluster_name, container, |record| {
            if record.started.len() < CONTAINERS_MAX {
                record.started.insert(container_key.clone(), container.started_at);
            }
            // An inventory may have said so before, with its own time; the runtime's time is the better one.
            record.unlisted.remove(&container_key);
            record.stopped.insert(container_key, stopped.stopped_at);
        })
    }

    /// What an inventory lists runs; what runs in its range and is not listed has stopped, unless it started after the
    /// list was asked for.
    pub(super) fn take_inventory(
        &mut self,
        occasion: &Occasion,
        part: &InventoryObserved,
    ) -> Result<(), RecordsError> {
        let listed = part.containers.iter().map(placement::container_key).collect();
        let record = InventoryRecord {
            observed_at: part.observed_at,
            after: part.after.clone(),
            until: part.until.clone(),
            containers: listed,
        };
        let key = placement::inventory_key(&part.cluster, part.part);
        let is_newest = self
            .draft
            .get::<InventoryRecord>(Table::Placements, &key)?
            .is_none_or(|known| known.observed_at <= part.observed_at);
        if is_newest {
            self.draft.put(Table::Placements, key, record.clone());
            self.inventories.remove(&part.cluster);
        }
        let inventories = agent::inventories_key(&part.agent, part.cluster.as_str());
        self.draft.update::<InventoriesRecord>(Table::Agents, &inventories, |record| record.take(part))?;
        // What was lost of the agent's reports is listed again; an agent that never reported has none to miss.
        if self.draft.contains(Table::Agents, &agent::key(&part.agent))? {
            self.touch_unit(Unit::Agent { agent: part.agent.clone() });
        }
        let inventory = self.inventory_of(&part.cluster)?;
        for container in part.containers.iter().filter(|container| container.workload.cluster == part.cluster)
        {
            let is_over = self.missed_by(&inventory, container, &placement::container_key(container));
            self.learn_start(occasion, &part.cluster_name, container, is_over)?;
        }
        if !is_newest {
            // A newer one of the same part has said what is missing.
            return Ok(());
        }
        let prefix = placement::running_prefix(&part.cluster);
        let mut from = prefix.clone();
        loop {
            let page = self.draft.keys_from(Table::Placements, &prefix, &from, RUNNING_PAGE)?;
            for running in &page {
                self.end_unlisted(occasion, part.observed_at, &record, &running[prefix.len()..])?;
            }
            match page.last().filter(|_| page.len() == RUNNING_PAGE) {
                Some(last) => from = format!("{last}\0"),
                None => return Ok(()),
            }
        }
    }

    /// What runs of a placement in the range of an inventory's part, and is not listed there, has stopped.
    fn end_unlisted(
        &mut self,
        occasion: &Occasion,
        observed_at: Timestamp,
        part: &InventoryRecord,
        key: &str,
    ) -> Result<(), RecordsError> {
        let Some(mut known) = self.draft.get::<PlacementRecord>(Table::Placements, key)? else {
            return Ok(());
        };
        let missing: Vec<String> = known
            .started
            .iter()
            .filter(|(container, started)| {
                !known.stopped.contains_key(*container)
                    && self.must_list(observed_at, **started)
                    && part.covers(placement::pod_of(container))
                    && !part.containers.contains(*container)
            })
            .map(|(container, _)| container.clone())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        known.unlisted.extend(missing.iter().cloned());
        known.stopped.extend(missing.into_iter().map(|container| (container, observed_at)));
        self.finish_placement(occasion, key.to_owned(), known)
    }

    /// When an inventory that must list the container does not: the inventory's time.
    fn missed_by(
        &self,
        inventory: &[InventoryRecord],
        container: &Container,
        container_key: &str,
    ) -> Option<Timestamp> {
        inventory
            .iter()
            .find(|part| {
                self.must_list(part.observed_at, container.started_at)
                    && part.covers(&container.pod_uid)
                    && !part.containers.contains(container_key)
            })
            .map(|part| part.observed_at)
    }

    /// Whether a list that was asked for at a time must hold what started at another: the one time is the agent's, the other
    /// the node's and cut to seconds.
    fn must_list(&self, observed_at: Timestamp, started: Timestamp) -> bool {
        self.contracts.installation.windows.source_skew.after(started) <= observed_at
    }

    /// The newest inventory of a cluster. Many containers start at once: it is read once for all inputs in hand.
    fn inventory_of(&mut self, cluster: &ClusterId) -> Result<Rc<Vec<InventoryRecord>>, RecordsError> {
        if let Some(known) = self.inventories.get(cluster) {
            return Ok(Rc::clone(known));
        }
        let prefix = placement::inventory_prefix(cluster);
        let parts = self.draft.scan(Table::Placements, &prefix, INVENTORY_PARTS_MAX)?;
        let parts: Rc<Vec<InventoryRecord>> = Rc::new(parts.into_iter().map(|(_, part)| part).collect());
        self.inventories.insert(cluster.clone(), Rc::clone(&parts));
        Ok(parts)
    }

    fn learn_placement(
        &mut self,
        occasion: &Occasion,
        cluster_name: &str,
        container: &Container,
        change: impl FnOnce(&mut PlacementRecord),
    ) -> Result<(), RecordsError> {
        let key = placement::key(container);
        let known: Option<PlacementRecord> = self.draft.get(Table::Placements, &key)?;
        let mut record = known.clone().unwrap_or_else(|| PlacementRecord {
            workload: container.workload.clone(),
            cluster_name: cluster_name.to_owned(),
            slot: container.slot.clone(),
            slot_kind: container.slot_kind.clone(),
            digest: container.digest,
            image: container.image.clone(),
            image_text: container.image_text.clone(),
            started: Default::default(),
            stopped: Default::default(),
            unlisted: Default::default(),
            earliest_start: None,
            first_recorded: occasion.recorded,
            ended_recorded: None,
            ground: Vec::new(),
        });
        change(&mut record);
        insert_bounded(&mut record.ground, occasion.ground(), GROUND_EVENTS_MAX);
        if let (None, Some(digest)) = (&known, container.digest) {
            let repository = container.image.as_ref().map(|image| image.repository.clone());
            let contracts = Arc::clone(&self.contracts);
            self.learn_digest(occasion, &digest, |record| {
                if let Some(repository) = &repository {
                    record.learn_repository(repository, |repository| contracts.claims(repository));
                }
            })?;
            self.touch_placed(digest);
        }
        self.finish_placement(occasion, key, record)
    }

    /// Marks what stands beside an image that a pipeline claims.
    fn touch_claimed(&mut self, record: &PlacementRecord) {
        let image = record.image.as_ref();
        if image.is_some_and(|image| self.pipeline_of(&image.repository) != DEFAULT_PIPELINE) {
            self.touch_fact(fact::claimed_in(&record.workload.cluster, &record.workload.namespace));
        }
    }

    /// When an image repository was first started in a namespace only ever becomes known as earlier.
    fn learn_first_start(&mut self, record: &PlacementRecord) -> Result<(), RecordsError> {
        let Some(first) = record.first_started() else { return Ok(()) };
        let key = placement::first_start_key(&record.workload, record.image.as_ref());
        let known: Option<Timestamp> = self.draft.get(Table::Placements, &key)?;
        if known.is_none_or(|known| first < known) {
            self.touch_fact(key.clone());
            self.draft.put(Table::Placements, key, first);
        }
        Ok(())
    }

    fn finish_placement(
        &mut self,
        occasion: &Occasion,
        key: String,
        mut record: PlacementRecord,
    ) -> Result<(), RecordsError> {
        record.ended_recorded = match (record.is_running(), record.ended_recorded) {
            (true, _) => None,
            (false, Some(ended)) => Some(ended),
            (false, None) => Some(occasion.recorded),
        };
        // Old containers of a placement that goes on are forgotten once they are many: the newest tell enough.
        record.earliest_start = record.first_started();
        if record.stopped.len() > STOPPED_MAX {
            forget_oldest_stopped(&mut record);
        }
        self.touch_unit(Unit::Placement { key: key.clone() });
        let before: Option<PlacementRecord> = self.draft.get(Table::Placements, &key)?;
        let was_running = before.as_ref().is_some_and(PlacementRecord::is_running);
        if record.is_running() != was_running {
            let running = placement::running_key(&record.workload.cluster, &key);
            match was_running {
                true => self.draft.remove(Table::Placements, &running),
                false => self.draft.put(Table::Placements, running, ()),
            }
        }
        let says_the_same = before.as_ref().is_some_and(|before| {
            was_running == record.is_running() && before.earliest_start == record.earliest_start
        });
        if let Some(digest) = record.digest {
            let now = placement::by_digest_key(&digest, record.ended_recorded, &key);
            let known = before.map(|known| placement::by_digest_key(&digest, known.ended_recorded, &key));
            if known.as_ref() != Some(&now) {
                if let Some(known) = known {
                    self.draft.remove(Table::Digests, &known);
                }
                self.draft.put(Table::Digests, now, ());
            }
        }
        if !says_the_same {
            self.touch_claimed(&record);
            self.learn_first_start(&record)?;
            if let Some(digest) = record.digest {
                self.touch_placed(digest);
            }
        }
        self.draft.put(Table::Placements, key, record);
        Ok(())
    }
}

fn forget_oldest_stopped(record: &mut PlacementRecord) {
    let mut by_time: Vec<(Timestamp, String)> =
        record.stopped.iter().map(|(container, at)| (*at, container.clone())).collect();
    by_time.sort();
    for (_, container) in by_time.iter().take(by_time.len() / 2) {
        record.stopped.remove(container);
        record.unlisted.remove(container);
        record.started.remove(container);
    }
}
