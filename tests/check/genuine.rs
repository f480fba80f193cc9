//! What is right is trusted: with a key and keyless, under the tags of older clients and as referrers, in both registries.

use harness::servers::cosign::{Cosign, Format};
use harness::servers::github_run::{GITHUB_ISSUER, GithubRun};
use harness::servers::keyless::{CertificateIdentity, SigningRequest};
use serde_json::json;

use crate::estate::{Image, SOURCE, estate, predicate};

const PROVENANCE: &str = "slsaprovenance1";

#[tokio::test]
async fn an_image_signed_and_attested_with_a_key_is_trusted_in_both_formats() {
    let estate = estate().await;
    let signing = estate.signing().await;
    let (cosign, public_key) = (&signing.cosign, signing.public_key());
    for (host, format) in [
        (estate.distribution.host(), Format::Tags),
        (estate.distribution.host(), Format::Bundle),
        (estate.refreg.host(), Format::Tags),
        (estate.refreg.host(), Format::Bundle),
    ] {
        let image = estate.image(host).await;
        let reference = image.by_digest();
        cosign.sign_with_key(&signing.key, &reference, format).await.unwrap();
        let key = ["--key", &public_key, "--insecure-ignore-tlog"];
        estate.check(&[&[image.by_tag().as_str()], &key[..]].concat()).await.is_trusted();

        let predicate = predicate(&GithubRun::default());
        cosign.attest_with_key(&signing.key, &reference, PROVENANCE, &predicate, format).await.unwrap();
        let source = ["--source-uri", SOURCE, "--source-branch", "main"];
        let answer = estate.check(&[&[reference.as_str()], &key[..], &source[..]].concat()).await;
        answer.is_trusted();
        assert_eq!((answer.link("provenance"), answer.link("signature")), ("proven", "proven"));
        // A key without a log proves no time, and is let pass only where that is said.
        let demanding = estate.check(&[&reference, "--key", &public_key]).await;
        demanding.is_refused_for("bad_log_entry");
    }
}

#[tokio::test]
async fn an_image_signed_through_a_private_sigstore_is_trusted_as_cosign_says() {
    let estate = estate().await;
    let (sigstore, cosign) = (estate.sigstore().await, &estate.signing().await.cosign);
    let run = GithubRun::default();
    let (root, issuer) = (sigstore.files().trusted_root.to_str().unwrap(), sigstore.issuer.url());
    let subject = run.certificate_subject();
    let identity =
        ["--trusted-root", root, "--certificate-identity", &subject, "--certificate-oidc-issuer", issuer];
    for host in [estate.distribution.host(), estate.refreg.host()] {
        let image = estate.image(host).await;
        let reference = image.by_digest();
        let token = sigstore.token(&run).await.unwrap();
        cosign.sign_keyless(sigstore.files(), &token, &reference).await.unwrap();
        estate.check(&[&[image.by_tag().as_str()], &identity[..]].concat()).await.is_trusted();

        let (files, predicate) = (sigstore.files(), predicate(&run));
        cosign.attest_keyless(files, &token, &reference, PROVENANCE, &predicate).await.unwrap();
        let source = ["--source-uri", SOURCE, "--source-branch", "main", "--builder-id", "github-hosted"];
        let answer = estate.check(&[&[reference.as_str()], &identity[..], &source[..]].concat()).await;
        answer.is_trusted();
        assert_eq!((answer.link("source"), answer.link("build")), ("proven", "not_required"));

        let pattern = r"https://github\.com/acme/.+/release\.yml@refs/heads/main";
        let patterned = [
            &reference,
            "--trusted-root",
            root,
            "--certificate-identity-regexp",
            pattern,
            "--certificate-oidc-issuer",
            issuer,
        ];
        estate.check(&patterned).await.is_trusted();
    }
}

#[tokio::test]
async fn an_older_keyless_signature_under_its_tag_is_trusted() {
    let estate = estate().await;
    let image = estate.image(estate.distribution.host()).await;
    let payload = json!({
        "critical": {
            "identity": { "docker-reference": format!("{}/{}", image.host, image.repository) },
            "image": { "docker-manifest-digest": image.digest() },
            "type": "cosign container image signature",
        },
        "optional": null,
    });
    let payload = payload.to_string().into_bytes();
    let run = GithubRun::default();
    let request = SigningRequest::artifact(CertificateIdentity::of_run(&run), &payload);
    let signed = estate.keyless.sign(request).await.unwrap();
    let client = &image.client;
    client
        .attach_simple_signing(&image.repository, image.digest(), &payload, &signed.annotations)
        .await
        .unwrap();
    let subject = run.certificate_subject();
    let root = estate.keyless_root();
    let identity = ["--certificate-identity", &subject, "--certificate-oidc-issuer", GITHUB_ISSUER];
    let answer =
        estate.check(&[&[image.by_tag().as_str(), "--trusted-root", &root], &identity[..]].concat()).await;
    answer.is_trusted();
    assert_eq!(answer.json["evidence"][0]["places"][0], "cosign_sig", "{answer:#?}");
    // The roots that the program brings along know nothing of this authority.
    let answer = estate.check(&[&[image.by_tag().as_str()], &identity[..]].concat()).await;
    answer.is_refused_for("bad_time");
}

