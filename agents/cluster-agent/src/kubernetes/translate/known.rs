//! What is known of a pod: the least that tells a change from a repeat.

use std::collections::BTreeMap;
use std::sync::Arc;

use bus_schema::cluster::Container;

use crate::kubernetes::kept::{Commons, KeptContainer};

/// How many ended containers of one slot are remembered. A status names at most two.
const ENDED_IDS_MAX: usize = 4;

/// What is known of one pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KnownPod {
    slots: BTreeMap<String, KnownSlot>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct KnownSlot {
    /// The container that runs, as it was reported.
    pub(super) running: Option<Box<Container>>,
    /// The slot's last `imageID`.
    pub(super) image_id: String,
    /// Containers whose end needs no report any more, the latest last.
    ended_ids: Vec<String>,
}

impl KnownPod {
    pub(super) fn slot(&mut self, name: &str) -> &mut KnownSlot {
        self.slots.entry(name.to_owned()).or_default()
    }

    /// The same, as it is kept until the pod changes.
    pub(crate) fn keep(self, commons: &mut Commons) -> KeptPod {
        let keep = |(name, slot): (String, KnownSlot)| KeptSlot {
            name: commons.text(&name),
            running: slot.running.map(|container| KeptContainer::new(*container, commons)),
            image_id: commons.text(&slot.image_id),
            ended_ids: slot.ended_ids.into_iter().map(String::into_boxed_str).collect(),
        };
        KeptPod { slots: self.slots.into_iter().map(keep).collect() }
    }

    pub(super) fn into_running(self) -> impl Iterator<Item = Container> {
        self.slots.into_values().filter_map(|slot| slot.running).map(|container| *container)
    }
}

/// What is known of a pod that does not change at the moment: most of a cluster, so it is slim.
#[derive(Debug)]
pub(crate) struct KeptPod {
    slots: Box<[KeptSlot]>,
}

#[derive(Debug)]
struct KeptSlot {
    name: Arc<str>,
    running: Option<KeptContainer>,
    image_id: Arc<str>,
    ended_ids: Box<[Box<str>]>,
}

impl KeptPod {
    /// What was known of the pod `uid`.
    pub(crate) fn known(&self, uid: &str) -> KnownPod {
        let known = |slot: &KeptSlot| {
            let running = slot.running.as_ref().map(|container| Box::new(container.to_container(uid)));
            let ended_ids = slot.ended_ids.iter().map(|id| id.to_string()).collect();
            (slot.name.to_string(), KnownSlot { running, image_id: slot.image_id.to_string(), ended_ids })
        };
        KnownPod { slots: self.slots.iter().map(known).collect() }
    }
}

impl KnownSlot {
    pub(super) fn has_ended(&self, id: &str) -> bool {
        self.ended_ids.iter().any(|ended| ended == id)
    }

    pub(super) fn remember_ended(&mut self, id: &str) {
        if self.ended_ids.len() == ENDED_IDS_MAX {
            self.ended_ids.remove(0);
        }
        self.ended_ids.push(id.to_owned());
    }
}
