//! Built from a fork, by another workflow path: `untrusted-builder`. A reusable workflow called by the contract's repository is
//! trusted, called by a stranger's is not.

use harness::github::MergeMethod;

use crate::estate::REGISTRY;
use crate::project::{Build, Project, WORKFLOW};
use crate::story;

#[test]
fn story_05_an_image_built_from_a_fork_is_told() {
    story(async {
        let project = Project::new("s05-fork").await?;
        let custody = &project.estate.custody;
        let commit = project.reviewed_change(MergeMethod::Merge, &["src/main.rs"]).await?;
        let fork = Some(("mallory", "s05-fork"));
        let build = project.run_of(&commit, "main", WORKFLOW, "pull_request_target", fork).await?;
        let image = project.push("ci-bot", "v1", "from a fork").await?;
        project.sign(&build, &image).await?;
        project.deploy("api-1", &image.digest).await?;
        custody.wait_verdict(project.name, &image.digest, "untrusted").await?;
        custody.wait_alert("opened", "untrusted-builder", &image.digest).await?;
        Ok(())
    });
}

#[test]
fn story_05_an_image_built_by_another_workflow_is_told() {
    story(async {
        let project = Project::new("s05-workflow").await?;
        let custody = &project.estate.custody;
        let commit = project.reviewed_change(MergeMethod::Merge, &["src/main.rs"]).await?;
        let build = project.run_of(&commit, "main", ".github/workflows/nightly.yml", "push", None).await?;
        let image = project.push("ci-bot", "v1", "by another workflow").await?;
        project.sign(&build, &image).await?;
        project.deploy("api-1", &image.digest).await?;
        custody.wait_verdict(project.name, &image.digest, "untrusted").await?;
        custody.wait_alert("opened", "untrusted-builder", &image.digest).await?;
        Ok(())
    });
}

/// The workflow that other repositories may call.
const REUSABLE: &str = "acme/builders/.github/workflows/container.yml";

fn called(build: &Build) -> Build {
    let mut build = build.clone();
    build.run.called_workflow = Some(format!("{REUSABLE}@refs/tags/v3"));
    build
}

fn with_reusable_builder(yaml: String) -> String {
    yaml.replace("builders: [github-hosted]", &format!("builders: [\"github.com/{REUSABLE}@refs/tags/v*\"]"))
}

#[test]
fn story_05b_a_reusable_workflow_called_by_the_contracts_repository_is_trusted() {
    story(async {
        let project = Project::with_pipeline("s05-reusable", REGISTRY, with_reusable_builder).await?;
        let custody = &project.estate.custody;
        let commit = project.reviewed_change(MergeMethod::Merge, &["src/main.rs"]).await?;
        let build = called(&project.run(&commit).await?);
        let image = project.push("ci-bot", "v1", "by the shared builder").await?;
        project.sign(&build, &image).await?;
        project.deploy("api-1", &image.digest).await?;
        custody.wait_verdict(project.name, &image.digest, "trusted").await?;
        custody.only_told(&image.digest, &[])
    });
}

#[test]
fn story_05b_a_reusable_workflow_called_by_a_stranger_is_not_trusted() {
    story(async {
        let project = Project::with_pipeline("s05-stranger", REGISTRY, with_reusable_builder).await?;
        let custody = &project.estate.custody;
        let commit = project.reviewed_change(MergeMethod::Merge, &["src/main.rs"]).await?;
        let mut build = called(&project.run(&commit).await?);
        build.run.owner = "mallory".to_owned();
        build.run.owner_id = 666;
        build.run.repository_id = 667;
        let image = project.push("ci-bot", "v1", "by the shared builder for somebody else").await?;
        project.sign(&build, &image).await?;
        project.deploy("api-1", &image.digest).await?;
        custody.wait_verdict(project.name, &image.digest, "untrusted").await?;
        custody.never_trusted(project.name, &image.digest, std::time::Duration::from_secs(4)).await
    });
}
