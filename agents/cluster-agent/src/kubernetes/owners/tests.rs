#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::sync::Mutex;

use super::*;
use crate::kubernetes::payload::read_pod;

/// Objects by namespace, kind and name, and what was asked.
#[derive(Default)]
struct FakeSource {
    objects: HashMap<(String, String), Result<Owned, LookupError>>,
    asked: Mutex<Vec<String>>,
    hangs: bool,
}

impl FakeSource {
    fn with(mut self, kind: &str, name: &str, owners: &[OwnerReference]) -> FakeSource {
        let owned = Owned { uid: format!("{kind}-{name}"), owners: owners.to_vec() };
        self.objects.insert((kind.to_owned(), name.to_owned()), Ok(owned));
        self
    }

    fn failing(mut self, kind: &str, name: &str, error: LookupError) -> FakeSource {
        self.objects.insert((kind.to_owned(), name.to_owned()), Err(error));
        self
    }
}

#[async_trait]
impl OwnerSource for FakeSource {
    async fn owners(&self, _: &str, kind: &OwnerKind, name: &str) -> Result<Owned, LookupError> {
        self.asked.lock().unwrap().push(format!("{}/{name}", kind.kind));
        if self.hangs {
            std::future::pending::<()>().await;
        }
        let key = (kind.kind.clone(), name.to_owned());
        self.objects.get(&key).cloned().unwrap_or(Err(LookupError::NotFound))
    }
}

fn reference(api_version: &str, kind: &str, name: &str) -> OwnerReference {
    OwnerReference {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        uid: format!("{kind}-{name}"),
        controller: Some(true),
    }
}

fn replica_set(name: &str) -> OwnerReference {
    reference("apps/v1", "ReplicaSet", name)
}

fn deployment(name: &str) -> OwnerReference {
    reference("apps/v1", "Deployment", name)
}

