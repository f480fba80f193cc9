//! A release tag is overwritten by alice: `tag-overwritten` and `push-outside-ci`.

use crate::project::Project;
use crate::story;

#[test]
fn story_02_a_release_tag_overwritten_by_a_person_is_told() {
    story(release_tag_overwritten());
}

/// A release of the checkout, and another image under its tag.
pub(crate) async fn release_tag_overwritten() -> anyhow::Result<()> {
    let project = Project::new("checkout").await?;
    let custody = &project.estate.custody;
    let (image, _) = project.release("v1.2.3").await?;
    custody.wait_verdict(project.name, &image.digest, "trusted").await?;
    let other = project.push("alice", "v1.2.3", "something else under the same tag").await?;
    custody.wait_alert("opened", "tag-overwritten", project.name).await?;
    custody.wait_alert("opened", "push-outside-ci", &other.digest).await?;
    custody.never_trusted(project.name, &other.digest, std::time::Duration::from_secs(2)).await?;
    custody.wait_verdict(project.name, &image.digest, "trusted").await?;
    Ok(())
}

#[test]
fn story_02_pointing_the_tag_back_at_its_first_digest_ends_it() {
    story(async {
        let project = Project::new("s02-healed").await?;
        let custody = &project.estate.custody;
        let (image, _) = project.release("v1.2.3").await?;
        custody.wait_verdict(project.name, &image.digest, "trusted").await?;
        project.push("alice", "v1.2.3", "something else under the same tag").await?;
        custody.wait_alert("opened", "tag-overwritten", project.name).await?;
        project.retag("ci-bot", &image.digest, "v1.2.3").await?;
        custody.wait_alert("resolved", "tag-overwritten", project.name).await?;
        Ok(())
    });
}
