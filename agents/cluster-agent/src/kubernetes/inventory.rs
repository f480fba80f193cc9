//! Cuts the list of everything that runs into parts, each complete for its range of pod UIDs.
//!
//! In: the running containers of every pod, and the pods that could not be read. Out: parts in order, each made when it
//! is asked for. A pod lies in one part as a whole. A range never covers a pod that could not be read: what a range
//! covers and does not list counts as stopped.

use std::collections::BTreeMap;

use bus_schema::cluster::{Container, INVENTORY_CONTAINERS_MAX};

use super::kept::{Commons, KeptContainer};

/// The most JSON text of containers in one part, in bytes: three quarters of what one message carries.
const PART_BYTES_MAX: usize = bus_schema::envelope::ENVELOPE_BYTES_MAX / 4 * 3;

/// What a list said, by pod UID.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    pods: BTreeMap<Box<str>, Listed>,
    commons: Commons,
}

#[derive(Debug)]
enum Listed {
    Read { containers: Box<[KeptContainer]>, bytes: usize },
    Unreadable,
}

/// One part: the pods greater than `after`, up to and including `until`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) after: Option<String>,
    pub(crate) until: Option<String>,
    pub(crate) containers: Vec<Container>,
}

impl Inventory {
    pub(crate) fn add(&mut self, uid: &str, containers: Vec<Container>) -> Result<(), TooLarge> {
        let bytes = containers.iter().map(json_bytes).sum();
        if bytes > PART_BYTES_MAX {
            self.add_unreadable(uid);
            return Err(TooLarge { bytes });
        }
        let keep = |container| KeptContainer::new(container, &mut self.commons);
        let containers = containers.into_iter().map(keep).collect();
        self.pods.insert(uid.into(), Listed::Read { containers, bytes });
        Ok(())
    }

    pub(crate) fn add_unreadable(&mut self, uid: &str) {
        self.pods.insert(uid.into(), Listed::Unreadable);
    }

    /// Adds what another list said.
    pub(crate) fn add_all(&mut self, mut other: Inventory) {
        self.pods.append(&mut other.pods);
    }

    pub(crate) fn containers_count(&self) -> usize {
        let count = |listed: &Listed| match listed {
            Listed::Read { containers, .. } => containers.len(),
            Listed::Unreadable => 0,
        };
        self.pods.values().map(count).sum()
    }

    /// The parts. The first range is open at its start and the last at its end, unless an unreadable pod lies there.
    pub(crate) fn into_parts(self) -> Parts {
        let mut cutter = Cutter::default();
        for (uid, listed) in &self.pods {
            match listed {
                Listed::Read { containers, bytes } => cutter.add(uid, containers.len(), *bytes),
                Listed::Unreadable => cutter.leave_out(uid),
            }
        }
        Parts { cuts: cutter.finish().into_iter(), pods: self.pods }
    }
}

/// The containers of one pod are too much for one message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the containers of the pod take {bytes} bytes, the limit is {PART_BYTES_MAX}")]
pub(crate) struct TooLarge {
    bytes: usize,
}

/// The parts of an inventory, one after the other: what was given out is no longer held.
#[derive(Debug)]
pub(crate) struct Parts {
    cuts: std::vec::IntoIter<Cut>,
    /// What was not yet given out.
    pods: BTreeMap<Box<str>, Listed>,
}

impl ExactSizeIterator for Parts {}

impl Iterator for Parts {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        let Cut { after, until, containers } = self.cuts.next()?;
        let mut part = Part { after, until, containers: Vec::with_capacity(containers) };
        while let Some(first) = self.pods.first_entry() {
            if part.until.as_deref().is_some_and(|until| &**first.key() > until) {
                break;
            }
            let (uid, listed) = first.remove_entry();
            if let Listed::Read { containers, .. } = listed {
                part.containers.extend(containers.iter().map(|container| container.to_container(&uid)));
            }
        }
        Some(part)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.cuts.size_hint()
    }
}

