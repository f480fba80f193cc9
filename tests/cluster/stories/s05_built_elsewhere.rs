//! Built from a fork, by another workflow path: `untrusted-builder`. A reusable workflow called by the contract's repository is
//! trusted, called by a stranger's is not.

use harness::github::MergeMethod;

use crate::estate::{REGISTRY, mallory};
use crate::observe::{ensure_only, is_broken_by};
use crate::project::{Build, Project, WORKFLOW};
use crate::story;

/// One alert; whatever else is wrong with the digest is kept below it.
const TOLD: [(&str, &str); 1] = [("opened", "untrusted-builder")];

#[test]
fn story_05_an_image_built_from_a_fork_is_told() {
    story(async {
        let project = Project::new("s05-fork").await?;
        let custody = &project.estate.custody;
        let commit = project.reviewed_change(MergeMethod::Merge, &["src/main.rs"]).await?;
        let fork = Some(("mallory", project.name));
        {
            let mut model = project.estate.forge.model();
            let id = model.fresh_id();
            model.add_repository(mallory(), project.name, id);
        }
        // By a trigger that the contract allows, so that only the fork is wrong; and by the one that forks are good for.
        for (tag, trigger, reason) in
            [("v1", "push", "built_from_fork"), ("v2", "pull_request_target", "wrong_trigger")]
        {
            let build = project.run_of(&commit, "main", WORKFLOW, trigger, fork).await?;
            let image = project.push("ci-bot", tag, &format!("from a fork by {trigger}")).await?;
            project.sign(&build, &image).await?;
            project.deploy(&format!("api-{tag}"), &image.digest).await?;
            custody.wait_alert("opened", "untrusted-builder", &image.digest).await?;
            custody.past_settling(project.name, &image.digest).await?;
            let verdict = custody.wait_verdict(project.name, &image.digest, "untrusted").await?;
            for reason in ["built_from_fork", reason] {
                anyhow::ensure!(is_broken_by(&verdict, "build", reason), "{verdict}");
            }
            ensure_only(&verdict, &[("build", "broken")])?;
            custody.exactly_told(&image.digest, &TOLD)?;
        }
        custody.exactly_told(project.name, &[TOLD, TOLD].concat())
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
        custody.wait_alert("opened", "untrusted-builder", &image.digest).await?;
        custody.past_settling(project.name, &image.digest).await?;
        let verdict = custody.wait_verdict(project.name, &image.digest, "untrusted").await?;
        anyhow::ensure!(is_broken_by(&verdict, "build", "wrong_workflow"), "{verdict}");
        custody.exactly_told(project.name, &TOLD)
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
        custody.past_settling(project.name, &image.digest).await?;
        custody.wait_verdict(project.name, &image.digest, "trusted").await?;
        custody.exactly_told(project.name, &[])
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
        custody.wait_alert("opened", "broken-provenance", &image.digest).await?;
        custody.past_settling(project.name, &image.digest).await?;
        let verdict = custody.wait_verdict(project.name, &image.digest, "untrusted").await?;
        // The builder is the right one; the repository that called it is not.
        anyhow::ensure!(is_broken_by(&verdict, "provenance", "wrong_repository"), "{verdict}");
        anyhow::ensure!(!is_broken_by(&verdict, "provenance", "wrong_builder"), "{verdict}");
        custody.exactly_told(project.name, &[("opened", "broken-provenance")])
    });
}
