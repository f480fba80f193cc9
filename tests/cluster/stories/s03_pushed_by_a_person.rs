//! An image pushed by alice and deployed: `push-outside-ci` at the push, `out-of-pipeline-deploy` at once when it runs, which
//! from then on covers the first; `unsigned-image-running` is kept and never delivered.

use crate::estate::REGISTRY;
use crate::observe::{is_broken_by, link};
use crate::project::Project;
use crate::story;

#[test]
fn story_03_an_image_pushed_by_a_person_is_told_at_the_push_and_when_it_runs() {
    story(pushed_by_a_person());
}

/// The push, then the deployment, then that the first is covered by the second.
const TOLD: [(&str, &str); 3] =
    [("opened", "push-outside-ci"), ("opened", "out-of-pipeline-deploy"), ("updated", "push-outside-ci")];

/// An image of the search indexer, pushed and deployed by hand.
pub(crate) async fn pushed_by_a_person() -> anyhow::Result<()> {
    let project = Project::new("search-indexer").await?;
    let custody = &project.estate.custody;
    let image = project.push("alice", "hotfix", "by hand").await?;
    custody.wait_alert("opened", "push-outside-ci", &image.digest).await?;
    custody.exactly_told(project.name, &TOLD[..1])?;
    project.deploy_in("indexer", "1", &image.digest).await?;
    custody.wait_alert("opened", "out-of-pipeline-deploy", project.name).await?;
    custody.wait_alert("updated", "push-outside-ci", &image.digest).await?;
    let deploy = custody.wait_case("out-of-pipeline-deploy", project.name, "open").await?;
    let subject = deploy["subject"].as_str().unwrap_or_default();
    anyhow::ensure!(subject.contains("Deployment/indexer"), "another workload: {deploy}");
    for rule in ["push-outside-ci", "unsigned-image-running"] {
        let covered = custody.wait_case(rule, &image.digest, "open").await?;
        anyhow::ensure!(covered["coveredBy"] == deploy["id"], "{deploy} does not cover {covered}");
    }
    custody.past_settling(project.name, &image.digest).await?;
    custody.exactly_told(project.name, &TOLD)
}

#[test]
fn story_03_it_is_told_long_before_any_window_ends() {
    story(async {
        let long = |yaml: String| yaml.replace("settle: 10s", "settle: 10m");
        let project = Project::with_pipeline("s03-at-once", REGISTRY, long).await?;
        let custody = &project.estate.custody;
        let image = project.push("alice", "hotfix", "by hand").await?;
        custody.wait_alert("opened", "push-outside-ci", &image.digest).await?;
        project.deploy_in("indexer", "1", &image.digest).await?;
        custody.wait_alert("opened", "out-of-pipeline-deploy", project.name).await?;
        custody.wait_alert("updated", "push-outside-ci", &image.digest).await?;
        let verdict = custody.wait_verdict(project.name, &image.digest, "untrusted").await?;
        anyhow::ensure!(is_broken_by(&verdict, "artifact", "unexpected_pusher"), "{verdict}");
        // Whether somebody signs it is open until the window ends, so nobody calls it unsigned.
        anyhow::ensure!(link(&verdict, "signature")["state"] == "pending", "{verdict}");
        let unsigned = custody.cases_of("unsigned-image-running", &image.digest).await?;
        anyhow::ensure!(unsigned.is_empty(), "called unsigned: {unsigned:?}");
        custody.exactly_told(project.name, &TOLD)
    });
}