/// The range of one part, and how many containers lie in it.
#[derive(Debug)]
struct Cut {
    after: Option<String>,
    until: Option<String>,
    containers: usize,
}

#[derive(Default)]
struct Cutter<'a> {
    cuts: Vec<Cut>,
    after: Option<&'a str>,
    /// The last pod of the part that is being filled.
    last: Option<&'a str>,
    containers: usize,
    bytes: usize,
}

impl<'a> Cutter<'a> {
    fn add(&mut self, uid: &'a str, containers: usize, bytes: usize) {
        let is_over =
            self.containers + containers > INVENTORY_CONTAINERS_MAX || self.bytes + bytes > PART_BYTES_MAX;
        if is_over {
            self.close();
        }
        self.containers += containers;
        self.bytes += bytes;
        self.last = Some(uid);
    }

    fn leave_out(&mut self, uid: &'a str) {
        self.close();
        self.after = Some(uid);
    }

    /// Ends the part at the last pod that was added; without one there is nothing to end.
    fn close(&mut self) {
        let Some(until) = self.last.take() else { return };
        let after = self.after.replace(until);
        self.cut(after, Some(until));
    }

    fn finish(mut self) -> Vec<Cut> {
        self.cut(self.after, None);
        self.cuts
    }

    fn cut(&mut self, after: Option<&str>, until: Option<&str>) {
        let (after, until) = (after.map(str::to_owned), until.map(str::to_owned));
        self.cuts.push(Cut { after, until, containers: std::mem::take(&mut self.containers) });
        self.bytes = 0;
    }
}

