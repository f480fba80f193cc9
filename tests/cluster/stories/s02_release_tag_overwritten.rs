//! A release tag is overwritten by alice: `tag-overwritten` and `push-outside-ci`.

use crate::project::Project;
use crate::story;

#[test]
fn story_02_a_release_tag_overwritten_by_a_person_is_told() {
    story(release_tag_overwritten());
}

const TOLD: [(&str, &str); 2] = [("opened", "tag-overwritten"), ("opened", "push-outside-ci")];

/// A release of the checkout, and another image under its tag.
pub(crate) async fn release_tag_overwritten() -> anyhow::Result<()> {
    let project = Project::new("checkout").await?;
    let custody = &project.estate.custody;
    let (image, _) = project.release("v1.2.3").await?;
    custody.wait_verdict(project.name, &image.digest, "trusted").await?;
    custody.exactly_told(project.name, &[])?;
    let other = project.push("alice", "v1.2.3", "something else under the same tag").await?;
    let tag = custody.wait_alert("opened", "tag-overwritten", project.name).await?;
    anyhow::ensure!(tag.subject.ends_with(" v1.2.3"), "another tag: {tag:?}");
    custody.wait_alert("opened", "push-outside-ci", &other.digest).await?;
    custody.past_settling(project.name, &other.digest).await?;
    custody.wait_verdict(project.name, &other.digest, "untrusted").await?;
    // What the tag does changes nothing for the digest that was released.
    custody.wait_verdict(project.name, &image.digest, "trusted").await?;
    custody.exactly_told(&image.digest, &[])?;
    custody.exactly_told(project.name, &TOLD)
}

#[test]
fn story_02_pointing_the_tag_back_at_its_first_digest_ends_it() {
    story(async {
        let project = Project::new("s02-healed").await?;
        let custody = &project.estate.custody;
        let (image, _) = project.release("v1.2.3").await?;
        custody.wait_verdict(project.name, &image.digest, "trusted").await?;
        let other = project.push("alice", "v1.2.3", "something else under the same tag").await?;
        custody.wait_alert("opened", "tag-overwritten", project.name).await?;
        custody.wait_alert("opened", "push-outside-ci", &other.digest).await?;
        project.retag("ci-bot", &image.digest, "v1.2.3").await?;
        custody.wait_alert("resolved", "tag-overwritten", project.name).await?;
        custody.past_settling(project.name, &other.digest).await?;
        // The tag is right again; that somebody pushed past CI stays true.
        custody.exactly_told(project.name, &[&TOLD[..], &[("resolved", "tag-overwritten")]].concat())
    });
}
