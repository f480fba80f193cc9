//! The registry answers 401, 429, 503, half a body: pending and reported, never trusted, never "unsigned". One webhook lost:
//! still trusted, found by asking.

use std::collections::{BTreeMap, BTreeSet};

use harness::github::MergeMethod;
use harness::servers::oci::{Descriptor, digest_of, evidence_tag};
use harness::servers::refreg::{Fault, FaultKind};
use serde_json::Value;

use crate::estate::SECOND_REGISTRY;
use crate::observe::{link, shown};
use crate::project::{Build, PROVENANCE, Project, provenance, without_sbom};
use crate::story;

/// Where the registry fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The list of what is attached.
    Referrers,
    /// The attached manifest.
    Manifest,
    /// The bytes of the bundle.
    Blob,
    /// The tags under which clients without referrers attach; nothing is attached yet.
    Tags,
}

#[test]
fn story_09_a_registry_that_does_not_answer_is_reported_and_never_called_unsigned() {
    story(async {
        let estate = crate::estate::estate().await;
        // One attestation proves all that it demands.
        let project = Project::with_pipeline("s09-faults", SECOND_REGISTRY, without_sbom).await?;
        let custody = &estate.custody;
        // Each way to fail, with a part of what people are told of it.
        let kinds = [
            (FaultKind::Status { status: 401, retry_after_seconds: None }, "denied (401)"),
            (FaultKind::Status { status: 429, retry_after_seconds: Some(1) }, "too many requests (429)"),
            (FaultKind::Status { status: 503, retry_after_seconds: None }, "failed (503)"),
            (FaultKind::HalfBody, "broke off"),
        ];
        let commit = project.reviewed_change(MergeMethod::Merge, &["src/main.rs"]).await?;
        let build = project.run(&commit).await?;
        let mut faults = Vec::new();
        let mut images = Vec::new();
        for (number, (kind, _)) in kinds.iter().enumerate() {
            for place in [Place::Referrers, Place::Manifest, Place::Blob, Place::Tags] {
                let (image, path) = image_behind(&project, &build, number, place).await?;
                if place == Place::Tags && matches!(kind, FaultKind::HalfBody) {
                    // Half of a body needs a body: a 404 has said all before it.
                    let tag = evidence_tag(&image.digest);
                    project.registry_as("ci-bot")?.push_index(&project.path, Some(&tag), &[]).await?;
                }
                faults.push(Fault::new(path, kind.clone()));
                images.push((format!("fault-{number}-{place:?}").to_lowercase(), place, image));
            }
        }
        estate.refreg.set_faults(&faults).await?;
        for (name, _, image) in &images {
            project.deploy(name, &image.digest).await?;
        }
        let digests: BTreeSet<&str> = images.iter().map(|(_, _, image)| image.digest.as_str()).collect();
        let seen = watch_until_unknown(&project, &digests).await?;
        for (digest, states) in &seen {
            anyhow::ensure!(states.contains("pending"), "{digest} was never pending: {states:?}");
        }
        let told = custody.wait_alert("opened", "evidence-unreachable", SECOND_REGISTRY).await?;
        anyhow::ensure!(told.subject == SECOND_REGISTRY, "{told:?}");
        let case = custody.wait_case("evidence-unreachable", SECOND_REGISTRY, "open").await?;
        for (_, said) in &kinds {
            anyhow::ensure!(case["findings"].to_string().contains(said), "{said} is not reported: {case}");
        }
        for rule in ["unsigned-image-running", "out-of-pipeline-deploy", "push-outside-ci"] {
            let cases = custody.cases_of(rule, project.name).await?;
            anyhow::ensure!(cases.is_empty(), "an outage became {rule}: {cases:?}");
        }
        custody.only_told(project.name, &["untrusted-running"])?;
        // The registry comes back, and the evidence heals what was left open.
        estate.refreg.set_faults(&[]).await?;
        for (_, place, image) in &images {
            if *place == Place::Tags {
                project.attach(&build, image, PROVENANCE, &provenance(&build, &image.digest)).await?;
            }
        }
        for (_, _, image) in &images {
            custody.wait_verdict(project.name, &image.digest, "trusted").await?;
        }
        custody.wait_alert("resolved", "evidence-unreachable", SECOND_REGISTRY).await?;
        custody.wait_case("evidence-unreachable", SECOND_REGISTRY, "resolved").await?;
        custody
            .wait("every case about it to be resolved", async || {
                let mut open = custody.cases().await?;
                open.retain(|case| case["state"] == "open" && case.to_string().contains(project.name));
                Ok(if open.is_empty() { Ok(()) } else { Err(format!("{open:?}")) })
            })
            .await
    });
}

/// An image that nobody has seen yet, and the path of the request whose failure hides its evidence.
async fn image_behind(
    project: &Project,
    build: &Build,
    number: usize,
    place: Place,
) -> anyhow::Result<(Descriptor, String)> {
    let registry = project.registry_as("ci-bot")?;
    let content = format!("{} fault {number} {place:?}", project.name);
    let image = registry.push_image(&project.path, None, ("linux", "amd64"), &content).await?;
    if place == Place::Tags {
        let path = format!("manifests/{}", evidence_tag(&image.digest));
        return Ok((image, path));
    }
    let bundle = project.bundle(build, &provenance(build, &image.digest)).await?;
    let attached = registry.attach_bundle(&project.path, &image, PROVENANCE, &bundle).await?;
    let path = match place {
        Place::Referrers => format!("referrers/{}", image.digest),
        Place::Manifest => format!("manifests/{}", attached.digest),
        Place::Blob | Place::Tags => format!("blobs/{}", digest_of(&bundle)),
    };
    Ok((image, path))
}

/// Waits until signature and provenance of every image are `unknown`. Answers the states that were seen, by digest. Never may
/// one be trusted, nor its evidence or that of what is inside it be anything but awaited or unknown.
async fn watch_until_unknown(
    project: &Project,
    images: &BTreeSet<&str>,
) -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let custody = &project.estate.custody;
    custody
        .wait("the evidence of every image to be unknown", async || {
            for verdict in custody.verdicts(project.name).await? {
                anyhow::ensure!(verdict["verdict"] != "trusted", "trusted: {}", shown(&verdict));
                for kind in ["signature", "provenance"] {
                    let state = link(&verdict, kind)["state"].as_str().unwrap_or("?");
                    anyhow::ensure!(
                        ["pending", "unknown"].contains(&state),
                        "{kind} of {}: {}",
                        verdict["digest"],
                        shown(&verdict)
                    );
                }
                let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
                seen.entry(text(&verdict["digest"])).or_default().insert(text(&verdict["verdict"]));
            }
            let is_unknown =
                |digest: &&&str| seen.get(**digest).is_some_and(|states| states.contains("untrusted"));
            let done = images.iter().filter(is_unknown).count();
            Ok(if done == images.len() { Ok(()) } else { Err(format!("{done} images: {seen:?}")) })
        })
        .await?;
    Ok(seen)
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
        custody.past_settling(project.name, &image.digest).await?;
        custody.wait_verdict(project.name, &image.digest, "trusted").await?;
        custody.exactly_told(project.name, &[])
    });
}
