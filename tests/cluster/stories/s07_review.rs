//! What is reviewed and what is not: workflow changes, squash, rebase and merge-queue merges, a hotfix below a reviewed merge,
//! and a side branch that builds and attests validly.

use std::fs;

use harness::github::{MergeMethod, Person};

use crate::estate::{alice, bob};
use crate::observe::{is_broken_by, link};
use crate::project::{Project, WORKFLOW};
use crate::story;

fn root() -> Person {
    Person::user("root", 503)
}

#[test]
fn story_07_a_workflow_changed_without_review_and_a_release_from_it_are_told() {
    story(workflow_changed_without_review());
}

/// A release of the account service by a workflow that nobody reviewed.
pub(crate) async fn workflow_changed_without_review() -> anyhow::Result<()> {
    let project = Project::new("account-service").await?;
    let custody = &project.estate.custody;
    let commit = project.direct_push("main", &root(), &[WORKFLOW]).await?;
    let build = project.run(&commit).await?;
    let image = project.push("ci-bot", "v1", "from a changed workflow").await?;
    project.sign(&build, &image).await?;
    custody.wait_alert("opened", "workflow-changed-unreviewed", &commit).await?;
    custody.wait_alert("opened", "unreviewed-commit-released", &commit).await?;
    let verdict = custody.wait_verdict(project.name, &image.digest, "untrusted").await?;
    anyhow::ensure!(is_broken_by(&verdict, "source", "unreviewed"), "{verdict}");
    Ok(())
}

#[test]
fn story_07_reviewed_merges_of_every_kind_stay_trusted() {
    story(async {
        let project = Project::new("s07-merges").await?;
        let custody = &project.estate.custody;
        for (method, tag) in
            [(MergeMethod::Squash, "v1"), (MergeMethod::Rebase, "v2"), (MergeMethod::Merge, "v3")]
        {
            let commit = project.reviewed_change(method, &["src/main.rs"]).await?;
            let build = project.run(&commit).await?;
            let image = project.push("ci-bot", tag, &format!("{method:?}")).await?;
            project.sign(&build, &image).await?;
            custody.wait_verdict(project.name, &image.digest, "trusted").await?;
        }
        let main = project.main().await?;
        let deliveries = {
            let mut model = project.estate.forge.model();
            let mut deliveries = Vec::new();
            let mut numbers = Vec::new();
            for branch in ["queued-1", "queued-2"] {
                let commit = model.commit(project.key(), &[&main], &alice(), &["src/lib.rs"]);
                deliveries.push(model.push(project.key(), branch, &commit, &alice()));
                let number = model.open_pull(project.key(), (branch, &commit), "main", &alice());
                deliveries.push(model.review(project.key(), number, &bob(), "APPROVED"));
                numbers.push(number);
            }
            deliveries.extend(model.merge_queue(project.key(), &numbers, &alice()));
            deliveries
        };
        project.deliver(deliveries).await?;
        let commit = project.main().await?;
        let build = project.run(&commit).await?;
        let image = project.push("ci-bot", "v4", "merge queue").await?;
        project.sign(&build, &image).await?;
        custody.wait_verdict(project.name, &image.digest, "trusted").await?;
        custody.only_told(project.name, &[])
    });
}

#[test]
fn story_07_a_hotfix_is_not_laundered_by_a_reviewed_merge_until_it_is_excepted() {
    story(async {
        let project = Project::new("s07-hotfix").await?;
        let custody = &project.estate.custody;
        let hotfix = project.direct_push("main", &root(), &["src/main.rs"]).await?;
        let commit = project.reviewed_change(MergeMethod::Merge, &["src/lib.rs"]).await?;
        let build = project.run(&commit).await?;
        let image = project.push("ci-bot", "v2", "on top of the hotfix").await?;
        project.sign(&build, &image).await?;
        let verdict = custody.wait_verdict(project.name, &image.digest, "untrusted").await?;
        anyhow::ensure!(is_broken_by(&verdict, "source", "unreviewed_ancestor"), "{verdict}");
        custody.wait_alert("opened", "unreviewed-commit-released", &hotfix).await?;
        fs::write(
            project.estate.contracts.join("s07-hotfix-exception.yaml"),
            format!(
                "apiVersion: custody.dev/v1\nkind: Exception\nmetadata: {{ name: s07-hotfix }}\nspec:\n  owner: root@acme.example\n  \
                 reason: outage\n  compensatingControl: reviewed afterwards\n  expires: {}\n  scope: {{ pipeline: s07-hotfix, commit: {hotfix} }}\n",
                jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24)
            ),
        )?;
        let verdict = custody.wait_verdict(project.name, &image.digest, "waived").await?;
        anyhow::ensure!(link(&verdict, "source")["exception"] == "s07-hotfix", "{verdict}");
        custody.wait_alert("resolved", "unreviewed-commit-released", &hotfix).await?;
        Ok(())
    });
}

#[test]
fn story_07_a_side_branch_that_attests_validly_is_untrusted_by_its_ref() {
    story(async {
        let project = Project::new("s07-branch").await?;
        let custody = &project.estate.custody;
        let commit = project.direct_push("experiment", &alice(), &[WORKFLOW]).await?;
        let build = project.run_of(&commit, "experiment", WORKFLOW, "push", None).await?;
        let image = project.push("ci-bot", "experiment", "from a side branch").await?;
        project.sign(&build, &image).await?;
        custody.wait_verdict(project.name, &image.digest, "untrusted").await?;
        custody.only_told(&image.digest, &[])?;
        project.deploy("api-1", &image.digest).await?;
        custody.wait_alert("opened", "broken-provenance", &image.digest).await?;
        tokio::time::sleep(std::time::Duration::from_secs(6)).await;
        custody.only_told(&image.digest, &["broken-provenance"])
    });
}
