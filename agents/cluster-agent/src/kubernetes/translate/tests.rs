#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use bus_schema::cluster::SlotKind;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::kubernetes::payload::read_pod;

const DIGEST_A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const DIGEST_B: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// A pod with one main container `app`, whose status is `status`.
fn pod(status: Value) -> Pod {
    pod_of(
        json!({ "containers": [{ "name": "app", "image": "ghcr.io/acme/app:v1" }] }),
        "containerStatuses",
        status,
    )
}

fn pod_of(spec: Value, list: &str, status: Value) -> Pod {
    let mut status = status;
    if let Some(fields) = status.as_object_mut() {
        fields.entry("name").or_insert(json!("app"));
        fields.entry("imageID").or_insert(json!(format!("ghcr.io/acme/app@{DIGEST_A}")));
    }
    let statuses = if status.is_null() { json!([]) } else { json!([status]) };
    let text = json!({
        "metadata": {
            "name": "app-1", "namespace": "shop", "uid": "uid-1", "creationTimestamp": "2026-01-01T00:00:00Z"
        },
        "spec": spec,
        "status": { list: statuses },
    });
    *read_pod(&text.to_string()).unwrap()
}

fn running_status(id: &str) -> Value {
    json!({ "containerID": id, "state": { "running": { "startedAt": "2026-01-01T00:00:01Z" } } })
}

fn terminated(id: &str) -> Value {
    json!({ "terminated": {
        "containerID": id, "exitCode": 1, "reason": "Error",
        "startedAt": "2026-01-01T00:00:01Z", "finishedAt": "2026-01-01T00:00:02Z"
    }})
}

fn with(mut status: Value, field: &str, value: Value) -> Value {
    status[field] = value;
    status
}

fn workload() -> WorkloadRef {
    "cluster-1/shop/Deployment/app".parse().unwrap()
}

fn seen() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

/// Walks through the states of one pod and gives each step's events as `+id` and `-id reason`.
fn walk(statuses: &[Pod]) -> Vec<Vec<String>> {
    let workload = workload();
    let mut known = None;
    let mut steps = Vec::new();
    for pod in statuses {
        let view = View { cluster_name: "prod", workload: &workload, seen: seen() };
        let change = change(known.take(), pod, view);
        known = Some(change.known);
        steps.push(change.events.iter().map(show).collect());
    }
    let rest = gone(known.unwrap(), "prod", seen());
    steps.push(rest.iter().map(show).collect());
    steps
}

fn show(dated: &Dated) -> String {
    match &dated.event {
        Event::ContainerStarted(data) => format!("+{}", data.container.container_id),
        Event::ContainerStopped(data) => format!("-{} {}", data.container.container_id, data.reason),
        other => panic!("{other:?}"),
    }
}

fn check(statuses: &[Value], expected: &[&[&str]]) {
    let pods: Vec<Pod> = statuses.iter().map(|status| pod(status.clone())).collect();
    assert_eq!(walk(&pods), expected, "{statuses:#?}");
}

#[test]
fn a_container_starts_once_and_stops_when_its_pod_is_deleted() {
    let a = running_status("c://a");
    check(&[Value::Null, a.clone(), a], &[&[], &["+c://a"], &[], &["-c://a PodDeleted"]]);
}

#[test]
fn a_container_that_waits_has_not_started() {
    let waiting = json!({ "state": { "waiting": { "reason": "ImagePullBackOff" } } });
    check(&[waiting.clone(), waiting], &[&[], &[], &[]]);
}

#[test]
fn a_container_that_terminates_stops_with_its_reason() {
    let ended = json!({ "containerID": "c://a", "state": terminated("c://a") });
    check(&[running_status("c://a"), ended.clone(), ended], &[&["+c://a"], &["-c://a Error"], &[], &[]]);
}

#[test]
fn a_short_lived_container_has_started_and_stopped() {
    let ended = json!({ "containerID": "c://a", "state": terminated("c://a") });
    check(&[Value::Null, ended], &[&[], &["+c://a", "-c://a Error"], &[]]);
}

#[test]
fn a_restart_stops_the_old_container_and_starts_the_new_one() {
    let restarted = with(running_status("c://b"), "lastState", terminated("c://a"));
    check(
        &[running_status("c://a"), restarted.clone(), restarted],
        &[&["+c://a"], &["-c://a Error", "+c://b"], &[], &["-c://b PodDeleted"]],
    );
}

#[test]
fn a_new_container_without_a_word_of_the_old_one_replaces_it() {
    check(
        &[running_status("c://a"), running_status("c://b")],
        &[&["+c://a"], &["-c://a Replaced", "+c://b"], &["-c://b PodDeleted"]],
    );
}

