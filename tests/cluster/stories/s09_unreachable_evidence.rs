//! The registry answers 401, 429, 503, half a body: pending and reported, never trusted, never "unsigned". One webhook lost:
//! still trusted, found by asking.

use harness::github::MergeMethod;
use harness::servers::refreg::{Fault, FaultKind};

use crate::estate::SECOND_REGISTRY;
use crate::observe::link;
use crate::project::Project;
use crate::story;

#[test]
fn story_09_a_registry_that_does_not_answer_is_reported_and_never_called_unsigned() {
    story(async {
        let estate = crate::estate::estate().await;
        let project = Project::with_pipeline("s09-faults", SECOND_REGISTRY, |yaml| yaml).await?;
        let custody = &estate.custody;
        let kinds = [
            FaultKind::Status { status: 401, retry_after_seconds: None },
            FaultKind::Status { status: 429, retry_after_seconds: Some(1) },
            FaultKind::Status { status: 503, retry_after_seconds: None },
            FaultKind::HalfBody,
        ];
        let commit = project.reviewed_change(MergeMethod::Merge, &["src/main.rs"]).await?;
        for (index, kind) in kinds.into_iter().enumerate() {
            let build = project.run(&commit).await?;
            let image = project.push("ci-bot", &format!("f{index}"), &format!("fault {index}")).await?;
            project.sign(&build, &image).await?;
            let path = format!("referrers/{}", image.digest);
            estate.refreg.set_faults(&[Fault::new(path, kind)]).await?;
            project.deploy(&format!("api-{index}"), &image.digest).await?;
            let verdict = custody
                .wait("the signature link to be unknown", async || {
                    let verdict = custody.verdict(project.name, &image.digest).await?;
                    Ok(match verdict {
                        Some(verdict) if verdict["verdict"] == "untrusted" => Ok(verdict),
                        Some(verdict) if verdict["verdict"] == "trusted" => {
                            anyhow::bail!("trusted: {verdict}")
                        }
                        other => Err(format!("{other:?}")),
                    })
                })
                .await?;
            anyhow::ensure!(link(&verdict, "signature")["state"] == "unknown", "fault {index}: {verdict}");
            custody.wait_case("evidence-unreachable", SECOND_REGISTRY, "open").await?;
            let unsigned = custody.cases_of("unsigned-image-running", &image.digest).await?;
            anyhow::ensure!(unsigned.is_empty(), "called unsigned: {unsigned:?}");
            // The registry comes back, and the evidence heals what was left open.
            estate.refreg.set_faults(&[]).await?;
            custody.wait_verdict(project.name, &image.digest, "trusted").await?;
        }
        Ok(())
    });
}

#[test]
fn story_09_lost_webhooks_are_found_by_asking() {
    story(async {
        let project = Project::new("s09-lost").await?;
        let custody = &project.estate.custody;
        // Neither push nor review nor merge is delivered, nor the start of the run.
        project.merged_change(MergeMethod::Squash, &["src/main.rs"], Some(crate::estate::bob())).await?;
        let commit = project.main().await?;
        let build = project.unreported_run(&commit).await?;
        let image = project.push("ci-bot", "v1", "nobody told").await?;
        project.sign(&build, &image).await?;
        project.deploy("api-1", &image.digest).await?;
        custody.wait_verdict(project.name, &image.digest, "trusted").await?;
        custody.only_told(&image.digest, &[])
    });
}
