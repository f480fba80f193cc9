//! What is kept of a container while it is followed or waits to be said: slim, and what many containers have in common
//! is there once.
//!
//! In: containers as events say them. Out: the same, later. Nothing is lost on the way.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use bus_schema::cluster::{Container, SlotKind};
use bus_schema::{Digest, ImageRef, WorkloadRef};
use jiff::Timestamp;

/// A pool of fewer values than this is not searched for those that nobody holds any more.
const SWEPT_VALUES_MIN: usize = 256;

/// What containers have in common.
#[derive(Debug, Default)]
pub(crate) struct Commons {
    texts: Pool<str>,
    workloads: Pool<WorkloadRef>,
    images: Pool<Image>,
}

impl Commons {
    /// The one copy of a text that many have.
    pub(crate) fn text(&mut self, text: &str) -> Arc<str> {
        self.texts.share(text)
    }
}

/// A container of a pod whose UID stands elsewhere.
#[derive(Debug)]
pub(crate) struct KeptContainer {
    workload: Arc<WorkloadRef>,
    image: Arc<Image>,
    pod: Box<str>,
    slot: Arc<str>,
    slot_kind: SlotKind,
    container_id: ContainerId,
    started_at: Timestamp,
}

/// Everything that a status and its spec say of an image.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Image {
    image: Option<ImageRef>,
    text: String,
    id: String,
    digest: Option<Digest>,
}

impl KeptContainer {
    pub(crate) fn new(container: Container, commons: &mut Commons) -> KeptContainer {
        let Container { workload, pod, pod_uid: _, slot, slot_kind, container_id, .. } = container;
        let Container { image, image_text: text, image_id: id, digest, started_at, .. } = container;
        KeptContainer {
            workload: commons.workloads.share(workload),
            image: commons.images.share(Image { image, text, id, digest }),
            pod: pod.into(),
            slot: commons.texts.share(slot.as_str()),
            slot_kind,
            container_id: ContainerId::new(&container_id, commons),
            started_at,
        }
    }

    /// The container as it was, in the pod of this UID.
    pub(crate) fn to_container(&self, pod_uid: &str) -> Container {
        Container {
            workload: WorkloadRef::clone(&self.workload),
            pod: self.pod.to_string(),
            pod_uid: pod_uid.to_owned(),
            slot: self.slot.to_string(),
            slot_kind: self.slot_kind.clone(),
            container_id: self.container_id.to_string(),
            image: self.image.image.clone(),
            image_text: self.image.text.clone(),
            image_id: self.image.id.clone(),
            digest: self.image.digest,
            started_at: self.started_at,
        }
    }
}

/// What a runtime calls a container: nearly always `containerd://` or its like and a number of 32 bytes in hexadecimal.
#[derive(Debug)]
enum ContainerId {
    Numbered { runtime: Arc<str>, number: [u8; 32] },
    Other(Box<str>),
}

impl ContainerId {
    fn new(text: &str, commons: &mut Commons) -> ContainerId {
        let mut number = [0; 32];
        let cut = text.rfind('/').map_or(0, |slash| slash + 1);
        let (runtime, digits) = text.split_at(cut);
        // Only what is written as it would be written again.
        let is_plain = !digits.bytes().any(|byte| byte.is_ascii_uppercase());
        match hex::decode_to_slice(digits, &mut number) {
            Ok(()) if is_plain => ContainerId::Numbered { runtime: commons.text(runtime), number },
            _ => ContainerId::Other(text.into()),
        }
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ContainerId::Numbered { runtime, number } => {
                write!(formatter, "{runtime}{}", hex::encode(number))
            }
            ContainerId::Other(text) => formatter.write_str(text),
        }
    }
}

/// Values of which one copy serves all that hold it. A value that nobody holds goes before the pool has doubled.
#[derive(Debug)]
struct Pool<T: ?Sized> {
    values: HashSet<Arc<T>>,
    /// With so many values it is searched for those that nobody holds.
    sweep_at: usize,
}

impl<T: ?Sized> Default for Pool<T> {
    fn default() -> Pool<T> {
        Pool { values: HashSet::new(), sweep_at: SWEPT_VALUES_MIN }
    }
}