fn pod(owners: &[OwnerReference]) -> Pod {
    let mut pod = *read_pod(r#"{"metadata":{"name":"app-1","namespace":"shop","uid":"u"}}"#).unwrap();
    pod.metadata.owner_references = owners.to_vec();
    pod
}

fn owners(source: FakeSource) -> Owners<FakeSource> {
    Owners::new(source, &crate::settings::default_owner_kinds())
}

async fn check(source: FakeSource, pod: &Pod, expected: &str) {
    let found = owners(source).workload(pod).await;
    assert_eq!(format!("{}/{}", found.kind, found.name), expected);
}

#[tokio::test]
async fn a_pod_of_a_deployment_belongs_to_the_deployment() {
    let source = FakeSource::default().with("ReplicaSet", "app-5d9", &[deployment("app")]);
    check(source, &pod(&[replica_set("app-5d9")]), "Deployment/app").await;
}

#[tokio::test]
async fn a_pod_of_a_cron_job_belongs_to_the_cron_job() {
    let cron_job = reference("batch/v1", "CronJob", "backup");
    let source = FakeSource::default().with("Job", "backup-289", &[cron_job]);
    check(source, &pod(&[reference("batch/v1", "Job", "backup-289")]), "CronJob/backup").await;
}

#[tokio::test]
async fn a_job_that_is_gone_belonged_to_the_cron_job_whose_minute_it_names() {
    // 2026-03-02T08:00:00Z is minute 29540640.
    let at = |made: &str, job: &str| {
        let mut pod = pod(&[reference("batch/v1", "Job", job)]);
        pod.metadata.creation_timestamp = Some(made.parse().unwrap());
        pod
    };
    let gone = FakeSource::default;
    check(gone(), &at("2026-03-02T08:00:04Z", "backup-29540640"), "CronJob/backup").await;
    check(gone(), &at("2026-03-02T13:10:00Z", "backup-29540640"), "CronJob/backup").await;
    // A number that is no such minute was chosen by somebody: a date, a count, a minute to come, one of last week.
    for job in
        ["backup-20260302", "backup-7", "backup-29540700", "backup-29530000", "backup-029540640", "-29540640"]
    {
        check(gone(), &at("2026-03-02T08:00:04Z", job), &format!("Job/{job}")).await;
    }
    // What can be read is not assumed.
    let own = FakeSource::default().with("Job", "backup-29540640", &[]);
    check(own, &at("2026-03-02T08:00:04Z", "backup-29540640"), "Job/backup-29540640").await;
    let mut undated = at("2026-03-02T08:00:04Z", "backup-29540640");
    undated.metadata.creation_timestamp = None;
    check(gone(), &undated, "Job/backup-29540640").await;
}

#[tokio::test]
async fn a_custom_owner_of_a_replica_set_is_the_workload() {
    let rollout = reference("argoproj.io/v1alpha1", "Rollout", "app");
    let source = FakeSource::default().with("ReplicaSet", "app-5d9", &[rollout]);
    check(source, &pod(&[replica_set("app-5d9")]), "Rollout/app").await;
}

#[tokio::test]
async fn an_owner_without_owners_is_the_workload() {
    let source = FakeSource::default().with("ReplicaSet", "by-hand", &[]);
    check(source, &pod(&[replica_set("by-hand")]), "ReplicaSet/by-hand").await;
    let set = reference("apps/v1", "StatefulSet", "db");
    check(FakeSource::default(), &pod(&[set]), "StatefulSet/db").await;
    let custom = reference("sparkoperator.k8s.io/v1beta2", "SparkApplication", "etl");
    check(FakeSource::default(), &pod(&[custom]), "SparkApplication/etl").await;
}

#[tokio::test]
async fn a_pod_without_owners_is_its_own_workload() {
    check(FakeSource::default(), &pod(&[]), "Pod/app-1").await;
}

#[tokio::test]
async fn a_static_pod_is_its_own_workload_and_not_its_nodes() {
    check(FakeSource::default(), &pod(&[reference("v1", "Node", "master-0")]), "Pod/app-1").await;
    let mut mirror = pod(&[deployment("other")]);
    mirror.metadata.annotations.mirror = Some("hash".to_owned());
    check(FakeSource::default(), &mirror, "Pod/app-1").await;
}

#[tokio::test]
async fn the_managing_owner_is_preferred_to_the_first_one() {
    let mut other = deployment("bystander");
    other.controller = None;
    check(FakeSource::default(), &pod(&[other.clone(), deployment("app")]), "Deployment/app").await;
    check(FakeSource::default(), &pod(&[other]), "Deployment/bystander").await;
}

#[tokio::test]
async fn a_replica_set_that_cannot_be_read_is_a_deployments_only_if_the_label_says_so() {
    let denied = || FakeSource::default().failing("ReplicaSet", "app-5d9", LookupError::Denied);
    let mut labelled = pod(&[replica_set("app-5d9")]);
    labelled.metadata.labels.pod_template_hash = Some("5d9".to_owned());
    check(denied(), &labelled, "Deployment/app").await;
    check(FakeSource::default(), &labelled, "Deployment/app").await;

    for label in [None, Some("other"), Some(""), Some("app-5d9")] {
        labelled.metadata.labels.pod_template_hash = label.map(str::to_owned);
        check(denied(), &labelled, "ReplicaSet/app-5d9").await;
    }
}

#[tokio::test]
async fn an_object_of_the_same_name_and_another_uid_is_not_the_owner() {
    let source = FakeSource::default().with("ReplicaSet", "app-5d9", &[deployment("app")]);
    let mut stale = replica_set("app-5d9");
    stale.uid = "an-older-one".to_owned();
    check(source, &pod(&[stale]), "ReplicaSet/app-5d9").await;
}

#[tokio::test]
async fn circles_and_endless_chains_end() {
    let circle = FakeSource::default().with("ReplicaSet", "a", &[reference("batch/v1", "Job", "b")]).with(
        "Job",
        "b",
        &[replica_set("a")],
    );
    check(circle, &pod(&[replica_set("a")]), "Job/b").await;

    let mut endless = FakeSource::default();
    for step in 0..100 {
        endless = endless.with("ReplicaSet", &format!("r{step}"), &[replica_set(&format!("r{}", step + 1))]);
    }
    let owners = owners(endless);
    owners.workload(&pod(&[replica_set("r0")])).await;
    assert!(owners.source.asked.lock().unwrap().len() <= OWNER_DEPTH_MAX);
}

#[tokio::test]
async fn answers_and_failures_are_asked_for_once() {
    let owners = owners(FakeSource::default().with("ReplicaSet", "app-5d9", &[deployment("app")]));
    for _ in 0..3 {
        owners.workload(&pod(&[replica_set("app-5d9")])).await;
        owners.workload(&pod(&[replica_set("missing")])).await;
    }
    assert_eq!(*owners.source.asked.lock().unwrap(), ["ReplicaSet/app-5d9", "ReplicaSet/missing"]);
}

#[tokio::test]
async fn a_source_that_never_answers_blocks_no_events() {
    let mut owners = owners(FakeSource { hangs: true, ..FakeSource::default() });
    owners.walk_time_max = Duration::from_millis(20);
    let mut labelled = pod(&[replica_set("app-5d9")]);
    assert_eq!(owners.workload(&labelled).await.kind, "ReplicaSet");
    labelled.metadata.labels.pod_template_hash = Some("5d9".to_owned());
    assert_eq!(owners.workload(&labelled).await.kind, "Deployment");
}
