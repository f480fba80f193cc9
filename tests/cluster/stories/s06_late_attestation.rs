//! The attestation arrives after the pod, inside and outside the window: pending, then healed with the reason.

use harness::github::MergeMethod;

use crate::estate::REGISTRY;
use crate::project::{PROVENANCE, Project, provenance, without_sbom};
use crate::story;

#[test]
fn story_06_an_attestation_inside_the_window_heals_without_a_word() {
    story(async {
        // A window that a busy machine cannot miss.
        let wide = |yaml: String| yaml.replace("settle: 10s", "settle: 20s");
        let project = Project::with_pipeline("s06-inside", REGISTRY, wide).await?;
        let custody = &project.estate.custody;
        let commit = project.reviewed_change(MergeMethod::Merge, &["src/main.rs"]).await?;
        let build = project.run(&commit).await?;
        let image = project.push("ci-bot", "v1", "attested in time").await?;
        project.deploy("api-1", &image.digest).await?;
        custody.wait_verdict(project.name, &image.digest, "pending").await?;
        project.sign(&build, &image).await?;
        custody.wait_verdict(project.name, &image.digest, "trusted").await?;
        custody.past_settling(project.name, &image.digest).await?;
        custody.wait_verdict(project.name, &image.digest, "trusted").await?;
        custody.exactly_told(project.name, &[])
    });
}

#[test]
fn story_06_an_attestation_outside_the_window_heals_and_says_why() {
    story(async {
        // One attestation heals all that it demands.
        let project = Project::with_pipeline("s06-outside", REGISTRY, without_sbom).await?;
        let custody = &project.estate.custody;
        let commit = project.reviewed_change(MergeMethod::Merge, &["src/main.rs"]).await?;
        let build = project.run(&commit).await?;
        let image = project.push("ci-bot", "v1", "attested late").await?;
        project.deploy("api-1", &image.digest).await?;
        custody.wait_verdict(project.name, &image.digest, "pending").await?;
        custody.exactly_told(project.name, &[])?;
        custody.wait_verdict(project.name, &image.digest, "untrusted").await?;
        custody.wait_alert("opened", "out-of-pipeline-deploy", project.name).await?;
        project.attach(&build, &image, PROVENANCE, &provenance(&build, &image.digest)).await?;
        custody.wait_verdict(project.name, &image.digest, "trusted").await?;
        custody.wait_alert("resolved", "out-of-pipeline-deploy", project.name).await?;
        let case = custody.wait_case("out-of-pipeline-deploy", project.name, "resolved").await?;
        let resolution = case["resolution"].as_str().unwrap_or_default();
        anyhow::ensure!(resolution.contains("provenance proven"), "it does not say why: {resolution:?}");
        custody.past_settling(project.name, &image.digest).await?;
        let changes = ["opened", "resolved"].map(|change| (change, "out-of-pipeline-deploy"));
        custody.exactly_told(project.name, &changes)
    });
}
