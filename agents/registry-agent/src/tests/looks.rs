//! One look without a bus: the same finds and the same problems as a question's answer.

use bus_schema::Event;
use bus_schema::fleet::Unavailable;
use futures::future::join_all;
use serde_json::json;

use crate::api::client::RegistryClient;
use crate::api::fake::{Fake, Fault};
use crate::settings::Settings;
use crate::{Collected, LookError, look_once};

async fn look(fake: &Fake, reference: &str) -> Result<Collected, LookError> {
    let settings = Settings::of_named_host(&fake.host, None).unwrap();
    look_once(&settings, &format!("{}/{reference}", fake.host).parse().unwrap()).await
}

fn count(collected: &Collected, is_counted: impl Fn(&Event) -> bool) -> usize {
    collected.events.iter().filter(|event| is_counted(event)).count()
}

#[tokio::test]
async fn a_look_finds_the_index_its_platforms_and_the_evidence_of_each_place() {
    let fake = Fake::start().await;
    fake.set().native_referrers = true;
    let image = fake.image("acme/app", Some("v1"), "one");
    fake.attach("acme/app", image, b"a");
    let signing = "application/vnd.dev.cosign.simplesigning.v1+json";
    let signature = fake.cosign("acme/app", image, "sig", signing, b"b");
    let found = look(&fake, "acme/app:v1").await.unwrap();
    assert_eq!((found.digest, &found.end), (image, &Unavailable::NotFound), "{found:?}");
    assert_eq!(count(&found, |event| matches!(event, Event::ImageResolved(_))), 1);
    assert_eq!(count(&found, |event| matches!(event, Event::AttestationAttached(_))), 2);
    assert!(found.unread.is_empty() && !found.is_missing);
    let by_digest = look(&fake, &format!("acme/app@{image}")).await.unwrap();
    assert_eq!(by_digest.events.len(), found.events.len());
    assert_ne!(signature, image);
}

#[tokio::test]
async fn a_place_that_fails_is_named_and_never_nothing() {
    for (status, reason) in
        [(403, Unavailable::Denied), (429, Unavailable::RateLimited), (500, Unavailable::Unreachable)]
    {
        let fake = Fake::start().await;
        fake.set().native_referrers = true;
        let image = fake.image("acme/app", Some("v1"), "one");
        fake.fault("/referrers/", Fault::Status(status));
        let found = look(&fake, "acme/app:v1").await.unwrap();
        assert_eq!((found.digest, &found.end), (image, &reason), "{found:?}");
        assert_eq!(found.unread.len(), 1);
        assert_eq!((found.unread[0].place.as_str(), &found.unread[0].reason), ("referrers", &reason));
    }
}

#[tokio::test]
async fn a_list_of_referrers_is_looked_for_where_the_registry_leads_whoever_named_it() {
    let fake = Fake::start().await;
    fake.image("acme/app", Some("v1"), "one");
    fake.fault("/referrers/", Fault::Redirect("https://127.0.0.1:1/packages".to_owned()));
    let found = look(&fake, "acme/app:v1").await.unwrap();
    assert_eq!((&found.end, found.unread.len()), (&Unavailable::Unreachable, 1), "{found:?}");
}

#[tokio::test]
async fn what_is_not_there_is_told_apart_from_what_cannot_be_asked() {
    let fake = Fake::start().await;
    fake.image("acme/app", Some("v1"), "one");
    assert!(matches!(look(&fake, "acme/app:v2").await, Err(LookError::NotThere { .. })));
    fake.fault("/manifests/v1", Fault::Status(500));
    assert!(matches!(look(&fake, "acme/app:v1").await, Err(LookError::Unresolved { .. })));
    fake.set().faults.clear();
    fake.set().token = Some("secret".to_owned());
    fake.fault("/token", Fault::Status(404));
    assert!(matches!(look(&fake, "acme/app:v1").await, Err(LookError::Unresolved { .. })));
    fake.set().faults.clear();
    fake.set().token = None;
    let missing = bus_schema::Digest::sha256_of(json!("none").to_string().as_bytes());
    assert!(look(&fake, &format!("acme/app@{missing}")).await.unwrap().is_missing);
    // What stands in front of a registry that is away knows nothing at all.
    fake.fault("/v2/", Fault::Status(404));
    assert!(matches!(look(&fake, "acme/app:v2").await, Err(LookError::Unresolved { .. })));
    let found = look(&fake, &format!("acme/app@{missing}")).await.unwrap();
    assert!(!found.is_missing && found.end != Unavailable::NotFound, "{found:?}");
    let elsewhere = Settings::of_named_host("registry.example", None).unwrap();
    let image = format!("{}/acme/app:v1", fake.host).parse().unwrap();
    assert!(matches!(look_once(&elsewhere, &image).await, Err(LookError::Unconfigured { .. })));
}

#[tokio::test]
async fn requests_that_are_challenged_at_once_fetch_one_token() {
    let fake = Fake::start().await;
    fake.set().token = Some("secret".to_owned());
    fake.image("acme/app", Some("v1"), "one");
    let settings = Settings::of_named_host(&fake.host, None).unwrap();
    let client = RegistryClient::new(&settings.registries[0]).unwrap();
    let repository = fake.repository("acme/app");
    let asked = std::iter::repeat_with(|| client.tagged(&repository, "v1")).take(5);
    assert!(join_all(asked).await.iter().all(Result::is_ok));
    let requests = fake.set().requests.clone();
    assert_eq!(
        requests.iter().filter(|request| request.starts_with("GET /token")).count(),
        1,
        "{requests:?}"
    );
}
