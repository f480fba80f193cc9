//! An image attested only in the forge's API and deployed minutes later: trusted. A rollback to last week's digest and a moving
//! `latest`: no alert. A cron pod every minute: no flapping.

use harness::github::MergeMethod;
use harness::servers::{pods, workloads};

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
        project.deploy_in("api", "1", &image.digest).await?;
        custody.wait_verdict(project.name, &image.digest, "trusted").await?;
        custody.runs_only_in(&image.digest, "Deployment/api").await?;
        custody.past_settling(project.name, &image.digest).await?;
        custody.wait_verdict(project.name, &image.digest, "trusted").await?;
        custody.exactly_told(project.name, &[])
    });
}

#[test]
fn story_11_a_rollback_and_a_moving_latest_are_not_told() {
    story(async {
        let project = Project::new("s11-rollback").await?;
        let custody = &project.estate.custody;
        let (old, _) = project.release("v1").await?;
        project.retag("ci-bot", &old.digest, "latest").await?;
        let pod = project.deploy_in("api", "1", &old.digest).await?;
        custody.wait_verdict(project.name, &old.digest, "trusted").await?;
        let (new, _) = project.release("v2").await?;
        project.retag("ci-bot", &new.digest, "latest").await?;
        let new_pod = project.deploy_in("api", "2", &new.digest).await?;
        pods::delete_pod(&project.estate.kubernetes, project.name, &pod).await?;
        custody.wait_verdict(project.name, &new.digest, "trusted").await?;
        project.retag("ci-bot", &old.digest, "latest").await?;
        project.deploy_in("api", "3", &old.digest).await?;
        pods::delete_pod(&project.estate.kubernetes, project.name, &new_pod).await?;
        custody.runs_only_in(&old.digest, "Deployment/api").await?;
        custody.ran_only_in(&new.digest, "Deployment/api").await?;
        for digest in [&old.digest, &new.digest] {
            custody.past_settling(project.name, digest).await?;
            custody.wait_verdict(project.name, digest, "trusted").await?;
        }
        // Polls come every few seconds, and each of them sees the tag where it is now.
        tokio::time::sleep(std::time::Duration::from_secs(4)).await;
        custody.exactly_told(project.name, &[])
    });
}

#[test]
fn story_11_a_cron_job_that_comes_and_goes_does_not_flap() {
    story(async {
        let project = Project::new("s11-cron").await?;
        let estate = project.estate;
        let custody = &estate.custody;
        let image = project.push("alice", "job", "by hand, every minute").await?;
        custody.wait_alert("opened", "push-outside-ci", &image.digest).await?;
        for turn in 0..4 {
            let job = format!("nightly-{turn}");
            let pod = project.run_job("nightly", &job, &image.digest).await?;
            custody.runs_only_in(&image.digest, "CronJob/nightly").await?;
            custody.wait_case("out-of-pipeline-deploy", "CronJob/nightly", "open").await?;
            pods::delete_pod(&estate.kubernetes, project.name, &pod).await?;
            custody
                .wait("the end of the pod", async || {
                    let running = custody.running(&image.digest).await?;
                    Ok(if running == 0 { Ok(()) } else { Err(format!("{running} run")) })
                })
                .await?;
            workloads::delete_job(&estate.kubernetes, project.name, &job).await?;
        }
        custody.past_settling(project.name, &image.digest).await?;
        let cases = custody.cases_of("out-of-pipeline-deploy", project.name).await?;
        anyhow::ensure!(cases.len() == 1 && cases[0]["reopened"] == 0, "it flaps: {cases:?}");
        custody.exactly_told(
            project.name,
            &[
                ("opened", "push-outside-ci"),
                ("opened", "out-of-pipeline-deploy"),
                ("updated", "push-outside-ci"),
            ],
        )
    });
}
