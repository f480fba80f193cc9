//! What somebody with the right to push can do to what is right: each kind is refused, with its reason, and never exit 0.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::servers::cosign::Format;
use harness::servers::github_run::{GITHUB_ISSUER, GithubRun};
use harness::servers::keyless::{BundlePart, CertificateIdentity, SigningRequest};
use serde_json::Value;

use crate::estate::{Estate, Image, SOURCE, attach, estate, statement};
use crate::program::Answer;

/// The check that the untouched image of the default run passes.
async fn check(estate: &Estate, subject: &str, more: &[&str]) -> Answer {
    let (root, identity) = (estate.keyless_root(), GithubRun::default().certificate_subject());
    let expected = [
        "--trusted-root",
        &root,
        "--certificate-identity",
        &identity,
        "--certificate-oidc-issuer",
        GITHUB_ISSUER,
        "--source-uri",
        SOURCE,
    ];
    estate.check(&[&[subject], &expected[..], more].concat()).await
}

/// Takes away everything that the registry lists as attached.
async fn strip(image: &Image) {
    let listed = image.client.referrers(&image.repository, image.digest()).await.unwrap().unwrap();
    for entry in listed["manifests"].as_array().unwrap() {
        image.client.delete_manifest(&image.repository, entry["digest"].as_str().unwrap()).await.unwrap();
    }
}

/// An image that was trusted a moment ago, with its provenance replaced.
async fn replaced(estate: &Estate, bundle: impl AsyncFn(&Image) -> Vec<u8>) -> Image {
    let image = estate.attested_image(estate.refreg.host(), &GithubRun::default()).await;
    check(estate, &image.by_tag(), &[]).await.is_trusted();
    strip(&image).await;
    attach(&image, &bundle(&image).await).await;
    image
}

#[tokio::test]
async fn a_changed_byte_of_the_signature_is_refused() {
    let estate = estate().await;
    // The timestamp is over the signature, and so is what the log promised.
    for (is_stamped, expected) in [(true, &["bad_time"][..]), (false, &["bad_signature", "bad_log_entry"])] {
        let image = replaced(estate, async |image| {
            let run = GithubRun::default();
            let identity = CertificateIdentity::of_run(&run);
            let mut request = SigningRequest::statement(identity, &statement(&run, image.digest()));
            if !is_stamped {
                request = request.without(BundlePart::Timestamp);
            }
            let mut bundle = estate.keyless.sign(request).await.unwrap().bundle;
            let signature = &mut bundle["dsseEnvelope"]["signatures"][0]["sig"];
            let mut bytes = STANDARD.decode(signature.as_str().unwrap()).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            *signature = Value::from(STANDARD.encode(bytes));
            bundle.to_string().into_bytes()
        })
        .await;
        let answer = check(estate, &image.by_tag(), &[]).await;
        answer.is_refused();
        let reasons = answer.reasons();
        assert!(reasons.iter().any(|reason| expected.contains(reason)), "{answer:#?}");
    }
}

#[tokio::test]
async fn provenance_of_another_digest_is_refused() {
    let estate = estate().await;
    let elsewhere = estate.image(estate.refreg.host()).await;
    let image = replaced(estate, async |_| {
        estate.attested(&GithubRun::default(), elsewhere.digest()).await.bundle_bytes()
    })
    .await;
    check(estate, &image.by_tag(), &[]).await.is_refused_for("wrong_subject");
}

#[tokio::test]
async fn another_identity_is_refused_however_much_it_looks_like_the_right_one() {
    let estate = estate().await;
    let stranger = GithubRun { repository: "payments-api-mine".to_owned(), ..GithubRun::default() };
    let image =
        replaced(estate, async |image| estate.attested(&stranger, image.digest()).await.bundle_bytes()).await;
    check(estate, &image.by_tag(), &[]).await.is_refused_for("wrong_repository");

    // The other way round: a pattern or an identity that is only the beginning of the right one.
    let image = estate.attested_image(estate.refreg.host(), &GithubRun::default()).await;
    let (root, tag) = (estate.keyless_root(), image.by_tag());
    let subject = GithubRun::default().certificate_subject();
    let beginning = subject.split('@').next().unwrap();
    for (flag, value, is_right) in [
        ("--certificate-identity", subject.as_str(), true),
        ("--certificate-identity", beginning, false),
        ("--certificate-identity", "*", false),
        ("--certificate-identity-regexp", "https://github.com/acme/", false),
        ("--certificate-identity-regexp", "https://github.com/acme/.*", true),
        ("--certificate-identity-regexp", "nothing|https://github.com/acme/", false),
    ] {
        let issuer = ["--certificate-oidc-issuer", GITHUB_ISSUER];
        let arguments = [&[&tag, "--trusted-root", &root, flag, value], &issuer[..]].concat();
        let answer = estate.check(&arguments).await;
        match is_right {
            true => answer.is_trusted(),
            false => answer.is_refused_for("wrong_signer"),
        }
    }
    let issuer = ["--certificate-oidc-issuer", "https://token.actions.githubusercontent.co"];
    let arguments =
        [&[&tag, "--trusted-root", &root, "--certificate-identity", &subject], &issuer[..]].concat();
    estate.check(&arguments).await.is_refused_for("wrong_signer");
}

