//! cosign with a key, the private Sigstore, and the keyless program.

use std::fs;
use std::path::Path;

use harness::servers::cosign::{Cosign, ExpectedSigner, Format};
use harness::servers::crane::Crane;
use harness::servers::distribution::{Distribution, DistributionPlan};
use harness::servers::github_run::{GITHUB_ISSUER, GithubRun};
use harness::servers::keyless::{BundlePart, CertificateIdentity, Keyless, SigningRequest};
use harness::servers::oci::{OciClient, digest_of};
use harness::servers::refreg::{Refreg, RefregPlan};
use harness::servers::sigstore::PrivateSigstore;
use serde_json::{Value, json};
use sigstore_verify::crypto::CertificateInfo;
use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::types::{Bundle, Sha256Hash};
use sigstore_verify::{VerificationPolicy, Verifier};
use tempfile::tempdir;

const PROVENANCE: &str = "slsaprovenance1";

fn predicate() -> Value {
    json!({
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": {},
            "internalParameters": {},
            "resolvedDependencies": [],
        },
        "runDetails": { "builder": { "id": "https://github.com/actions/runner/github-hosted" } },
    })
}

fn statement(digest: &str) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "acme/app", "digest": { "sha256": digest.trim_start_matches("sha256:") } }],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": predicate(),
    })
}

#[tokio::test]
async fn cosign_signs_and_attests_with_a_key_in_both_formats() {
    let folder = tempdir().unwrap();
    let distribution = Distribution::start(folder.path(), &DistributionPlan::default()).await.unwrap();
    let refreg = Refreg::start(folder.path(), &RefregPlan::default()).await.unwrap();
    let crane = Crane::anonymous(folder.path().join("crane")).unwrap();
    let cosign = Cosign::new(folder.path()).unwrap();
    let key = cosign.generate_key_pair("release").await.unwrap();
    let other = cosign.generate_key_pair("other").await.unwrap();
    for (host, format) in [(distribution.host(), Format::Tags), (refreg.host(), Format::Bundle)] {
        let repository = format!("{host}/acme/app");
        let digest = crane.push_image(&format!("{repository}:v1"), "one").await.unwrap();
        let image = format!("{repository}@{digest}");
        cosign.sign_with_key(&key, &image, format).await.unwrap();
        cosign.attest_with_key(&key, &image, PROVENANCE, &predicate(), format).await.unwrap();
        cosign.verify_with_key(&key, &image).await.unwrap();
        cosign.verify_attestation_with_key(&key, &image, PROVENANCE).await.unwrap();
        cosign.verify_with_key(&other, &image).await.unwrap_err();
        let tags = crane.tags(&repository).await.unwrap();
        let has_tag = tags.iter().any(|tag| tag.ends_with(".sig"));
        assert_eq!(has_tag, format == Format::Tags, "{tags:?}");
    }
}

#[tokio::test]
async fn the_private_sigstore_signs_for_a_workflow_run() {
    let folder = tempdir().unwrap();
    let sigstore = PrivateSigstore::start(folder.path()).await.unwrap();
    let refreg = Refreg::start(folder.path(), &RefregPlan::default()).await.unwrap();
    let crane = Crane::anonymous(folder.path().join("crane")).unwrap();
    let cosign = Cosign::new(folder.path()).unwrap();
    let digest = crane.push_image(&format!("{}/acme/app:v1", refreg.host()), "one").await.unwrap();
    let image = format!("{}/acme/app@{digest}", refreg.host());

    let run = GithubRun::default();
    let token = sigstore.token(&run).await.unwrap();
    cosign.sign_keyless(sigstore.files(), &token, &image).await.unwrap();
    cosign.attest_keyless(sigstore.files(), &token, &image, PROVENANCE, &predicate()).await.unwrap();

    let root = &sigstore.files().trusted_root;
    let issuer = sigstore.issuer.url().to_owned();
    let signer = ExpectedSigner { subject: run.certificate_subject(), issuer: issuer.clone() };
    cosign.verify_keyless(root, &signer, false, &image).await.unwrap();
    cosign.verify_attestation_keyless(root, &signer, false, &image, PROVENANCE).await.unwrap();
    cosign.verify_keyless(root, &signer, true, &image).await.unwrap_err();
    let stranger = ExpectedSigner { subject: "https://github.com/evil/app".to_owned(), issuer };
    cosign.verify_keyless(root, &stranger, false, &image).await.unwrap_err();

    let bundles = bundles_of(refreg.host(), "acme/app", &digest).await;
    assert_eq!(bundles.len(), 2);
    for bundle in bundles {
        let proven = verified(root, &bundle, &digest, false).unwrap();
        let claims = serde_json::to_value(format!("{:?}", proven.ci_claims)).unwrap().to_string();
        assert!(claims.contains(&run.repository_id.to_string()), "{claims}");
    }
}

