//! Questions about a digest, and everything that may go wrong while answering.

use std::time::Duration;

use bus_schema::fleet::Unavailable;
use bus_schema::registry::{EvidencePlace, Resolved};
use bus_schema::{Digest, Event};
use serde_json::json;

use super::bench::{Bench, section};
use crate::api::fake::{BUNDLE, Fake, Fault};
use crate::media_type::{OCI_INDEX, OCI_MANIFEST};

const APP: &str = "acme/app";

#[tokio::test]
async fn an_index_is_resolved_to_configs_and_evidence_is_found_in_every_place() {
    let bench = Bench::start().await;
    let fake = &bench.fake;
    fake.set().native_referrers = true;
    let (amd, arm, note) =
        (fake.image(APP, None, "amd"), fake.image(APP, None, "arm"), fake.image(APP, None, "note"));
    let index = fake.index(APP, Some("v1"), &[("amd64", amd), ("arm64", arm), ("unknown", note)]);
    let native = fake.attach(APP, index, b"native");
    let listed = fake.attach(APP, amd, b"listed");
    fake.fallback(APP, amd, &[listed]);
    let sig = fake.cosign(APP, index, "sig", "application/vnd.dev.cosign.simplesigning.v1+json", b"sig");
    let att = fake.cosign(APP, arm, "att", "application/vnd.dsse.envelope.v1+json", b"att");
    let sbom = fake.cosign(APP, index, "sbom", "text/spdx+json", b"sbom");
    let answer = bench.ask(&fake.repository(APP), index).await;
    assert_eq!(answer.reason, Unavailable::NotFound, "{answer:?}");
    let mut found: Vec<_> = bench
        .attached()
        .await
        .into_iter()
        .map(|event| (event.subject, event.manifest, event.place))
        .collect();
    found.sort();
    let mut expected = vec![
        (index, native, EvidencePlace::Referrers),
        (amd, listed, EvidencePlace::Referrers),
        (index, sig, EvidencePlace::CosignSignatureTag),
        (arm, att, EvidencePlace::CosignAttestationTag),
        (index, sbom, EvidencePlace::CosignSbomTag),
    ];
    expected.sort();
    assert_eq!(found, expected);
    let resolved: Vec<_> = bench
        .said()
        .await
        .into_iter()
        .filter_map(|envelope| match envelope.event {
            Event::ImageResolved(event) => Some((event.digest, event.resolved)),
            _ => None,
        })
        .collect();
    assert_eq!(resolved.len(), 3, "{resolved:?}");
    let Resolved::Index { manifests, cut: false } = &resolved[0].1 else { panic!("{resolved:?}") };
    assert_eq!(manifests.iter().map(|listed| listed.attestation).collect::<Vec<_>>(), [false, false, true]);
    assert!(matches!(resolved[1], (digest, Resolved::Manifest { config })
        if digest == amd && config == Digest::sha256_of(b"config amd")));
    assert_eq!(answer.found, 8);
}

