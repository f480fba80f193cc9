//! Provenance of another repository, of another commit, for another digest: `broken-provenance` each. A good path beside
//! rubbish stays trusted; two half-good statements do not make one.

use harness::github::MergeMethod;

use crate::estate::alice;
use crate::observe::{ensure_only, is_broken_by};
use crate::project::{PROVENANCE, Project, SBOM, SIGNATURE, provenance, provenance_of, sbom, signature};
use crate::story;

/// One alert; whatever else is wrong with the digest is kept below it.
const TOLD: [(&str, &str); 1] = [("opened", "broken-provenance")];

#[test]
fn story_04_provenance_of_another_repository_is_broken() {
    story(async {
        let project = Project::new("s04-repository").await?;
        let custody = &project.estate.custody;
        let commit = project.reviewed_change(MergeMethod::Merge, &["src/main.rs"]).await?;
        let mut build = project.run(&commit).await?;
        build.run.repository = "somebody-elses".to_owned();
        build.run.repository_id = 99;
        let image = project.push("ci-bot", "v1", "from another repository").await?;
        project.sign(&build, &image).await?;
        project.deploy("api-1", &image.digest).await?;
        let verdict = custody.wait_verdict(project.name, &image.digest, "untrusted").await?;
        anyhow::ensure!(is_broken_by(&verdict, "provenance", "wrong_repository"), "{verdict}");
        custody.wait_alert("opened", "broken-provenance", &image.digest).await?;
        custody.past_settling(project.name, &image.digest).await?;
        custody.exactly_told(project.name, &TOLD)
    });
}

#[test]
fn story_04_provenance_of_another_commit_is_broken() {
    story(async {
        let project = Project::new("s04-commit").await?;
        let custody = &project.estate.custody;
        let commit = project.reviewed_change(MergeMethod::Merge, &["src/main.rs"]).await?;
        let other = project.reviewed_change(MergeMethod::Merge, &["src/lib.rs"]).await?;
        let build = project.run(&commit).await?;
        let image = project.push("ci-bot", "v1", "of another commit").await?;
        let statement = provenance_of(&build, &other, &image.digest);
        project.attach(&build, &image, PROVENANCE, &statement).await?;
        project.attach(&build, &image, SIGNATURE, &signature(&image.digest)).await?;
        project.attach(&build, &image, SBOM, &sbom(&image.digest)).await?;
        project.deploy("api-1", &image.digest).await?;
        custody.wait_alert("opened", "broken-provenance", &image.digest).await?;
        custody.past_settling(project.name, &image.digest).await?;
        let verdict = custody.wait_verdict(project.name, &image.digest, "untrusted").await?;
        anyhow::ensure!(is_broken_by(&verdict, "provenance", "wrong_commit"), "{verdict}");
        ensure_only(&verdict, &[("provenance", "broken")])?;
        custody.exactly_told(project.name, &TOLD)
    });
}

#[test]
fn story_04_provenance_for_another_digest_is_broken() {
    story(provenance_for_another_digest());
}

/// An image of the invoice mailer with the provenance of its predecessor.
pub(crate) async fn provenance_for_another_digest() -> anyhow::Result<()> {
    let project = Project::new("invoice-mailer").await?;
    let custody = &project.estate.custody;
    let (good, build) = project.release("v1").await?;
    let image = project.push("ci-bot", "v2", "the one that was not attested").await?;
    project.attach(&build, &image, PROVENANCE, &provenance(&build, &good.digest)).await?;
    project.attach(&build, &image, SIGNATURE, &signature(&image.digest)).await?;
    project.attach(&build, &image, SBOM, &sbom(&image.digest)).await?;
    project.deploy("api-1", &image.digest).await?;
    custody.wait_alert("opened", "broken-provenance", &image.digest).await?;
    custody.past_settling(project.name, &image.digest).await?;
    let verdict = custody.wait_verdict(project.name, &image.digest, "untrusted").await?;
    anyhow::ensure!(is_broken_by(&verdict, "provenance", "wrong_subject"), "{verdict}");
    custody.wait_verdict(project.name, &good.digest, "trusted").await?;
    custody.exactly_told(&good.digest, &[])?;
    custody.exactly_told(project.name, &TOLD)
}

#[test]
fn story_04_a_good_path_beside_rubbish_stays_trusted() {
    story(async {
        let project = Project::new("s04-rubbish").await?;
        let custody = &project.estate.custody;
        let (image, build) = project.release("v1").await?;
        let mut stranger = build.clone();
        stranger.run.repository = "stranger".to_owned();
        stranger.run.repository_id = 98;
        project.attach(&stranger, &image, PROVENANCE, &provenance(&stranger, &image.digest)).await?;
        let rubbish = b"{\"mediaType\":\"application/vnd.dev.sigstore.bundle.v0.3+json\"}";
        project.registry_as("alice")?.attach_bundle(&project.path, &image, PROVENANCE, rubbish).await?;
        project.deploy("api-1", &image.digest).await?;
        custody.wait_verdict(project.name, &image.digest, "trusted").await?;
        custody.past_settling(project.name, &image.digest).await?;
        custody.wait_verdict(project.name, &image.digest, "trusted").await?;
        custody.exactly_told(project.name, &[])
    });
}

#[test]
fn story_04_two_half_good_statements_do_not_make_a_path() {
    story(async {
        let project = Project::new("s04-collage").await?;
        let custody = &project.estate.custody;
        let reviewed = project.reviewed_change(MergeMethod::Merge, &["src/main.rs"]).await?;
        let unreviewed = project.direct_push("main", &alice(), &["src/lib.rs"]).await?;
        // Nobody has released it before both statements are there.
        let ci = project.registry_as("ci-bot")?;
        let image = ci.push_image(&project.path, None, ("linux", "amd64"), "half and half").await?;
        // A reviewed commit on somebody's own runner; and a runner of the forge for a commit that nobody reviewed. Source
        // from the one, build and provenance from the other: every link has its proof, and no statement has them all.
        let mut own_runner = project.run(&reviewed).await?;
        own_runner.run.runner_environment = "self-hosted".to_owned();
        let hosted = project.run(&unreviewed).await?;
        for build in [&own_runner, &hosted] {
            project.attach(build, &image, PROVENANCE, &provenance(build, &image.digest)).await?;
        }
        project.attach(&hosted, &image, SIGNATURE, &signature(&image.digest)).await?;
        project.attach(&hosted, &image, SBOM, &sbom(&image.digest)).await?;
        custody.wait_verified(project.name, &image.digest, 4).await?;
        project.deploy("api-1", &image.digest).await?;
        custody.wait_alert("opened", "unreviewed-commit-released", &unreviewed).await?;
        custody.past_settling(project.name, &image.digest).await?;
        let verdict = custody.wait_verdict(project.name, &image.digest, "untrusted").await?;
        ensure_only(&verdict, &[("source", "broken")])?;
        anyhow::ensure!(is_broken_by(&verdict, "source", "unreviewed"), "{verdict}");
        custody.exactly_told(project.name, &[("opened", "unreviewed-commit-released")])
    });
}
