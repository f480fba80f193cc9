//! A multi-platform image whose pod reports the platform's digest: trusted. An index by alice that lists a trusted manifest and
//! an evil one: the evil one is not.

use harness::github::MergeMethod;
use harness::servers::oci::PlatformManifest;

use crate::project::Project;
use crate::story;

fn platform(descriptor: harness::servers::oci::Descriptor, architecture: &str) -> PlatformManifest {
    PlatformManifest { descriptor, os: "linux".to_owned(), architecture: architecture.to_owned() }
}

#[test]
fn story_08_a_platform_of_an_attested_index_is_trusted() {
    story(async {
        let project = Project::new("s08-platforms").await?;
        let custody = &project.estate.custody;
        let commit = project.reviewed_change(MergeMethod::Merge, &["src/main.rs"]).await?;
        let build = project.run(&commit).await?;
        let ci = project.registry_as("ci-bot")?;
        let amd64 = ci.push_image(&project.path, None, ("linux", "amd64"), "platforms amd64").await?;
        let arm64 = ci.push_image(&project.path, None, ("linux", "arm64"), "platforms arm64").await?;
        let listed = [platform(amd64, "amd64"), platform(arm64.clone(), "arm64")];
        let index = ci.push_index(&project.path, Some("v1"), &listed).await?;
        project.sign(&build, &index).await?;
        project.deploy_as("api-1", &format!("{}@{}", project.image, index.digest), &arm64.digest).await?;
        custody.wait_verdict(project.name, &index.digest, "trusted").await?;
        for digest in [&index.digest, &arm64.digest] {
            custody.past_settling(project.name, digest).await?;
            custody.wait_verdict(project.name, digest, "trusted").await?;
        }
        custody.exactly_told(project.name, &[])
    });
}

#[test]
fn story_08_an_index_by_a_stranger_proves_nothing_for_what_it_lists() {
    story(async {
        let project = Project::new("s08-evil").await?;
        let custody = &project.estate.custody;
        let (good, _) = project.release("v1").await?;
        custody.wait_verdict(project.name, &good.digest, "trusted").await?;
        let alice = project.registry_as("alice")?;
        let evil = alice.push_image(&project.path, None, ("linux", "arm64"), "evil").await?;
        let listed = [platform(good.clone(), "amd64"), platform(evil.clone(), "arm64")];
        let index = alice.push_index(&project.path, Some("latest"), &listed).await?;
        project.deploy_as("api-1", &format!("{}@{}", project.image, index.digest), &evil.digest).await?;
        custody.wait_verdict(project.name, &evil.digest, "untrusted").await?;
        custody.wait_alert("opened", "out-of-pipeline-deploy", project.name).await?;
        for digest in [&evil.digest, &index.digest] {
            custody.past_settling(project.name, digest).await?;
            custody.wait_verdict(project.name, digest, "untrusted").await?;
        }
        // What a stranger lists stays what it is.
        custody.wait_verdict(project.name, &good.digest, "trusted").await?;
        custody.exactly_told(&good.digest, &[])?;
        custody.only_told(project.name, &["out-of-pipeline-deploy", "push-outside-ci"])
    });
}
