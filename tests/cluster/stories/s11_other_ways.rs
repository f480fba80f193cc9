//! An image attested only in the forge's API and deployed minutes later: trusted. A rollback to last week's digest and a moving
//! `latest`: no alert. A cron pod every minute: no flapping.

use harness::github::MergeMethod;
use harness::servers::pods;

use crate::project::{Project, provenance, sbom, signature};
use crate::story;

#[test]
fn story_11_an_image_attested_only_at_the_forge_is_trusted() {
    story(async {
        let project = Project::new("s11-forge").await?;
        let custody = &project.estate.custody;
        let commit = project.reviewed_change(MergeMethod::Merge, &["src/main.rs"]).await?;
        let build = project.run(&commit).await?;
        let image = project.push("ci-bot", "v1", "attested at the forge").await?;
        for statement in [provenance(&build, &image.digest), signature(&image.digest), sbom(&image.digest)] {
            let bundle = project.bundle(&build, &statement).await?;
            let bundle = serde_json::from_slice(&bundle)?;
            project.estate.forge.model().attest(project.key(), &image.digest, bundle);
        }
        tokio::time::sleep(std::time::Duration::from_secs(6)).await;
        project.deploy("api-1", &image.digest).await?;
        custody.wait_verdict(project.name, &image.digest, "trusted").await?;
        let told = custody.alerts_about(&image.digest);
        anyhow::ensure!(told.iter().all(|alert| alert.rule != "unsigned-image-running"), "{told:?}");
        Ok(())
    });
}

#[test]
fn story_11_a_rollback_and_a_moving_latest_are_not_told() {
    story(async {
        let project = Project::new("s11-rollback").await?;
        let custody = &project.estate.custody;
        let (old, _) = project.release("v1").await?;
        project.retag("ci-bot", &old.digest, "latest").await?;
        project.deploy("api-1", &old.digest).await?;
        custody.wait_verdict(project.name, &old.digest, "trusted").await?;
        let (new, _) = project.release("v2").await?;
        project.retag("ci-bot", &new.digest, "latest").await?;
        project.deploy("api-2", &new.digest).await?;
        custody.wait_verdict(project.name, &new.digest, "trusted").await?;
        project.retag("ci-bot", &old.digest, "latest").await?;
        project.deploy("api-3", &old.digest).await?;
        pods::delete_pod(&project.estate.kubernetes, project.name, "api-2").await?;
        tokio::time::sleep(std::time::Duration::from_secs(8)).await;
        custody.only_told(project.name, &[])?;
        custody.only_told(&old.digest, &[])
    });
}

#[test]
fn story_11_a_pod_that_comes_and_goes_does_not_flap() {
    story(async {
        let project = Project::new("s11-cron").await?;
        let custody = &project.estate.custody;
        let image = project.push("alice", "job", "by hand, every minute").await?;
        for turn in 0..4 {
            let pod = format!("job-{turn}");
            project.deploy(&pod, &image.digest).await?;
            custody.wait_case("out-of-pipeline-deploy", &format!("Pod/{pod}"), "open").await?;
            pods::delete_pod(&project.estate.kubernetes, project.name, &pod).await?;
            tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        }
        let told = custody.alerts_about(&image.digest);
        let reopened = told.iter().filter(|alert| alert.change == "opened").count();
        anyhow::ensure!(reopened <= 1, "it flaps: {told:?}");
        let resolved = told.iter().filter(|alert| alert.change == "resolved").count();
        anyhow::ensure!(resolved == 0, "it flaps: {told:?}");
        Ok(())
    });
}