#[tokio::test]
async fn nothing_attached_is_said_only_when_every_place_said_so() {
    let bench = Bench::start().await;
    let image = bench.fake.image(APP, Some("v1"), "a");
    let repository = bench.fake.repository(APP);
    assert_eq!(bench.ask(&repository, image).await.reason, Unavailable::NotFound);
    let places = ["referrers/", "manifests/sha256-", ".sig", ".att", ".sbom", "manifests/sha256:"];
    let faults = [
        (Fault::Status(401), Unavailable::Denied),
        (Fault::Status(403), Unavailable::Denied),
        (Fault::Status(429), Unavailable::RateLimited),
        (Fault::Status(500), Unavailable::Unreachable),
        (Fault::Status(503), Unavailable::Unreachable),
        (Fault::Status(400), Unavailable::Unreadable),
        (Fault::Status(204), Unavailable::Unreadable),
        (Fault::HalfBody, Unavailable::Unreachable),
        (Fault::Other("<html>not found</html>"), Unavailable::Unreadable),
        (Fault::Oversize, Unavailable::CutOff),
        (Fault::Redirect("http://169.254.169.254/latest".to_owned()), Unavailable::Denied),
        (Fault::Challenge("https://evil.example/token".to_owned()), Unavailable::Denied),
    ];
    for place in places {
        for (fault, expected) in &faults {
            let says_there_is_no_api =
                matches!(fault, Fault::Status(400) | Fault::Other(_) | Fault::Redirect(_));
            if place == "referrers/" && says_there_is_no_api {
                continue;
            }
            bench.fake.fault(place, fault.clone());
            let answer = bench.ask(&repository, image).await;
            bench.fake.set().faults.clear();
            assert_eq!(answer.reason, *expected, "{place} {fault:?}: {}", answer.detail);
        }
    }
    assert_eq!(bench.ask(&repository, image).await.reason, Unavailable::NotFound);
}