#[tokio::test]
async fn a_contract_in_a_file_judges_as_the_fleet_does() {
    let estate = estate().await;
    let image = estate.attested_image(estate.refreg.host(), &GithubRun::default()).await;
    let contract = |workflow: &str| {
        format!(
            "apiVersion: custody.dev/v1\nkind: TrustRoot\nmetadata: {{ name: test }}\nspec:\n  file: keyless-root.json\n  \
             forges: [{{ host: github.com, issuer: \"{GITHUB_ISSUER}\" }}]\n---\n\
             apiVersion: custody.dev/v1\nkind: Pipeline\nmetadata: {{ name: app }}\nspec:\n  \
             images: [\"{}/{}\"]\n  require: [source, build, provenance, artifact, signature]\n  \
             source: {{ repository: {SOURCE}, repositoryId: \"700000001\", reviews: 0 }}\n  \
             build: {{ workflows: [{workflow}], triggers: [push], runners: github-hosted }}\n",
            image.host, image.repository
        )
    };
    let right = estate.file("right.yaml", contract(".github/workflows/release.yml").as_bytes());
    let answer = estate.check(&[&image.by_tag(), "--pipeline", &right]).await;
    answer.is_trusted();
    assert_eq!(answer.json["verdict"]["pipeline"], "app");
    let wrong = estate.file("wrong.yaml", contract(".github/workflows/other.yml").as_bytes());
    estate.check(&[&image.by_tag(), "--pipeline", &wrong]).await.is_refused_for("wrong_workflow");

    let stranger = estate.image(estate.refreg.host()).await;
    let unclaimed = estate.check(&[&stranger.by_tag(), "--pipeline", &right]).await;
    assert_eq!(unclaimed.code, 2, "{unclaimed:#?}");
    assert!(unclaimed.stderr.contains(&image.repository), "{unclaimed:#?}");
}

#[tokio::test]
async fn what_cosign_saved_to_disk_is_trusted_like_the_registry() {
    let estate = estate().await;
    let (signing, key) = (estate.signing().await, estate.signing().await.public_key());
    let other = signing.other_key.public.to_str().unwrap();
    for (host, format) in [
        (estate.distribution.host(), Format::Tags),
        (estate.distribution.host(), Format::Bundle),
        (estate.refreg.host(), Format::Bundle),
    ] {
        let image = estate.image(host).await;
        let reference = image.by_digest();
        signing.cosign.sign_with_key(&signing.key, &reference, format).await.unwrap();
        let layout = save(&signing.cosign, &image).await;
        let answer = estate.check(&[&layout, "--key", &key, "--insecure-ignore-tlog"]).await;
        answer.is_trusted();
        let said = (&answer.json["kind"], &answer.json["digest"]);
        assert_eq!(said, (&json!("layout"), &json!(image.digest())));
        estate.check(&[&layout, "--key", other, "--insecure-ignore-tlog"]).await.is_refused();
    }
}

#[tokio::test]
async fn what_cosign_signed_through_a_private_sigstore_and_saved_is_trusted() {
    let estate = estate().await;
    let (sigstore, cosign) = (estate.sigstore().await, &estate.signing().await.cosign);
    let run = GithubRun::default();
    let image = estate.image(estate.distribution.host()).await;
    let token = sigstore.token(&run).await.unwrap();
    cosign.sign_keyless(sigstore.files(), &token, &image.by_digest()).await.unwrap();
    let layout = save(cosign, &image).await;
    let root = sigstore.files().trusted_root.to_str().unwrap();
    let (subject, issuer) = (run.certificate_subject(), sigstore.issuer.url());
    let by = async |subject: &str| {
        let identity = ["--certificate-identity", subject, "--certificate-oidc-issuer", issuer];
        estate.check(&[&[layout.as_str(), "--trusted-root", root], &identity[..]].concat()).await
    };
    by(&subject).await.is_trusted();
    by("somebody@else.example").await.is_refused();
}

/// Saves an image with its signatures, as a layout in a folder of its own.
async fn save(cosign: &Cosign, image: &Image) -> String {
    let folder = estate().await.folder.join("saved").join(&image.repository);
    std::fs::create_dir_all(&folder).unwrap();
    let layout = folder.to_str().unwrap().to_owned();
    cosign.run(["save", "--dir", &layout, &image.by_digest()]).await.unwrap();
    layout
}

#[tokio::test]
async fn a_file_is_checked_by_its_digest_with_the_evidence_given() {
    let estate = estate().await;
    let run = GithubRun { git_ref: "refs/tags/v1.2.0".to_owned(), ..GithubRun::default() };
    let file = estate.file("payments-api", b"a program");
    let digest = harness::servers::oci::digest_of(b"a program");
    let bundle =
        estate.file("payments-api.sigstore.json", &estate.attested(&run, &digest).await.bundle_bytes());
    let root = estate.keyless_root();
    let given = ["--evidence", &bundle, "--trusted-root", &root, "--source-uri", SOURCE];
    let with =
        async |subject: &str, more: &[&str]| estate.check(&[&[subject], &given[..], more].concat()).await;
    with(&file, &["--source-tag", "v1.2.0"]).await.is_trusted();
    with(&file, &["--source-tag", "v1.2"]).await.is_refused_for("wrong_ref");
    with(&file, &["--source-branch", "main"]).await.is_refused_for("wrong_ref");
    let other = estate.file("other-program", b"another program");
    with(&other, &[]).await.is_refused_for("wrong_subject");
    let without = estate.check(&[&file, "--trusted-root", &root, "--source-uri", SOURCE]).await;
    without.is_refused();
    assert_eq!(without.link("provenance"), "absent");
}
