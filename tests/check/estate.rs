//! What all tests share: two registries, a private Sigstore, an authority without servers, and cosign. Each test works in a
//! repository of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::run_folder::RunFolder;
use harness::servers::cosign::{Cosign, KeyPair};
use harness::servers::distribution::{Distribution, DistributionPlan};
use harness::servers::github_run::GithubRun;
use harness::servers::keyless::{CertificateIdentity, Keyless, Signed, SigningRequest};
use harness::servers::oci::{Descriptor, OciClient};
use harness::servers::refreg::{Refreg, RefregPlan};
use harness::servers::sigstore::PrivateSigstore;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::program::{self, Answer};

pub(crate) const SLSA: &str = "https://slsa.dev/provenance/v1";
/// The default run's repository, as flags name it.
pub(crate) const SOURCE: &str = "github.com/acme/payments-api";

pub(crate) struct Estate {
    pub(crate) folder: PathBuf,
    /// With the tags of older clients, without the referrers API.
    pub(crate) distribution: Distribution,
    /// With the referrers API.
    pub(crate) refreg: Refreg,
    /// Certificates with GitHub's issuer and every proof.
    pub(crate) keyless: Keyless,
    sigstore: OnceCell<PrivateSigstore>,
    signing: OnceCell<Signing>,
    images: AtomicUsize,
    _run_folder: RunFolder,
}

/// cosign with two key pairs.
pub(crate) struct Signing {
    pub(crate) cosign: Cosign,
    pub(crate) key: KeyPair,
    pub(crate) other_key: KeyPair,
}

impl Signing {
    pub(crate) fn public_key(&self) -> String {
        path(&self.key.public)
    }
}

static ESTATE: OnceCell<Estate> = OnceCell::const_new();

/// The estate, started at the first call.
pub(crate) async fn estate() -> &'static Estate {
    ESTATE.get_or_init(|| async { Estate::start().await.expect("the estate starts") }).await
}

/// An image in a repository of its own.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) host: String,
    pub(crate) repository: String,
    pub(crate) descriptor: Descriptor,
    pub(crate) client: OciClient,
}

impl Image {
    pub(crate) fn by_tag(&self) -> String {
        format!("{}/{}:v1", self.host, self.repository)
    }

    pub(crate) fn by_digest(&self) -> String {
        format!("{}/{}@{}", self.host, self.repository, self.descriptor.digest)
    }

    pub(crate) fn digest(&self) -> &str {
        &self.descriptor.digest
    }
}

impl Estate {
    async fn start() -> anyhow::Result<Estate> {
        let run_folder = RunFolder::keep(tempfile::tempdir()?)?;
        let folder = run_folder.path().to_owned();
        let distribution = Distribution::start(&folder, &DistributionPlan::default()).await?;
        let refreg = Refreg::start(&folder, &RefregPlan::default()).await?;
        let keyless = Keyless::new(folder.join("keyless"))?;
        keyless.write_trusted_root(&folder.join("keyless-root.json")).await?;
        let images = AtomicUsize::new(0);
        let (sigstore, signing) = (OnceCell::new(), OnceCell::new());
        Ok(Estate {
            folder,
            distribution,
            refreg,
            keyless,
            sigstore,
            signing,
            images,
            _run_folder: run_folder,
        })
    }

    /// Fulcio, Rekor and a timestamp authority as servers, started at the first call.
    pub(crate) async fn sigstore(&self) -> &PrivateSigstore {
        let start = || async { PrivateSigstore::start(&self.folder).await.expect("the sigstore starts") };
        self.sigstore.get_or_init(start).await
    }

    pub(crate) async fn signing(&self) -> &Signing {
        let make = || async {
            let cosign = Cosign::new(&self.folder).expect("cosign is built");
            let key = cosign.generate_key_pair("release").await.expect("a key pair");
            let other_key = cosign.generate_key_pair("other").await.expect("a key pair");
            Signing { cosign, key, other_key }
        };
        self.signing.get_or_init(make).await
    }

    /// Pushes an image of its own under the tag `v1`.
    pub(crate) async fn image(&self, host: &str) -> Image {
        let number = self.images.fetch_add(1, Ordering::Relaxed);
        let repository = format!("acme/app-{number}");
        let client = OciClient::new(host, None).unwrap();
        let content = format!("image {number}");
        let descriptor =
            client.push_image(&repository, Some("v1"), ("linux", "amd64"), &content).await.unwrap();
        Image { host: host.to_owned(), repository, descriptor, client }
    }

    /// The trust root of everything that `keyless` makes.
    pub(crate) fn keyless_root(&self) -> String {
        path(&self.folder.join("keyless-root.json"))
    }

    pub(crate) async fn check(&self, arguments: &[&str]) -> Answer {
        program::check(&self.folder, arguments).await
    }

    /// Provenance of a run about a digest, signed by the run.
    pub(crate) async fn attested(&self, run: &GithubRun, digest: &str) -> Signed {
        let request = SigningRequest::statement(CertificateIdentity::of_run(run), &statement(run, digest));
        self.keyless.sign(request).await.unwrap()
    }

    /// An image with the provenance of a run, and how it is checked.
    pub(crate) async fn attested_image(&self, host: &str, run: &GithubRun) -> Image {
        let image = self.image(host).await;
        let signed = self.attested(run, image.digest()).await;
        attach(&image, &signed.bundle_bytes()).await;
        image
    }

    /// A file of the test's own.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> String {
        let file = self.folder.join(name);
        fs::write(&file, content).unwrap();
        path(&file)
    }
}

pub(crate) async fn attach(image: &Image, bundle: &[u8]) -> Descriptor {
    image.client.attach_bundle(&image.repository, &image.descriptor, SLSA, bundle).await.unwrap()
}

/// The predicate that GitHub writes for a run.
pub(crate) fn predicate(run: &GithubRun) -> Value {
    json!({
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": { "workflow": {
                "ref": run.git_ref,
                "repository": format!("{}/{}", run.forge_url, run.full_name()),
                "path": run.workflow_path,
            } },
            "internalParameters": { "github": {
                "event_name": run.event,
                "repository_id": run.repository_id.to_string(),
                "repository_owner_id": run.owner_id.to_string(),
                "runner_environment": run.runner_environment,
            } },
            "resolvedDependencies": [{
                "uri": format!("git+{}/{}@{}", run.forge_url, run.full_name(), run.git_ref),
                "digest": { "gitCommit": run.sha },
            }],
        },
        "runDetails": {
            "builder": { "id": format!("{}/{}", run.forge_url, run.job_workflow_ref()) },
            "metadata": { "invocationId": run.invocation_url() },
        },
    })
}

pub(crate) fn statement(run: &GithubRun, digest: &str) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "acme/app", "digest": { "sha256": digest.trim_start_matches("sha256:") } }],
        "predicateType": SLSA,
        "predicate": predicate(run),
    })
}

fn path(path: &Path) -> String {
    path.to_str().expect("test paths are text").to_owned()
}
