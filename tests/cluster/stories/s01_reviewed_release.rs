//! A reviewed change, a run that builds and deploys, an image with signature, provenance and SBOM, deployed by digest:
//! trusted, no alert, even while the run is still going.

use harness::github::MergeMethod;
use harness::servers::cosign::Cosign;
use harness::servers::login::Login;

use crate::estate::REGISTRY;
use crate::observe::{ensure_only, link};
use crate::project::{Project, provenance, sbom};
use crate::story;

#[test]
fn story_01_a_reviewed_release_is_trusted_while_its_run_is_still_going() {
    story(reviewed_release());
}

/// A release of the payments API, deployed while its run goes on.
pub(crate) async fn reviewed_release() -> anyhow::Result<()> {
    let project = Project::new("payments-api").await?;
    let custody = &project.estate.custody;
    let (image, build) = project.release("v1.0.0").await?;
    project.deploy_in("api", "1", &image.digest).await?;
    custody.wait_verdict(project.name, &image.digest, "trusted").await?;
    wait_run(&project, &image.digest, "still going").await?;
    custody.runs_only_in(&image.digest, "Deployment/api").await?;
    project.finish(&build).await?;
    wait_run(&project, &image.digest, "success").await?;
    custody.past_settling(project.name, &image.digest).await?;
    let verdict = custody.wait_verdict(project.name, &image.digest, "trusted").await?;
    anyhow::ensure!(verdict["image"] == project.image.as_str(), "judged elsewhere: {verdict}");
    ensure_only(&verdict, &[])?;
    custody.exactly_told(project.name, &[])?;
    custody.exactly_told(&image.digest, &[])
}

/// Waits until the digest is trusted and a witness of its build says how its run stands.
async fn wait_run(project: &Project, digest: &str, says: &str) -> anyhow::Result<()> {
    let custody = &project.estate.custody;
    custody
        .wait(&format!("the run to be {says}"), async || {
            let verdict = custody.verdict(project.name, digest).await?.unwrap_or_default();
            let is_so = verdict["verdict"] == "trusted"
                && link(&verdict, "build")["witnesses"].to_string().contains(says);
            Ok(if is_so { Ok(()) } else { Err(verdict.to_string()) })
        })
        .await
}

#[test]
fn story_01_the_same_signed_through_servers_by_cosign_is_trusted() {
    story(async {
        // The table of builders knows GitHub's own issuer; this Sigstore has another, so no level above 1 is derived.
        let level_one = |yaml: String| yaml.replace("slsaLevel: 2", "slsaLevel: 1");
        let project = Project::with_pipeline("s01-servers", REGISTRY, level_one).await?;
        let estate = project.estate;
        let commit = project.reviewed_change(MergeMethod::Squash, &["src/main.rs"]).await?;
        let build = project.run(&commit).await?;
        let image = project.push("ci-bot", "v1.0.0", "signed by cosign").await?;
        let reference = format!("{}/{}@{}", project.address, project.path, image.digest);
        let login = Login::new("ci-bot", "build");
        let folder = estate.folder.join("s01-cosign");
        std::fs::create_dir_all(&folder)?;
        let cosign = Cosign::logged_in(&folder, &[(estate.distribution.host(), &login)])?;
        let token = estate.sigstore.token(&build.run).await?;
        cosign.sign_keyless(estate.sigstore.files(), &token, &reference).await?;
        let predicates = [
            ("slsaprovenance1", provenance(&build, &image.digest)["predicate"].clone()),
            ("cyclonedx", sbom(&image.digest)["predicate"].clone()),
        ];
        for (kind, predicate) in predicates {
            let token = estate.sigstore.token(&build.run).await?;
            cosign.attest_keyless(estate.sigstore.files(), &token, &reference, kind, &predicate).await?;
        }
        project.deploy_in("api", "1", &image.digest).await?;
        estate.custody.wait_verdict(project.name, &image.digest, "trusted").await?;
        estate.custody.past_settling(project.name, &image.digest).await?;
        estate.custody.wait_verdict(project.name, &image.digest, "trusted").await?;
        estate.custody.exactly_told(project.name, &[])
    });
}
