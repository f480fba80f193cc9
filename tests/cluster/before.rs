//! What was there before custody: thirty images that nobody claims, and a claimed one that was built and signed a day ago.
//! All of them run when custody starts.

use std::fs;
use std::path::Path;

use harness::github::GithubStandIn;
use harness::servers::github_run::GithubRun;
use harness::servers::keyless::{CertificateIdentity, Keyless, SigningRequest};
use harness::servers::oci::{OciClient, digest_of};
use harness::servers::pods::{self, ContainerReport, PodPlan};
use jiff::{SignedDuration, Timestamp};
use kube::Client;

use crate::estate::{SECOND_REGISTRY, acme};
use crate::project::{Build, PROVENANCE, SBOM, SIGNATURE, pipeline, provenance, sbom, signature};

/// The namespace of the images that nobody claims.
pub(crate) const VENDORS: &str = "s10-vendors";
/// How many there are.
pub(crate) const VENDOR_IMAGES: usize = 30;
/// One of them runs in more containers than any other.
pub(crate) const BUSIEST: &str = "vendor.example/app-7";
/// The project that is older than custody.
pub(crate) const NAME: &str = "s10-before";
/// A commit that the forge does not tell of any more.
const COMMIT: &str = "5f0c2b7d9a1e4c3b8d6f70a1b2c3d4e5f6071829";

/// Runs the images that nobody claims.
pub(crate) async fn run_vendors(kubernetes: &Client) -> anyhow::Result<()> {
    pods::ensure_namespace(kubernetes, VENDORS).await?;
    let repositories = (0..VENDOR_IMAGES).map(|index| (format!("vendor.example/app-{index}"), 1));
    for (repository, copy) in repositories.chain([(BUSIEST.to_owned(), 2)]) {
        let name = repository.rsplit('/').next().unwrap_or_default();
        let (reference, digest) = (format!("{repository}:1.0"), digest_of(repository.as_bytes()));
        let plan = PodPlan {
            namespace: VENDORS.to_owned(),
            name: format!("{name}-{copy}"),
            containers: vec![("main".to_owned(), reference.clone())],
            ..PodPlan::default()
        };
        let report = ContainerReport::containerd("main", &reference, &repository, &digest);
        pods::run_pod(kubernetes, &plan, &[report]).await?;
    }
    Ok(())
}

/// Builds, signs and runs the claimed one. Answers its digest.
pub(crate) async fn install(
    registry: &str,
    kubernetes: &Client,
    forge: &GithubStandIn,
    keyless: &Keyless,
    contracts: &Path,
) -> anyhow::Result<String> {
    let repository_id = {
        let mut model = forge.model();
        let id = 7000 + model.fresh_id();
        model.add_repository(acme(), NAME, id);
        id
    };
    let path = format!("acme/{NAME}");
    let image = format!("{SECOND_REGISTRY}/{path}");
    fs::write(contracts.join(format!("{NAME}.yaml")), pipeline(NAME, &image, repository_id))?;
    let client = OciClient::new(registry, None)?;
    let pushed = client.push_image(&path, Some("v1"), ("linux", "amd64"), "from before custody").await?;
    let run = GithubRun {
        owner_id: acme().id,
        repository: NAME.to_owned(),
        repository_id,
        sha: COMMIT.to_owned(),
        ..GithubRun::default()
    };
    let build = Build { run, commit: COMMIT.to_owned() };
    let yesterday = Timestamp::now() - SignedDuration::from_hours(24);
    let statements = [
        (PROVENANCE, provenance(&build, &pushed.digest)),
        (SIGNATURE, signature(&pushed.digest)),
        (SBOM, sbom(&pushed.digest)),
    ];
    for (predicate_type, statement) in statements {
        let identity = CertificateIdentity::of_run(&build.run);
        let signed = keyless.sign(SigningRequest::statement(identity, &statement).at(yesterday)).await?;
        client.attach_bundle(&path, &pushed, predicate_type, &signed.bundle_bytes()).await?;
    }
    pods::ensure_namespace(kubernetes, NAME).await?;
    let reference = format!("{image}@{}", pushed.digest);
    let plan = PodPlan {
        namespace: NAME.to_owned(),
        name: "api-1".to_owned(),
        containers: vec![("main".to_owned(), reference.clone())],
        ..PodPlan::default()
    };
    let report = ContainerReport::containerd("main", &reference, &image, &pushed.digest);
    pods::run_pod(kubernetes, &plan, &[report]).await?;
    Ok(pushed.digest)
}