#[tokio::test]
async fn another_key_is_refused_in_both_formats() {
    let estate = estate().await;
    let signing = estate.signing().await;
    let key = signing.public_key();
    for (host, format) in [(estate.distribution.host(), Format::Tags), (estate.refreg.host(), Format::Bundle)]
    {
        let image = estate.image(host).await;
        signing.cosign.sign_with_key(&signing.other_key, &image.by_digest(), format).await.unwrap();
        let answer = estate.check(&[&image.by_tag(), "--key", &key, "--insecure-ignore-tlog"]).await;
        answer.is_refused();
        let reasons = answer.reasons();
        let is_told = |reason: &&str| matches!(*reason, "bad_signature" | "untrusted_signer");
        assert!(reasons.iter().any(is_told), "{answer:#?}");
    }
}

#[tokio::test]
async fn a_stripped_part_is_refused() {
    let estate = estate().await;
    for (part, reason) in [
        (BundlePart::LogEntry, "bad_log_entry"),
        (BundlePart::InclusionProof, "bad_log_entry"),
        (BundlePart::CertificateProof, "bad_certificate_transparency"),
    ] {
        let image = replaced(estate, async |image| {
            let run = GithubRun::default();
            let identity = CertificateIdentity::of_run(&run);
            let request = SigningRequest::statement(identity, &statement(&run, image.digest())).without(part);
            estate.keyless.sign(request).await.unwrap().bundle_bytes()
        })
        .await;
        check(estate, &image.by_tag(), &[]).await.is_refused_for(reason);
    }
}

#[tokio::test]
async fn a_tag_that_was_moved_is_judged_by_what_it_points_at() {
    let estate = estate().await;
    let image = estate.attested_image(estate.refreg.host(), &GithubRun::default()).await;
    check(estate, &image.by_tag(), &[]).await.is_trusted();
    let client = &image.client;
    let moved = client
        .push_image(&image.repository, Some("v1"), ("linux", "amd64"), "something else altogether")
        .await
        .unwrap();
    let answer = check(estate, &image.by_tag(), &[]).await;
    answer.is_refused();
    assert_eq!((answer.json["digest"].as_str(), answer.link("provenance")), (Some(&*moved.digest), "absent"));
    check(estate, &image.by_digest(), &[]).await.is_trusted();
}

#[tokio::test]
async fn another_source_ref_or_builder_than_expected_is_refused() {
    let estate = estate().await;
    let image = estate.attested_image(estate.refreg.host(), &GithubRun::default()).await;
    let tag = image.by_tag();
    check(estate, &tag, &["--source-branch", "main"]).await.is_trusted();
    check(estate, &tag, &["--source-branch", "mai"]).await.is_refused_for("wrong_ref");
    check(estate, &tag, &["--source-tag", "main"]).await.is_refused_for("wrong_ref");
    let builder = "https://github.com/acme/payments-api/.github/workflows/release.yml";
    check(estate, &tag, &["--builder-id", builder]).await.is_trusted();
    let other = "https://github.com/acme/payments-api/.github/workflows/release.yaml";
    check(estate, &tag, &["--builder-id", other]).await.is_refused_for("wrong_builder");
    let root = estate.keyless_root();
    let elsewhere = ["--trusted-root", &root, "--source-uri", "github.com/acme/payments"];
    estate.check(&[&[tag.as_str()], &elsewhere[..]].concat()).await.is_refused_for("wrong_repository");
}

#[tokio::test]
async fn an_older_signature_put_under_the_tag_of_another_image_is_refused() {
    let estate = estate().await;
    let (signed, target) =
        (estate.image(estate.distribution.host()).await, estate.image(estate.distribution.host()).await);
    let signing = estate.signing().await;
    signing.cosign.sign_with_key(&signing.key, &signed.by_digest(), Format::Tags).await.unwrap();
    let tag = |image: &Image| format!("{}.sig", image.digest().replace(':', "-"));
    let (manifest, media_type) =
        signed.client.manifest(&signed.repository, &tag(&signed)).await.unwrap().unwrap();
    // What the manifest names must be in the target's repository as well.
    let layers: Value = serde_json::from_slice(&manifest).unwrap();
    let blobs = layers["layers"].as_array().unwrap().iter().chain([&layers["config"]]);
    for blob in blobs {
        let path = format!("{}/blobs/{}", signed.repository, blob["digest"].as_str().unwrap());
        let answer = signed.client.request(reqwest::Method::GET, &path).send().await.unwrap();
        let bytes = answer.error_for_status().unwrap().bytes().await.unwrap();
        target.client.push_blob(&target.repository, bytes).await.unwrap();
    }
    target
        .client
        .push_manifest(&target.repository, Some(&tag(&target)), &media_type, manifest)
        .await
        .unwrap();
    let key = ["--key", &signing.public_key(), "--insecure-ignore-tlog"];
    estate.check(&[&[signed.by_tag().as_str()], &key[..]].concat()).await.is_trusted();
    estate.check(&[&[target.by_tag().as_str()], &key[..]].concat()).await.is_refused_for("wrong_subject");
}