#[test]
fn a_crash_loop_reports_every_container_once() {
    let crashed =
        |id: &str, before: Value| json!({ "containerID": id, "state": terminated(id), "lastState": before });
    let backing_off = |id: &str| {
        let waiting = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
        json!({ "containerID": id, "state": waiting, "lastState": terminated(id) })
    };
    check(
        &[
            crashed("c://a", json!({})),
            backing_off("c://a"),
            crashed("c://b", terminated("c://a")),
            crashed("c://b", terminated("c://a")),
            backing_off("c://b"),
        ],
        &[&["+c://a", "-c://a Error"], &[], &["+c://b", "-c://b Error"], &[], &[], &[]],
    );
}

#[test]
fn a_container_missed_between_two_looks_is_reported() {
    let later = with(running_status("c://c"), "lastState", terminated("c://b"));
    check(
        &[running_status("c://a"), later],
        &[&["+c://a"], &["-c://a Replaced", "+c://b", "-c://b Error", "+c://c"], &["-c://c PodDeleted"]],
    );
}

#[test]
fn a_missed_container_has_an_image_only_if_it_cannot_have_been_another() {
    let workload = workload();
    let view = View { cluster_name: "prod", workload: &workload, seen: seen() };
    let missed_digest = |image_id: &str| {
        let first = change(None, &pod(running_status("c://a")), view);
        let later = with(running_status("c://c"), "lastState", terminated("c://b"));
        let later = with(later, "imageID", json!(image_id));
        let change = change(Some(first.known), &pod(later), view);
        let missed = change.events.iter().find_map(|dated| match &dated.event {
            Event::ContainerStarted(data) if data.container.container_id == "c://b" => Some(data.clone()),
            _ => None,
        });
        missed.unwrap().container.digest
    };
    assert_eq!(missed_digest(&format!("ghcr.io/acme/app@{DIGEST_A}")), Some(DIGEST_A.parse().unwrap()));
    assert_eq!(missed_digest(&format!("ghcr.io/acme/app@{DIGEST_B}")), None);
}

#[test]
fn what_ended_before_the_pod_was_known_is_not_reported() {
    let restarted = with(running_status("c://b"), "lastState", terminated("c://a"));
    check(&[restarted], &[&["+c://b"], &["-c://b PodDeleted"]]);
}

#[test]
fn a_status_that_shows_nothing_stops_nothing() {
    let creating = json!({ "state": { "waiting": { "reason": "ContainerCreating" } } });
    check(
        &[running_status("c://a"), creating, running_status("c://a")],
        &[&["+c://a"], &[], &[], &["-c://a PodDeleted"]],
    );
}

#[test]
fn a_container_that_the_runtime_lost_has_stopped() {
    let lost = json!({ "state": { "terminated": { "exitCode": 137, "reason": "ContainerStatusUnknown" } } });
    check(&[running_status("c://a"), lost.clone()], &[&["+c://a"], &["-c://a ContainerStatusUnknown"], &[]]);
    check(&[lost], &[&[], &[]]);
}

#[test]
fn a_running_container_without_an_id_is_told_apart_by_its_restarts() {
    let nameless = |restarts: i64| json!({ "restartCount": restarts, "state": { "running": { "startedAt": "2026-01-01T00:00:01Z" } } });
    check(
        &[nameless(0), nameless(0), nameless(1)],
        &[&["+unknown://0"], &[], &["-unknown://0 Replaced", "+unknown://1"], &["-unknown://1 PodDeleted"]],
    );
}

#[test]
fn every_kind_of_slot_is_reported_as_what_it_is() {
    let spec = json!({
        "initContainers": [
            { "name": "app", "image": "init" }, { "name": "proxy", "image": "proxy", "restartPolicy": "Always" }
        ],
        "containers": [{ "name": "app", "image": "main" }],
        "ephemeralContainers": [{ "name": "app", "image": "debug" }],
    });
    let kind = |list: &str, name: &str| {
        let status = with(running_status("c://a"), "name", json!(name));
        let pod = pod_of(spec.clone(), list, status);
        let workload = workload();
        let containers = running(&pod, View { cluster_name: "prod", workload: &workload, seen: seen() });
        containers[0].slot_kind.clone()
    };
    assert_eq!(kind("initContainerStatuses", "app"), SlotKind::Init);
    assert_eq!(kind("initContainerStatuses", "proxy"), SlotKind::Sidecar);
    assert_eq!(kind("containerStatuses", "app"), SlotKind::Main);
    assert_eq!(kind("ephemeralContainerStatuses", "app"), SlotKind::Ephemeral);
}

#[test]
fn a_digest_that_becomes_known_later_asks_for_an_inventory_and_not_for_a_second_start() {
    let workload = workload();
    let view = View { cluster_name: "prod", workload: &workload, seen: seen() };
    let first = change(None, &pod(with(running_status("c://a"), "imageID", json!(""))), view);
    assert!(!first.clarified);
    let second = change(Some(first.known), &pod(running_status("c://a")), view);
    assert!(second.clarified && second.events.is_empty());
    let third = change(Some(second.known), &pod(running_status("c://a")), view);
    assert!(!third.clarified);
}

