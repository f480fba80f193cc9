//! A registry that does not answer is not a registry that says that there is nothing.

use harness::servers::github_run::GithubRun;
use harness::servers::refreg::{Fault, FaultKind, Refreg, RefregPlan};

use crate::estate::{SOURCE, estate};

#[tokio::test]
async fn a_list_of_referrers_that_fails_is_unknown_and_named_and_heals() {
    let estate = estate().await;
    let folder = tempfile::tempdir().unwrap();
    // A registry of its own: faults strike everybody.
    let registry = Refreg::start(folder.path(), &RefregPlan::default()).await.unwrap();
    let image = estate.attested_image(registry.host(), &GithubRun::default()).await;
    let (tag, root) = (image.by_tag(), estate.keyless_root());
    let arguments = [tag.as_str(), "--trusted-root", &root, "--source-uri", SOURCE];
    estate.check(&arguments).await.is_trusted();
    for (status, reason) in [(403, "denied"), (429, "rate_limited"), (500, "unreachable")] {
        registry.set_faults(&[Fault::status("/referrers/", status)]).await.unwrap();
        let answer = estate.check(&arguments).await;
        answer.is_refused();
        assert_eq!(answer.link("provenance"), "unknown", "{status}: {answer:#?}");
        let unread = answer.json["unread"].as_array().unwrap();
        assert_eq!(unread.len(), 1, "{answer:#?}");
        assert_eq!((&unread[0]["place"], &unread[0]["reason"]), (&"referrers".into(), &reason.into()));
    }
    registry.set_faults(&[Fault::new("/referrers/", FaultKind::HalfBody)]).await.unwrap();
    estate.check(&arguments).await.is_refused();
    registry.set_faults(&[]).await.unwrap();
    estate.check(&arguments).await.is_trusted();
}

#[tokio::test]
async fn what_cannot_be_resolved_has_an_exit_code_of_its_own() {
    let estate = estate().await;
    let image = estate.image(estate.refreg.host()).await;
    let root = estate.keyless_root();
    let more = ["--trusted-root", &root, "--source-uri", SOURCE];
    let no_tag = format!("{}/{}:none", image.host, image.repository);
    let answer = estate.check(&[&[no_tag.as_str()], &more[..]].concat()).await;
    assert_eq!(answer.code, 2, "{answer:#?}");
    let nobody = format!("127.0.0.1:{}/acme/app", harness::servers::ports::free_port().unwrap());
    for end in [":v1".to_owned(), format!("@{}", image.digest())] {
        let answer = estate.check(&[&[format!("{nobody}{end}").as_str()], &more[..]].concat()).await;
        assert_eq!(answer.code, 3, "{answer:#?}");
        assert!(answer.stderr.contains("cannot be reached"), "{answer:#?}");
    }
}

#[tokio::test]
async fn a_registry_that_answers_nothing_is_unreachable_by_tag_and_by_digest() {
    let estate = estate().await;
    let folder = tempfile::tempdir().unwrap();
    let registry = Refreg::start(folder.path(), &RefregPlan::default()).await.unwrap();
    let image = estate.attested_image(registry.host(), &GithubRun::default()).await;
    let root = estate.keyless_root();
    let more = ["--trusted-root", &root, "--source-uri", SOURCE];
    for status in [401, 403, 429, 500] {
        registry.set_faults(&[Fault::status("/v2/", status)]).await.unwrap();
        for reference in [image.by_tag(), image.by_digest()] {
            let answer = estate.check(&[&[reference.as_str()], &more[..]].concat()).await;
            assert_eq!(answer.code, 3, "{status} {reference}: {answer:#?}");
        }
    }
    // Evidence that was found, or is at hand, is judged.
    registry.set_faults(&[Fault::status("/manifests/", 500)]).await.unwrap();
    let bundle = estate.attested(&GithubRun::default(), image.digest()).await.bundle_bytes();
    let bundle = estate.file("of-an-unreachable-image.json", &bundle);
    let at_hand = estate.check(&[&[&image.by_digest(), "--evidence", &bundle], &more[..]].concat()).await;
    at_hand.is_trusted();
    registry.set_faults(&[]).await.unwrap();
    estate.check(&[&[image.by_digest().as_str()], &more[..]].concat()).await.is_trusted();
}