impl<T: ?Sized + Eq + Hash> Pool<T> {
    fn share<V: Borrow<T> + Into<Arc<T>>>(&mut self, value: V) -> Arc<T> {
        if let Some(shared) = self.values.get(value.borrow()) {
            return Arc::clone(shared);
        }
        if self.values.len() >= self.sweep_at {
            self.values.retain(|value| Arc::strong_count(value) > 1);
            self.sweep_at = SWEPT_VALUES_MIN.max(self.values.len() * 2);
        }
        let shared: Arc<T> = value.into();
        self.values.insert(Arc::clone(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_container_comes_back_as_it_was() {
        let mut commons = Commons::default();
        for container in [container("a", "1"), container("b", "2"), bare(container("c", "3"))] {
            let uid = container.pod_uid.clone();
            let kept = KeptContainer::new(container.clone(), &mut commons);
            assert_eq!(kept.to_container(&uid), container);
        }
    }

    #[test]
    fn what_a_runtime_calls_a_container_comes_back_as_it_was() {
        let mut commons = Commons::default();
        let number = "0123456789abcdef".repeat(4);
        for (text, is_numbered) in [
            (format!("containerd://{number}"), true),
            (format!("cri-o://{number}"), true),
            (number.clone(), true),
            (format!("containerd://{}", number.to_uppercase()), false),
            (format!("containerd://{number}0"), false),
            (format!("containerd://{}", &number[1..]), false),
            (format!("containerd://{number}/"), false),
            ("docker://ü".to_owned(), false),
            (String::new(), false),
        ] {
            let kept = ContainerId::new(&text, &mut commons);
            assert_eq!(kept.to_string(), text);
            assert_eq!(matches!(kept, ContainerId::Numbered { .. }), is_numbered, "{text}");
        }
    }

    #[test]
    fn containers_share_what_they_have_in_common() {
        let mut commons = Commons::default();
        let one = KeptContainer::new(container("a", "1"), &mut commons);
        let two = KeptContainer::new(container("b", "2"), &mut commons);
        assert!(Arc::ptr_eq(&one.workload, &two.workload));
        assert!(Arc::ptr_eq(&one.image, &two.image));
        assert!(Arc::ptr_eq(&one.slot, &two.slot));
    }

    #[test]
    fn what_nobody_holds_does_not_pile_up() {
        let mut commons = Commons::default();
        let held = commons.text("held");
        for number in 0..100 * SWEPT_VALUES_MIN {
            commons.text(&number.to_string());
            assert!(commons.texts.values.len() <= SWEPT_VALUES_MIN);
        }
        assert!(Arc::ptr_eq(&held, &commons.text("held")));
    }

    #[test]
    fn a_pool_that_is_held_as_a_whole_is_searched_seldom() {
        let mut commons = Commons::default();
        let held: Vec<Arc<str>> = (0..10_000).map(|number| commons.text(&number.to_string())).collect();
        assert_eq!(commons.texts.values.len(), held.len());
        assert!(commons.texts.sweep_at > held.len(), "{}", commons.texts.sweep_at);
    }

    fn container(uid: &str, id: &str) -> Container {
        let digest = Digest::sha256_of(b"app");
        Container {
            workload: "c/n/Deployment/app".parse().unwrap(),
            pod: format!("app-{uid}"),
            pod_uid: uid.to_owned(),
            slot: "main".to_owned(),
            slot_kind: SlotKind::from("another"),
            container_id: format!("containerd://{id}"),
            image: Some("ghcr.io/acme/app:v1".parse().unwrap()),
            image_text: "ghcr.io/acme/app:v1".to_owned(),
            image_id: format!("ghcr.io/acme/app@{digest}"),
            digest: Some(digest),
            started_at: "2026-01-01T00:00:01.5Z".parse().unwrap(),
        }
    }

    fn bare(container: Container) -> Container {
        let (image_text, image_id) = (String::new(), String::new());
        Container { image: None, image_text, image_id, digest: None, ..container }
    }
}