fn json_bytes(container: &Container) -> usize {
    // A container that cannot be written is refused as too large.
    serde_json::to_vec(container).map_or(usize::MAX / 2, |text| text.len() + 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::collections::BTreeSet;

    use bus_schema::cluster::SlotKind;
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_cluster_is_one_part_without_ends() {
        let parts: Vec<Part> = Inventory::default().into_parts().collect();
        assert_eq!(parts, vec![Part { after: None, until: None, containers: Vec::new() }]);
    }

    #[test]
    fn a_pod_of_more_containers_than_a_part_is_a_part_of_its_own() {
        let parts = parts_of(&[("a", 10), ("b", INVENTORY_CONTAINERS_MAX + 1), ("c", 10)], &[]);
        let counts: Vec<usize> = parts.iter().map(|part| part.containers.len()).collect();
        assert_eq!(counts, [10, INVENTORY_CONTAINERS_MAX + 1, 10]);
    }

    #[test]
    fn parts_are_cut_by_bytes_too() {
        let mut inventory = Inventory::default();
        for uid in ["a", "b"] {
            let mut container = container(uid, 0);
            // Control characters take six bytes each in JSON.
            container.image_text = "\u{1}".repeat(PART_BYTES_MAX / 12 - 1000);
            inventory.add(uid, vec![container]).unwrap();
            inventory.add(&format!("{uid}2"), vec![self::container(uid, 1)]).unwrap();
        }
        assert_eq!(inventory.into_parts().len(), 1);

        let mut inventory = Inventory::default();
        for uid in ["a", "b"] {
            let mut container = container(uid, 0);
            container.image_text = "\u{1}".repeat(PART_BYTES_MAX / 12 + 1000);
            inventory.add(uid, vec![container]).unwrap();
        }
        assert_eq!(inventory.into_parts().len(), 2);
    }

    #[test]
    fn a_pod_too_large_for_any_message_is_left_out_of_every_range() {
        let mut inventory = Inventory::default();
        let mut large = container("b", 0);
        large.image_text = "x".repeat(PART_BYTES_MAX);
        inventory.add("a", vec![container("a", 0)]).unwrap();
        inventory.add("b", vec![large]).unwrap_err();
        let parts: Vec<Part> = inventory.into_parts().collect();
        assert!(parts.iter().all(|part| !covers(part, "b")));
        assert!(parts.iter().any(|part| covers(part, "a")) && parts.iter().any(|part| covers(part, "z")));
    }

    #[test]
    fn what_was_given_out_is_no_longer_held() {
        let mut inventory = Inventory::default();
        for number in 0..3 * INVENTORY_CONTAINERS_MAX {
            let uid = format!("{number:04}");
            inventory.add(&uid, vec![container(&uid, 0)]).unwrap();
        }
        let mut parts = inventory.into_parts();
        let mut held = Vec::new();
        while parts.next().is_some() {
            held.push(parts.pods.len());
        }
        assert_eq!(held, [2 * INVENTORY_CONTAINERS_MAX, INVENTORY_CONTAINERS_MAX, 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_readable_pod_lies_in_exactly_one_part_and_no_unreadable_one_in_any(
            pods in prop::collection::btree_map("[a-f0-9-]{1,6}", 0usize..260, 0..30),
            unreadable in prop::collection::btree_set("[a-f0-9-]{1,6}", 0..5),
        ) {
            let pods: Vec<(&str, usize)> = pods
                .iter()
                .filter(|(uid, _)| !unreadable.contains(*uid))
                .map(|(uid, count)| (uid.as_str(), *count))
                .collect();
            let left_out: Vec<&str> = unreadable.iter().map(String::as_str).collect();
            let parts = parts_of(&pods, &left_out);
            for (uid, count) in &pods {
                let covering: Vec<&Part> = parts.iter().filter(|part| covers(part, uid)).collect();
                prop_assert_eq!(covering.len(), 1, "{} is covered", uid);
                let listed = covering[0].containers.iter().filter(|c| c.pod_uid == *uid).count();
                prop_assert_eq!(listed, *count);
            }
            for uid in &left_out {
                prop_assert!(parts.iter().all(|part| !covers(part, uid)), "{} is covered", uid);
            }
            for part in &parts {
                let pods_of_part: BTreeSet<&str> = part.containers.iter().map(|c| c.pod_uid.as_str()).collect();
                prop_assert!(part.containers.len() <= INVENTORY_CONTAINERS_MAX || pods_of_part.len() == 1);
                prop_assert!(pods_of_part.iter().all(|uid| covers(part, uid)));
            }
            if left_out.is_empty() {
                prop_assert_eq!(&parts[0].after, &None);
                prop_assert_eq!(&parts[parts.len() - 1].until, &None);
                for pair in parts.windows(2) {
                    prop_assert_eq!(&pair[0].until, &pair[1].after);
                }
            }
        }
    }

    fn parts_of(pods: &[(&str, usize)], unreadable: &[&str]) -> Vec<Part> {
        let mut inventory = Inventory::default();
        for (uid, count) in pods {
            inventory.add(uid, (0..*count).map(|index| container(uid, index)).collect()).unwrap();
        }
        for uid in unreadable {
            inventory.add_unreadable(uid);
        }
        let parts = inventory.into_parts();
        let stated = parts.len();
        let parts: Vec<Part> = parts.collect();
        assert_eq!(parts.len(), stated);
        parts
    }

    fn covers(part: &Part, uid: &str) -> bool {
        part.after.as_deref().is_none_or(|after| uid > after)
            && part.until.as_deref().is_none_or(|until| uid <= until)
    }

    fn container(uid: &str, index: usize) -> Container {
        Container {
            workload: "c/n/Deployment/app".parse().unwrap(),
            pod: "app-1".to_owned(),
            pod_uid: uid.to_owned(),
            slot: format!("slot-{index}"),
            slot_kind: SlotKind::Main,
            container_id: format!("containerd://{index}"),
            image: None,
            image_text: "app".to_owned(),
            image_id: String::new(),
            digest: None,
            started_at: Timestamp::UNIX_EPOCH,
        }
    }
}
