//! An image pushed by alice and deployed: `push-outside-ci` at the push, `out-of-pipeline-deploy` at once when it runs, which
//! from then on covers the first; `unsigned-image-running` is kept and never delivered.

use crate::project::Project;
use crate::story;

#[test]
fn story_03_an_image_pushed_by_a_person_is_told_at_the_push_and_when_it_runs() {
    story(pushed_by_a_person());
}

/// An image of the search indexer, pushed and deployed by hand.
pub(crate) async fn pushed_by_a_person() -> anyhow::Result<()> {
    let project = Project::new("search-indexer").await?;
    let custody = &project.estate.custody;
    let image = project.push("alice", "hotfix", "by hand").await?;
    custody.wait_alert("opened", "push-outside-ci", &image.digest).await?;
    project.deploy("api-1", &image.digest).await?;
    custody.wait_alert("opened", "out-of-pipeline-deploy", project.name).await?;
    let unsigned = custody.wait_case("unsigned-image-running", &image.digest, "open").await?;
    anyhow::ensure!(unsigned["coveredBy"].is_string(), "not covered: {unsigned}");
    let push = custody.wait_case("push-outside-ci", &image.digest, "open").await?;
    anyhow::ensure!(push["coveredBy"].is_string(), "not covered: {push}");
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    custody.only_told(&image.digest, &["push-outside-ci"])?;
    let opened = custody.alerts_about(project.name).into_iter().filter(|alert| alert.change == "opened");
    let mut ids: Vec<String> = opened.map(|alert| alert.id).collect();
    let all = ids.len();
    ids.sort();
    ids.dedup();
    anyhow::ensure!(ids.len() == all, "an alert was told twice under one id");
    Ok(())
}
