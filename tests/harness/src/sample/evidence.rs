//! Evidence of the made-up estate: statements over digests, signed for a workflow run with real cryptography.

use bus_schema::Digest;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::servers::github_run::GithubRun;
use crate::servers::keyless::{CertificateIdentity, SigningRequest};

/// The media type of the bundles.
pub(super) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// One bundle to make, and what it is attached to.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) subject: Digest,
    pub(super) predicate_type: &'static str,
    pub(super) request: SigningRequest,
}

/// SLSA provenance as GitHub's own action writes it; `commit` is what the predicate says, the certificate has the run's.
pub(super) fn provenance(
    image: &str,
    subject: Digest,
    run: &GithubRun,
    commit: &str,
    at: Timestamp,
) -> Wanted {
    let repository = format!("{}/{}", run.forge_url, run.full_name());
    let predicate = json!({
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": {
                "workflow": { "ref": run.git_ref, "repository": repository, "path": run.workflow_path },
            },
            "internalParameters": {
                "github": {
                    "event_name": run.event,
                    "repository_id": run.repository_id.to_string(),
                    "repository_owner_id": run.owner_id.to_string(),
                    "runner_environment": run.runner_environment,
                },
            },
            "resolvedDependencies": [
                { "uri": format!("git+{repository}@{}", run.git_ref), "digest": { "gitCommit": commit } },
            ],
        },
        "runDetails": {
            "builder": { "id": run.certificate_subject() },
            "metadata": { "invocationId": run.invocation_url() },
        },
    });
    signed("https://slsa.dev/provenance/v1", image, subject, predicate, run, at)
}

/// A signature of the image itself, as cosign 3 writes it.
pub(super) fn signature(image: &str, subject: Digest, run: &GithubRun, at: Timestamp) -> Wanted {
    signed("https://sigstore.dev/cosign/sign/v1", image, subject, json!({}), run, at)
}

/// A CycloneDX bill of materials with these packages.
pub(super) fn sbom(
    image: &str,
    subject: Digest,
    run: &GithubRun,
    packages: &[(&str, &str)],
    at: Timestamp,
) -> Wanted {
    let component = |(name, version): &(&str, &str)| {
        json!({
            "type": "library", "name": name, "version": version, "purl": format!("pkg:cargo/{name}@{version}"),
        })
    };
    let components: Vec<Value> = packages.iter().map(component).collect();
    let predicate =
        json!({ "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components });
    signed("https://cyclonedx.org/bom", image, subject, predicate, run, at)
}

fn signed(
    predicate_type: &'static str,
    image: &str,
    subject: Digest,
    predicate: Value,
    run: &GithubRun,
    at: Timestamp,
) -> Wanted {
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": image, "digest": { "sha256": subject.hex() } }],
        "predicateType": predicate_type,
        "predicate": predicate,
    });
    let request = SigningRequest::statement(CertificateIdentity::of_run(run), &statement).at(at);
    Wanted { subject, predicate_type, request }
}