#[tokio::test]
async fn a_registry_without_the_referrers_api_says_so_in_many_ways_and_the_fallback_tag_is_read() {
    let bench = Bench::start().await;
    let image = bench.fake.image(APP, Some("v1"), "a");
    let listed = bench.fake.attach(APP, image, b"listed");
    bench.fake.fallback(APP, image, &[listed]);
    let repository = bench.fake.repository(APP);
    let page = "<html>sign in</html>";
    for (fault, expected) in [
        (Fault::Status(404), Unavailable::NotFound),
        (Fault::Status(400), Unavailable::NotFound),
        (Fault::Status(405), Unavailable::NotFound),
        (Fault::Status(406), Unavailable::NotFound),
        (Fault::Called("text/html; charset=utf-8", page), Unavailable::NotFound),
        (Fault::Called("application/json", r#"{"errors":[]}"#), Unavailable::NotFound),
        (Fault::Redirect("https://forge.example/-/v2/packages".to_owned()), Unavailable::NotFound),
        (Fault::Called(OCI_INDEX, page), Unavailable::Unreadable),
        (Fault::Called(OCI_INDEX, r#"{"errors":[]}"#), Unavailable::Unreadable),
        (Fault::Status(410), Unavailable::Unreadable),
        (Fault::HalfBody, Unavailable::Unreachable),
    ] {
        bench.fake.fault("/referrers/", fault.clone());
        let answer = bench.ask(&repository, image).await;
        bench.fake.set().faults.clear();
        assert_eq!((&answer.reason, answer.found), (&expected, 2), "{fault:?}: {}", answer.detail);
    }
    assert!(bench.attached().await.iter().all(|event| event.place == EvidencePlace::FallbackTag));
}

#[tokio::test]
async fn a_list_of_referrers_is_one_whatever_it_is_called() {
    let bench = Bench::start().await;
    let image = bench.fake.image(APP, Some("v1"), "a");
    let listed = bench.fake.attach(APP, image, b"listed");
    let list =
        json!({"schemaVersion": 2, "manifests": [{"mediaType": OCI_MANIFEST, "digest": listed, "size": 2}]});
    let list: &'static str = Box::leak(list.to_string().into_boxed_str());
    bench.fake.fault("/referrers/", Fault::Called("application/json", list));
    assert_eq!(bench.ask(&bench.fake.repository(APP), image).await.reason, Unavailable::NotFound);
    assert_eq!(bench.attached().await[0].manifest, listed);
}

#[tokio::test]
async fn what_an_index_lists_is_not_attached_to_it_where_its_fallback_tag_is_its_digest() {
    let bench = Bench::start().await;
    let bundle = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::sha256_of(b"{}"), "size": 2},
        "layers": [{"mediaType": BUNDLE, "digest": bench.fake.blob(APP, b"of itself"), "size": 9}]});
    let bundle = bench.fake.manifest(APP, None, OCI_MANIFEST, &bundle);
    let index = bench.fake.index(APP, Some("v1"), &[("amd64", bundle)]);
    bench.fake.set().takes_dashes = true;
    assert_eq!(bench.ask(&bench.fake.repository(APP), index).await.reason, Unavailable::NotFound);
    assert!(bench.attached().await.is_empty(), "{:?}", bench.attached().await);
}

#[tokio::test]
async fn a_registry_that_hangs_or_is_gone_is_unreachable() {
    let bench = Bench::start().await;
    let image = bench.fake.image(APP, Some("v1"), "a");
    bench.fake.fault(".sig", Fault::Hang);
    let answer = bench.ask(&bench.fake.repository(APP), image).await;
    assert_eq!(answer.reason, Unavailable::Unreachable, "{}", answer.detail);
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let gone = Bench::of(Fake::start().await, section(&unused, "")).await;
    let repository = bus_schema::ImageRepository::new(&unused, APP).unwrap();
    assert_eq!(gone.ask(&repository, image).await.reason, Unavailable::Unreachable);
}

#[tokio::test]
async fn a_throttled_fallback_behind_a_missing_referrers_api_is_not_empty() {
    let bench = Bench::start().await;
    let image = bench.fake.image(APP, Some("v1"), "a");
    bench.fake.fault(&format!("manifests/{}", image.fallback_tag()), Fault::RetryAfter(429, "7"));
    let answer = bench.ask(&bench.fake.repository(APP), image).await;
    assert_eq!(answer.reason, Unavailable::RateLimited, "{}", answer.detail);
}

#[tokio::test]
async fn what_can_be_read_is_reported_beside_what_cannot() {
    let bench = Bench::start().await;
    let image = bench.fake.image(APP, Some("v1"), "a");
    let sig =
        bench.fake.cosign(APP, image, "sig", "application/vnd.dev.cosign.simplesigning.v1+json", b"sig");
    bench.fake.fault(".att", Fault::Status(503));
    let answer = bench.ask(&bench.fake.repository(APP), image).await;
    assert_eq!(answer.reason, Unavailable::Unreachable);
    assert_eq!(answer.found, 2, "the manifest and the signature");
    let attached = bench.attached().await;
    assert_eq!(attached[0].manifest, sig);
    assert_eq!(attached[0].items[0].annotations["dev.cosignproject.cosign/signature"], "MEUCIQ==");
}

#[tokio::test]
async fn a_manifest_of_which_a_layer_fails_is_said_whole_by_the_next_look() {
    let bench = Bench::start().await;
    let image = bench.fake.image(APP, Some("v1"), "a");
    let layers = [bench.fake.blob(APP, b"first"), bench.fake.blob(APP, b"second")];
    let layer = |digest: &Digest| json!({"mediaType": BUNDLE, "digest": digest, "size": 6});
    let two = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": image, "size": 2},
        "layers": layers.iter().map(layer).collect::<Vec<_>>(),
        "subject": {"mediaType": OCI_MANIFEST, "digest": image, "size": 2}});
    bench.fake.manifest(APP, None, OCI_MANIFEST, &two);
    bench.fake.set().native_referrers = true;
    let repository = bench.fake.repository(APP);
    for fault in [Fault::Status(503), Fault::Status(429), Fault::Status(404), Fault::HalfBody, Fault::Hang] {
        bench.fake.fault(&format!("/blobs/{}", layers[1]), fault.clone());
        let answer = bench.ask(&repository, image).await;
        bench.fake.set().faults.clear();
        assert_ne!(answer.reason, Unavailable::NotFound, "{fault:?}");
        assert!(bench.attached().await.is_empty(), "{fault:?}: half of a manifest was said");
    }
    assert_eq!(bench.ask(&repository, image).await.reason, Unavailable::NotFound);
    let attached = bench.attached().await;
    let [event] = &attached[..] else { panic!("{attached:?}") };
    assert_eq!((event.items.len(), event.cut), (2, false));
}