#[tokio::test]
async fn keyless_bundles_of_one_folder_share_a_trust_root() {
    let folder = tempdir().unwrap();
    let keyless = Keyless::new(folder.path().join("keyless")).unwrap();
    let digest = digest_of(b"an image manifest");
    let run = GithubRun::default();
    let request = || SigningRequest::statement(CertificateIdentity::of_run(&run), &statement(&digest));
    let last_year = "2025-11-03T10:15:30Z".parse().unwrap();
    let signed = keyless.sign_all(&[request(), request().at(last_year), request()]).await.unwrap();
    let root = folder.path().join("trusted_root.json");
    keyless.write_trusted_root(&root).await.unwrap();
    let cosign = Cosign::new(folder.path()).unwrap();
    let signer = ExpectedSigner { subject: run.certificate_subject(), issuer: GITHUB_ISSUER.to_owned() };
    for (index, made) in signed.iter().enumerate() {
        assert_eq!(made.log_index, Some(index as u64));
        let file = folder.path().join(format!("bundle{index}.json"));
        fs::write(&file, made.bundle_bytes()).unwrap();
        cosign.verify_statement_bundle(&file, &root, &signer, PROVENANCE, &digest).await.unwrap();
        let wrong = digest_of(b"another manifest");
        cosign.verify_statement_bundle(&file, &root, &signer, PROVENANCE, &wrong).await.unwrap_err();
        verified(&root, &made.bundle_bytes(), &digest, true).unwrap();
    }

    let elsewhere = Keyless::new(folder.path().join("elsewhere")).unwrap();
    let foreign_root = folder.path().join("foreign_root.json");
    elsewhere.write_trusted_root(&foreign_root).await.unwrap();
    verified(&foreign_root, &signed[0].bundle_bytes(), &digest, true).unwrap_err();
}

#[tokio::test]
async fn a_keyless_bundle_without_a_part_is_refused() {
    let folder = tempdir().unwrap();
    let keyless = Keyless::new(folder.path().join("keyless")).unwrap();
    let digest = digest_of(b"an image manifest");
    let identity = CertificateIdentity::of_run(&GithubRun::default());
    let whole = SigningRequest::statement(identity, &statement(&digest));
    let root = folder.path().join("trusted_root.json");
    for part in [BundlePart::CertificateProof, BundlePart::LogEntry, BundlePart::InclusionProof] {
        let signed = keyless.sign(whole.clone().without(part)).await.unwrap();
        keyless.write_trusted_root(&root).await.unwrap();
        let refused = verified(&root, &signed.bundle_bytes(), &digest, true);
        assert!(refused.is_err(), "{part:?} is missing and nobody noticed");
    }
    let timeless = whole.without(BundlePart::Timestamp).without(BundlePart::InclusionPromise);
    let signed = keyless.sign(timeless).await.unwrap();
    verified(&root, &signed.bundle_bytes(), &digest, true).unwrap_err();
}

#[tokio::test]
async fn an_older_keyless_signature_is_found_by_cosign() {
    let folder = tempdir().unwrap();
    let registry = Distribution::start(folder.path(), &DistributionPlan::default()).await.unwrap();
    let client = OciClient::new(registry.host(), None).unwrap();
    let image = client.push_image("acme/app", Some("v1"), ("linux", "amd64"), "one").await.unwrap();
    let payload = json!({
        "critical": {
            "identity": { "docker-reference": format!("{}/acme/app", registry.host()) },
            "image": { "docker-manifest-digest": image.digest },
            "type": "cosign container image signature",
        },
        "optional": null,
    });
    let payload = payload.to_string().into_bytes();
    let keyless = Keyless::new(folder.path().join("keyless")).unwrap();
    let run = GithubRun::default();
    let request = SigningRequest::artifact(CertificateIdentity::of_run(&run), &payload);
    let signed = keyless.sign(request).await.unwrap();
    client.attach_simple_signing("acme/app", &image.digest, &payload, &signed.annotations).await.unwrap();
    let root = folder.path().join("trusted_root.json");
    keyless.write_trusted_root(&root).await.unwrap();
    let signer = ExpectedSigner { subject: run.certificate_subject(), issuer: GITHUB_ISSUER.to_owned() };
    let reference = format!("{}/acme/app@{}", registry.host(), image.digest);
    let cosign = Cosign::new(folder.path()).unwrap();
    cosign.verify_keyless(&root, &signer, true, &reference).await.unwrap();
}

/// What the verifier that the product uses says about a bundle.
fn verified(
    root: &Path,
    bundle: &[u8],
    digest: &str,
    ask_for_certificate_proof: bool,
) -> Result<CertificateInfo, String> {
    let root =
        TrustedRoot::from_json(&fs::read_to_string(root).unwrap()).map_err(|error| error.to_string())?;
    let bundle =
        Bundle::from_json(std::str::from_utf8(bundle).unwrap()).map_err(|error| error.to_string())?;
    let mut policy = VerificationPolicy::any_identity();
    if !ask_for_certificate_proof {
        policy = policy.skip_sct();
    }
    let artifact =
        Sha256Hash::from_hex(digest.trim_start_matches("sha256:")).map_err(|error| error.to_string())?;
    let verifier = Verifier::new(&root).map_err(|error| error.to_string())?;
    let result = verifier.verify(artifact, &bundle, &policy).map_err(|error| error.to_string())?;
    assert!(result.tlog_verified() && result.certificate_verified());
    assert_eq!(result.sct_verified(), ask_for_certificate_proof);
    Ok(result.certificate().unwrap().clone())
}

/// All bundles that the referrers API lists for a digest.
async fn bundles_of(host: &str, repository: &str, digest: &str) -> Vec<Vec<u8>> {
    let client = OciClient::new(host, None).unwrap();
    let listed = client.referrers(repository, digest).await.unwrap().unwrap();
    let mut bundles = Vec::new();
    for entry in listed["manifests"].as_array().unwrap() {
        let (content, _) =
            client.manifest(repository, entry["digest"].as_str().unwrap()).await.unwrap().unwrap();
        let manifest: Value = serde_json::from_slice(&content).unwrap();
        let blob = manifest["layers"][0]["digest"].as_str().unwrap();
        let path = format!("{repository}/blobs/{blob}");
        let answer = client.request(reqwest::Method::GET, &path).send().await.unwrap();
        bundles.push(answer.error_for_status().unwrap().bytes().await.unwrap().to_vec());
    }
    bundles
}
