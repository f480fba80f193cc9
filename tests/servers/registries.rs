//! The two registries, with crane and the raw client.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use harness::servers::crane::Crane;
use harness::servers::distribution::{Distribution, DistributionPlan, NotificationEndpoint};
use harness::servers::listener::Listener;
use harness::servers::login::Login;
use harness::servers::oci::{OciClient, PlatformManifest};
use harness::servers::refreg::{Fault, FaultKind, Refreg, RefregPlan};
use serde_json::Value;
use tempfile::tempdir;

const NOTIFIED_WITHIN: Duration = Duration::from_secs(20);

#[tokio::test]
async fn distribution_notifies_of_a_push_with_its_actor() {
    let folder = tempdir().unwrap();
    let listener = Listener::start().await.unwrap();
    let login = Login::new("ci-bot", "s3cret");
    let plan = DistributionPlan {
        users: vec![login.clone(), Login::new("alice", "other")],
        notifications: vec![NotificationEndpoint {
            name: "custody".to_owned(),
            url: format!("{}/events", listener.url()),
            headers: BTreeMap::from([(
                "Authorization".to_owned(),
                "Bearer token-of-the-registry".to_owned(),
            )]),
        }],
    };
    let mut registry = Distribution::start(folder.path(), &plan).await.unwrap();
    let reference = format!("{}/acme/app:v1", registry.host());

    let nobody = Crane::anonymous(folder.path().join("nobody")).unwrap();
    nobody.push_image(&reference, "one").await.unwrap_err();

    let crane = Crane::logged_in(folder.path().join("ci-bot"), registry.host(), &login).unwrap();
    let digest = crane.push_image(&reference, "one").await.unwrap();
    assert_eq!(crane.push_image(&reference, "one").await.unwrap(), digest, "same content, same digest");
    assert_ne!(crane.push_image(&reference, "two").await.unwrap(), digest);

    let told = listener.wait_for(NOTIFIED_WITHIN, |request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let event = &body["events"][0];
        event["target"]["tag"] == "v1" && event["target"]["digest"] == digest.as_str()
    });
    let told = told.await.unwrap();
    assert_eq!(told.headers["authorization"], "Bearer token-of-the-registry");
    let body: Value = serde_json::from_slice(&told.body).unwrap();
    assert_eq!(body["events"][0]["action"], "push");
    assert_eq!(body["events"][0]["actor"]["name"], "ci-bot");

    registry.process.kill();
    crane.digest(&reference).await.unwrap_err();
    registry.start_again().await.unwrap();
    crane.digest(&reference).await.unwrap();
}

#[tokio::test]
async fn a_bundle_is_attached_with_and_without_a_referrers_api() {
    let folder = tempdir().unwrap();
    let distribution = Distribution::start(folder.path(), &DistributionPlan::default()).await.unwrap();
    let refreg = Refreg::start(folder.path(), &RefregPlan::default()).await.unwrap();
    for (host, native) in [(distribution.host(), false), (refreg.host(), true)] {
        let client = OciClient::new(host, None).unwrap();
        let subject = client.push_image("acme/app", Some("v1"), ("linux", "amd64"), "one").await.unwrap();
        let attached =
            client.attach_bundle("acme/app", &subject, "https://slsa.dev/provenance/v1", b"{}").await;
        let attached = attached.unwrap();
        let listed = client.referrers("acme/app", &subject.digest).await.unwrap();
        assert_eq!(listed.is_some(), native);
        let listed = match listed {
            Some(index) => index,
            None => {
                let tag = harness::servers::oci::evidence_tag(&subject.digest);
                let (content, _) = client.manifest("acme/app", &tag).await.unwrap().unwrap();
                serde_json::from_slice(&content).unwrap()
            }
        };
        assert_eq!(listed["manifests"][0]["digest"], attached.digest.as_str(), "{host}");
    }
}

#[tokio::test]
async fn an_index_lists_platforms() {
    let folder = tempdir().unwrap();
    let refreg = Refreg::start(folder.path(), &RefregPlan::default()).await.unwrap();
    let client = OciClient::new(refreg.host(), None).unwrap();
    let mut manifests = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let descriptor =
            client.push_image("acme/app", None, ("linux", architecture), architecture).await.unwrap();
        let (os, architecture) = ("linux".to_owned(), architecture.to_owned());
        manifests.push(PlatformManifest { descriptor, os, architecture });
    }
    let index = client.push_index("acme/app", Some("v1"), &manifests).await.unwrap();
    let crane = Crane::anonymous(folder.path().join("crane")).unwrap();
    assert_eq!(crane.digest(&format!("{}/acme/app:v1", refreg.host())).await.unwrap(), index.digest);
    assert_eq!(crane.tags(&format!("{}/acme/app", refreg.host())).await.unwrap(), ["v1"]);
}

#[tokio::test]
async fn refreg_asks_for_a_login_and_shows_faults() {
    let folder = tempdir().unwrap();
    let login = Login::new("ci-bot", "s3cret");
    let plan = RefregPlan { users: vec![login.clone()], ..RefregPlan::default() };
    let refreg = Refreg::start(folder.path(), &plan).await.unwrap();
    let nobody = OciClient::new(refreg.host(), None).unwrap();
    nobody.push_blob("acme/app", "x").await.unwrap_err();
    let client = OciClient::new(refreg.host(), Some(&login)).unwrap();
    let image = client.push_image("acme/app", Some("v1"), ("linux", "amd64"), "one").await.unwrap();
    refreg.forget_requests().await.unwrap();

    let limited = FaultKind::Status { status: 429, retry_after_seconds: Some(7) };
    let once = Fault { times: Some(1), ..Fault::new("/manifests/", limited) };
    refreg.set_faults(&[once, Fault::status("/referrers/", 503)]).await.unwrap();
    let get = || client.request(reqwest::Method::GET, "acme/app/manifests/v1");
    let answer = get().send().await.unwrap();
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["retry-after"], "7");
    assert_eq!(get().send().await.unwrap().status(), 200, "the fault shows once");
    client.referrers("acme/app", &image.digest).await.unwrap_err();

    refreg.set_faults(&[Fault::new("/manifests/", FaultKind::HalfBody)]).await.unwrap();
    let cut = get().send().await.unwrap();
    assert_eq!(cut.status(), 200);
    cut.bytes().await.unwrap_err();

    refreg.set_faults(&[Fault::new("/manifests/", FaultKind::Hang)]).await.unwrap();
    let started = Instant::now();
    assert!(get().timeout(Duration::from_millis(300)).send().await.unwrap_err().is_timeout());
    assert!(started.elapsed() < Duration::from_secs(10));

    refreg.set_faults(&[]).await.unwrap();
    assert_eq!(get().send().await.unwrap().status(), 200);
    let answered = refreg.requests().await.unwrap();
    let faults: Vec<&str> =
        answered.iter().map(|request| request.fault.as_str()).filter(|fault| !fault.is_empty()).collect();
    assert_eq!(faults, ["status", "status", "half_body", "hang"]);
    assert!(answered.iter().all(|request| request.user == "ci-bot"));
}