#[tokio::test]
async fn a_paged_list_of_referrers_is_read_to_its_end() {
    let bench = Bench::start().await;
    let image = bench.fake.image(APP, Some("v1"), "a");
    for n in 0..7 {
        bench.fake.attach(APP, image, format!("bundle {n}").as_bytes());
    }
    bench.fake.set().native_referrers = true;
    bench.fake.set().page = Some(2);
    let repository = bench.fake.repository(APP);
    assert_eq!(bench.ask(&repository, image).await.reason, Unavailable::NotFound);
    assert_eq!(bench.attached().await.len(), 7);
    bench.fake.fault("from=4", Fault::Status(404));
    let answer = bench.ask(&repository, image).await;
    assert_eq!(answer.reason, Unavailable::Unreadable, "a page in the middle is missing: {}", answer.detail);
}

#[tokio::test]
async fn what_a_list_names_is_attached_only_if_the_manifest_says_so() {
    let bench = Bench::start().await;
    let (image, other) = (bench.fake.image(APP, Some("v1"), "a"), bench.fake.image(APP, None, "b"));
    let of_other = bench.fake.attach(APP, other, b"of the other");
    {
        let mut fake = bench.fake.set();
        fake.native_referrers = true;
        fake.also_listed = vec![of_other, other];
    }
    assert_eq!(bench.ask(&bench.fake.repository(APP), image).await.reason, Unavailable::NotFound);
    assert!(bench.attached().await.is_empty());
}

#[tokio::test]
async fn large_evidence_goes_to_the_blobs_and_too_large_evidence_is_said() {
    let bench = Bench::start().await;
    let image = bench.fake.image(APP, Some("v1"), "a");
    let large = vec![b'x'; 200 * 1024];
    bench.fake.attach(APP, image, &large);
    bench.fake.attach(APP, image, b"small");
    bench.fake.set().native_referrers = true;
    let repository = bench.fake.repository(APP);
    assert_eq!(bench.ask(&repository, image).await.reason, Unavailable::NotFound);
    let attached = bench.attached().await;
    let blob = attached.iter().map(|event| &event.items[0].blob).find(|blob| blob.inline.is_none()).unwrap();
    assert_eq!((blob.digest, blob.size_bytes), (Digest::sha256_of(&large), 200 * 1024));
    assert_eq!(bench.bus.blobs().get(&blob.digest, large.len()).await.unwrap().unwrap(), large);
    // Fifty megabytes are announced and never fetched.
    let huge = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [
        {"mediaType": BUNDLE, "digest": Digest::sha256_of(b"huge"), "size": 50 * 1024 * 1024}],
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": image, "size": 2},
        "subject": {"mediaType": OCI_MANIFEST, "digest": image, "size": 2}});
    bench.fake.manifest(APP, None, OCI_MANIFEST, &huge);
    let answer = bench.ask(&repository, image).await;
    assert_eq!(answer.reason, Unavailable::CutOff, "{}", answer.detail);
    let asked =
        bench.fake.set().requests.iter().any(|line| line.contains(&Digest::sha256_of(b"huge").to_string()));
    assert!(!asked);
    // A registry that lies about the size is cut off at the bound.
    bench.fake.fault("/blobs/", Fault::Oversize);
    assert_eq!(bench.ask(&repository, image).await.reason, Unavailable::CutOff);
}

#[tokio::test]
async fn bytes_of_another_digest_are_never_reported() {
    let bench = Bench::start().await;
    let image = bench.fake.image(APP, Some("v1"), "a");
    bench.fake.attach(APP, image, b"genuine");
    bench.fake.set().native_referrers = true;
    bench.fake.fault("/blobs/", Fault::Other("forged"));
    let answer = bench.ask(&bench.fake.repository(APP), image).await;
    assert_eq!(answer.reason, Unavailable::Unreadable, "{}", answer.detail);
    assert!(bench.attached().await.is_empty());
}