#[test]
fn the_container_carries_what_the_spec_and_the_status_say() {
    let workload = workload();
    let view = View { cluster_name: "prod", workload: &workload, seen: seen() };
    let change = change(None, &pod(running_status("c://a")), view);
    let Event::ContainerStarted(data) = &change.events[0].event else { panic!() };
    let container = &data.container;
    assert_eq!(container.image, Some("ghcr.io/acme/app:v1".parse().unwrap()));
    assert_eq!(container.image_text, "ghcr.io/acme/app:v1");
    assert_eq!(container.digest, Some(DIGEST_A.parse().unwrap()));
    assert_eq!(container.started_at, "2026-01-01T00:00:01Z".parse().unwrap());
    assert_eq!(container.workload, workload);
    assert_eq!(change.events[0].occurred, container.started_at);
}

#[test]
fn hostile_text_is_cut_and_kept_as_text_only() {
    let spec = json!({ "containers": [{ "name": "app", "image": "\u{1b}[31m".repeat(1000) }] });
    let status = with(running_status(&"c".repeat(5000)), "imageID", json!("x".repeat(5000)));
    let pod = pod_of(spec, "containerStatuses", status);
    let workload = workload();
    let containers = running(&pod, View { cluster_name: "prod", workload: &workload, seen: seen() });
    let container = &containers[0];
    assert_eq!(container.image, None);
    assert_eq!(container.digest, None);
    for text in [&container.image_text, &container.image_id, &container.container_id] {
        assert!(text.len() <= crate::kubernetes::cut::TEXT_BYTES_MAX);
    }
}

#[test]
fn a_container_that_failed_to_start_has_no_time_before_its_pod() {
    let failed = json!({ "containerID": "c://a", "state": { "terminated": {
        "containerID": "c://a", "exitCode": 128, "reason": "StartError",
        "startedAt": "1970-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:02Z"
    }}});
    let workload = workload();
    let change = change(None, &pod(failed), View { cluster_name: "prod", workload: &workload, seen: seen() });
    assert_eq!(change.events[0].occurred, "2026-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(change.events[1].occurred, "2026-01-01T00:00:02Z".parse().unwrap());
}

/// A runtime that starts and ends containers in one slot, and is looked at now and then.
#[derive(Debug, Clone)]
enum Step {
    Start,
    End,
    Look,
    /// The kubelet waits before it starts the container again.
    BackOff,
}

#[derive(Default)]
struct Slot {
    started: usize,
    is_running: bool,
    backs_off: bool,
}

impl Slot {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Start if !self.is_running => {
                self.started += 1;
                self.is_running = true;
                self.backs_off = false;
            }
            Step::End => self.is_running = false,
            Step::BackOff if !self.is_running => self.backs_off = true,
            _ => {}
        }
    }

    fn status(&self) -> Value {
        let id = |number: usize| format!("c://{number}");
        let before = |number: usize| if number > 1 { terminated(&id(number - 1)) } else { json!({}) };
        let current = self.started;
        if current == 0 {
            return json!({ "state": { "waiting": { "reason": "ContainerCreating" } } });
        }
        if self.is_running {
            return with(running_status(&id(current)), "lastState", before(current));
        }
        let (state, last) = match self.backs_off {
            true => (json!({ "waiting": { "reason": "CrashLoopBackOff" } }), terminated(&id(current))),
            false => (terminated(&id(current)), before(current)),
        };
        json!({ "containerID": id(current), "state": state, "lastState": last })
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![Just(Step::Start), Just(Step::End), Just(Step::Look), Just(Step::BackOff)];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn whatever_was_missed_the_events_agree_with_what_runs(steps in steps()) {
        let workload = workload();
        let view = View { cluster_name: "prod", workload: &workload, seen: seen() };
        let (mut slot, mut known) = (Slot::default(), None);
        let (mut said, mut open) = (BTreeSet::new(), BTreeSet::new());
        for step in &steps {
            slot.step(step);
            if !matches!(step, Step::Look) {
                continue;
            }
            let pod = pod(slot.status());
            let change = change(known.take(), &pod, view);
            known = Some(change.known);
            for text in change.events.iter().map(show) {
                let id = text[1..].split(' ').next().unwrap().to_owned();
                match text.starts_with('+') {
                    true => prop_assert!(said.insert(id.clone()) && open.insert(id), "{} started twice", text),
                    false => prop_assert!(open.remove(&id), "{} did not run", text),
                }
            }
            let expected: BTreeSet<String> =
                running(&pod, view).into_iter().map(|container| container.container_id).collect();
            prop_assert_eq!(&open, &expected);
        }
    }
}
