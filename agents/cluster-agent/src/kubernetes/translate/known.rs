//! What is known of a pod: the least that tells a change from a repeat.

use std::collections::BTreeMap;

use bus_schema::cluster::Container;

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

    pub(super) fn into_running(self) -> impl Iterator<Item = Container> {
        self.slots.into_values().filter_map(|slot| slot.running).map(|container| *container)
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