#[tokio::test]
async fn what_was_pushed_so_that_it_cannot_be_read_is_no_failure_of_the_registry() {
    let bench = Bench::start().await;
    let fake = &bench.fake;
    fake.set().native_referrers = true;
    let repository = fake.repository(APP);
    let image = fake.image(APP, Some("v1"), "a");
    let twice = |subject: Digest| {
        let subject = json!({"mediaType": OCI_MANIFEST, "digest": subject, "size": 2});
        format!(r#"{{"layers":[],"config":{{"digest":"{image}"}},"layers":[],"subject":{subject}}}"#)
    };
    // An attached manifest, one under a tag of evidence, and the digest that is asked about.
    let attached = fake.bytes(APP, None, OCI_MANIFEST, twice(image));
    fake.set().also_listed.push(attached);
    let check = async |digest: Digest| {
        let answer = bench.ask(&repository, digest).await;
        assert_eq!(answer.reason, Unavailable::CutOff, "{}", answer.detail);
        let expected = "the manifest was delivered whole and cannot be read: duplicate field `layers`";
        assert!(answer.detail.contains(expected), "{}", answer.detail);
    };
    check(image).await;
    check(attached).await;
    fake.set().also_listed.clear();
    fake.bytes(APP, Some(&format!("{}.sig", image.fallback_tag())), OCI_MANIFEST, twice(image));
    check(image).await;
    // The same without its digest said, and a page that something in between shows.
    let sig = format!("GET /v2/{APP}/manifests/{}.sig", image.fallback_tag());
    fake.fault(&sig, Fault::Called(OCI_MANIFEST, Box::leak(twice(image).into_boxed_str())));
    check(image).await;
    fake.fault(&sig, Fault::Called("text/html", "<html>sign in</html>"));
    assert_eq!(bench.ask(&repository, image).await.reason, Unavailable::Unreadable);
}

#[tokio::test]
async fn an_index_that_names_itself_is_refused_by_its_hash() {
    let bench = Bench::start().await;
    bench.fake.image(APP, Some("v1"), "a");
    let digest = Digest::sha256_of(b"an index that names itself");
    let body = json!({"schemaVersion": 2, "mediaType": OCI_INDEX,
                      "manifests": [{"mediaType": OCI_INDEX, "digest": digest, "size": 2}]});
    bench
        .fake
        .fault(&format!("manifests/{digest}"), Fault::Other(Box::leak(body.to_string().into_boxed_str())));
    let answer = bench.ask(&bench.fake.repository(APP), digest).await;
    assert_eq!(answer.reason, Unavailable::Unreadable, "{}", answer.detail);
}

#[tokio::test]
async fn an_index_of_ten_thousand_entries_is_cut_and_said() {
    let bench = Bench::start().await;
    let image = bench.fake.image(APP, None, "a");
    let mut listed = vec![("amd64", image)];
    let others: Vec<Digest> = (0..10_000).map(|n: u32| Digest::sha256_of(&n.to_be_bytes())).collect();
    listed.extend(others.iter().map(|digest| ("arm64", *digest)));
    let index = bench.fake.index(APP, Some("v1"), &listed);
    let answer = bench.ask(&bench.fake.repository(APP), index).await;
    assert_eq!(answer.reason, Unavailable::CutOff, "{}", answer.detail);
    let cut = bench.said().await.into_iter().find_map(|envelope| match envelope.event {
        Event::ImageResolved(event) if event.digest == index => Some(event.resolved),
        _ => None,
    });
    assert!(matches!(cut, Some(Resolved::Index { manifests, cut: true }) if manifests.len() == 1000));
    let asked = bench.fake.set().requests.len();
    assert!(asked < 1000, "{asked} requests");
}

#[tokio::test]
async fn a_digest_that_is_not_there_and_a_host_that_is_not_configured_are_told_apart() {
    let bench = Bench::start().await;
    bench.fake.image(APP, Some("v1"), "a");
    let answer = bench.ask(&bench.fake.repository(APP), Digest::sha256_of(b"nowhere")).await;
    assert_eq!((answer.reason, answer.found), (Unavailable::NotFound, 0));
    assert!(answer.detail.contains("no manifest"), "{}", answer.detail);
    let elsewhere = "evil.example/acme/app".parse().unwrap();
    assert_eq!(bench.ask(&elsewhere, Digest::sha256_of(b"x")).await.reason, Unavailable::Unconfigured);
}

#[tokio::test]
async fn credentials_go_to_the_registry_and_its_realm_only() {
    let fake = Fake::start().await;
    let settings = section(&fake.host, "username = \"ci-bot\"\npassword = \"pa55word\"");
    let bench = Bench::of(fake, settings).await;
    let image = bench.fake.image(APP, Some("v1"), "a");
    let repository = bench.fake.repository(APP);
    bench.fake.set().basic = Some(("ci-bot".to_owned(), "pa55word".to_owned()));
    assert_eq!(bench.ask(&repository, image).await.reason, Unavailable::NotFound);
    assert!(bench.fake.set().requests[0].ends_with(" -"), "nothing is sent before it is asked for");
    // The same with tokens: the password goes to the realm, the token everywhere else.
    bench.fake.set().token = Some("t0ken".to_owned());
    assert_eq!(bench.ask(&repository, image).await.reason, Unavailable::NotFound);
    let scope = format!("GET /token?scope=repository%3A{}%3Apull&service=fake Basic ", "acme%2Fapp");
    assert!(bench.fake.set().requests.iter().any(|line| line.starts_with(&scope)));
    // A realm that is not configured gets nothing, and neither does the host of a redirect.
    let elsewhere = Fake::start().await;
    bench.fake.fault(".sig", Fault::Challenge(format!("http://{}/token", elsewhere.host)));
    let answer = bench.ask(&repository, image).await;
    assert_eq!(answer.reason, Unavailable::Denied);
    assert!(answer.detail.contains("127.0.0.1, which is not its token_realm"), "{}", answer.detail);
    bench.fake.set().faults.clear();
    bench.fake.fault(".sig", Fault::Redirect(format!("http://{}/v2/", elsewhere.host)));
    let answer = bench.ask(&repository, image).await;
    assert_eq!(answer.reason, Unavailable::Denied);
    let said = format!("{}, which is not among its redirect_hosts", elsewhere.host);
    assert!(answer.detail.contains(&said), "{}", answer.detail);
    assert!(elsewhere.set().requests.is_empty());
    // A wrong password is a denial.
    bench.fake.set().faults.clear();
    {
        let mut fake = bench.fake.set();
        fake.token = None;
        fake.basic = Some(("ci-bot".to_owned(), "another".to_owned()));
    }
    assert_eq!(bench.ask(&repository, image).await.reason, Unavailable::Denied);
    for envelope in bench.said().await {
        let json = String::from_utf8(envelope.to_json().unwrap()).unwrap();
        assert!(!json.contains("pa55word") && !json.contains("t0ken"));
    }
}

#[tokio::test]
async fn what_a_realm_answers_says_nothing_of_what_was_asked_for() {
    let bench = Bench::start().await;
    let image = bench.fake.image(APP, Some("v1"), "a");
    bench.fake.attach(APP, image, b"bundle");
    bench.fake.set().native_referrers = true;
    bench.fake.set().token = Some("t0ken".to_owned());
    let repository = bench.fake.repository(APP);
    for (fault, expected) in [
        (Fault::Status(404), Unavailable::Unreadable),
        (Fault::Status(400), Unavailable::Unreadable),
        (Fault::Redirect("https://auth.example/".to_owned()), Unavailable::Unreadable),
        (Fault::Oversize, Unavailable::Unreadable),
        (Fault::Status(403), Unavailable::Denied),
        (Fault::Status(503), Unavailable::Unreachable),
    ] {
        bench.fake.fault("/token", fault.clone());
        let answer = bench.ask(&repository, image).await;
        bench.fake.set().faults.clear();
        assert_eq!((&answer.reason, answer.found), (&expected, 0), "{fault:?}: {}", answer.detail);
        if expected == Unavailable::Unreadable {
            let said = "the token realm 127.0.0.1 gives no token";
            assert!(answer.detail.contains(said), "{fault:?}: {}", answer.detail);
        }
    }
    assert_eq!(bench.ask(&repository, image).await.reason, Unavailable::NotFound);
    assert_eq!(bench.attached().await.len(), 1);
}

#[tokio::test]
async fn a_configured_redirect_is_followed_without_credentials() {
    let (fake, storage) = (Fake::start().await, Fake::start().await);
    let lines = format!("username = \"u\"\npassword = \"pa55word\"\nredirect_hosts = [\"{}\"]", storage.host);
    let settings = section(&fake.host, &lines);
    let bench = Bench::of(fake, settings).await;
    bench.fake.set().basic = Some(("u".to_owned(), "pa55word".to_owned()));
    bench.fake.set().native_referrers = true;
    let image = bench.fake.image(APP, Some("v1"), "a");
    bench.fake.attach(APP, image, b"bundle");
    let blob = storage.blob("stored", b"bundle");
    bench.fake.fault("/blobs/", Fault::Redirect(format!("http://{}/v2/stored/blobs/{blob}", storage.host)));
    let repository = bench.fake.repository(APP);
    assert_eq!(bench.ask(&repository, image).await.reason, Unavailable::NotFound);
    assert_eq!(bench.attached().await.len(), 1);
    assert!(storage.set().requests.iter().all(|line| line.ends_with(" -")), "{:?}", storage.set().requests);
}

#[tokio::test]
async fn questions_on_the_bus_are_answered_on_the_bus() {
    let bench = Bench::start().await;
    let image = bench.fake.image(APP, Some("v1"), "a");
    let question =
        bus_schema::question::Question::Image { repository: bench.fake.repository(APP), digest: image };
    let request = bus_schema::fleet::EvidenceRequested {
        request: question.request_id(),
        attempt: 1,
        question: question.clone(),
        why: "a test".to_owned(),
        until: jiff::Timestamp::now() + Duration::from_secs(60),
    };
    let envelope = bus_schema::Envelope::new(
        "correlator".parse().unwrap(),
        jiff::Timestamp::now(),
        jiff::Timestamp::now(),
        None,
        Event::EvidenceRequested(request),
    );
    let message = fleet_runtime::bus::Message::new(
        bus_schema::Subject::question(&question).to_string(),
        envelope.id.to_string(),
        envelope.to_json().unwrap(),
    );
    bench.bus.publish(message).await.unwrap();
    let is_answered = async || {
        bench.said().await.iter().any(|envelope| {
            matches!(&envelope.event, Event::EvidenceUnavailable(answer)
            if answer.attempt == 1 && answer.reason == Unavailable::NotFound && answer.found == 1)
        })
    };
    bench.run_until(&is_answered).await;
    assert!(is_answered().await);
}

#[tokio::test]
async fn the_probe_says_what_is_missing_and_what_to_do() {
    let bench = Bench::with("repositories = [\"acme/app\", \"acme/none\"]").await;
    bench.fake.image(APP, Some("v1"), "a");
    let usable = async |settings: &crate::Settings| {
        let probed = crate::probe(settings).await;
        probed.iter().map(|probed| probed.is_usable()).collect::<Vec<_>>()
    };
    let settings = bench.checked();
    assert_eq!(usable(&settings).await, [true, true, true, true], "{:?}", crate::probe(&settings).await);
    bench.fake.set().basic = Some(("u".to_owned(), "p".to_owned()));
    assert_eq!(usable(&settings).await, [false, true]);
}
