//! What is reviewed and what is not: workflow changes, squash, rebase and merge-queue merges, a hotfix below a reviewed merge,
//! and a side branch that builds and attests validly.

use std::fs;

use harness::github::{MergeMethod, Person};

use crate::estate::{alice, bob};
use crate::observe::{ensure_only, is_broken_by, link};
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
    custody.past_settling(project.name, &image.digest).await?;
    let verdict = custody.wait_verdict(project.name, &image.digest, "untrusted").await?;
    anyhow::ensure!(is_broken_by(&verdict, "source", "unreviewed"), "{verdict}");
    ensure_only(&verdict, &[("source", "broken")])?;
    let told = [("opened", "workflow-changed-unreviewed"), ("opened", "unreviewed-commit-released")];
    custody.exactly_told_beside(project.name, &told, NEWS)
}

/// Opens at any change of a workflow and is over by itself: news that objects to nothing.
const NEWS: &str = "workflow-changed";

#[test]
fn story_07_reviewed_merges_of_every_kind_stay_trusted() {
    story(async {
        let project = Project::new("s07-merges").await?;
        let custody = &project.estate.custody;
        let mut digests = Vec::new();
        for (method, tag, file) in [
            (MergeMethod::Squash, "v1", "src/main.rs"),
            (MergeMethod::Rebase, "v2", "src/main.rs"),
            // A workflow that is changed with a review is news and no objection.
            (MergeMethod::Merge, "v3", WORKFLOW),
        ] {
            let commit = project.reviewed_change(method, &[file]).await?;
            let build = project.run(&commit).await?;
            let image = project.push("ci-bot", tag, &format!("{method:?}")).await?;
            project.sign(&build, &image).await?;
            custody.wait_verdict(project.name, &image.digest, "trusted").await?;
            digests.push(image.digest);
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
        project.deploy("api-1", &image.digest).await?;
        custody.wait_verdict(project.name, &image.digest, "trusted").await?;
        custody.past_settling(project.name, &image.digest).await?;
        digests.push(image.digest);
        for digest in &digests {
            custody.wait_verdict(project.name, digest, "trusted").await?;
        }
        custody.exactly_told_beside(project.name, &[], NEWS)
    });
}

#[test]
fn story_07_a_hotfix_is_not_laundered_by_a_reviewed_merge_until_it_is_excepted() {
    story(async {
        let project = Project::new("s07-hotfix").await?;
        let custody = &project.estate.custody;
        let hotfix = project.direct_push("main", &root(), &["src/main.rs"]).await?;
        let released = release_of(&project, &hotfix, "v1").await?;
        custody.wait_alert("opened", "unreviewed-commit-released", &hotfix).await?;
        let merge = project.reviewed_change(MergeMethod::Merge, &["src/lib.rs"]).await?;
        let on_top = release_of(&project, &merge, "v2").await?;
        for (digest, reason) in [(&released, "unreviewed"), (&on_top, "unreviewed_ancestor")] {
            custody.past_settling(project.name, digest).await?;
            let verdict = custody.wait_verdict(project.name, digest, "untrusted").await?;
            anyhow::ensure!(is_broken_by(&verdict, "source", reason), "{verdict}");
            anyhow::ensure!(
                link(&verdict, "source").to_string().contains(&hotfix),
                "another commit: {verdict}"
            );
            ensure_only(&verdict, &[("source", "broken")])?;
        }
        // One case for the commit, which says so when a second release has it.
        let told = ["opened", "updated"].map(|change| (change, "unreviewed-commit-released"));
        custody.exactly_told(project.name, &told)?;
        custody.exactly_told(&hotfix, &told)?;
        fs::write(
            project.estate.contracts.join("s07-hotfix-exception.yaml"),
            format!(
                "apiVersion: custody.dev/v1\nkind: Exception\nmetadata: {{ name: s07-hotfix }}\nspec:\n  owner: root@acme.example\n  \
                 reason: outage\n  compensatingControl: reviewed afterwards\n  expires: {}\n  scope: {{ pipeline: s07-hotfix, commit: {hotfix} }}\n",
                jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24)
            ),
        )?;
        for digest in [&released, &on_top] {
            let verdict = custody.wait_verdict(project.name, digest, "waived").await?;
            anyhow::ensure!(link(&verdict, "source")["exception"] == "s07-hotfix", "{verdict}");
        }
        custody.wait_alert("resolved", "unreviewed-commit-released", &hotfix).await?;
        custody.past_settling(project.name, &on_top).await?;
        let resolved = [("resolved", "unreviewed-commit-released")];
        custody.exactly_told(project.name, &[&told[..], &resolved].concat())
    });
}

/// Releases a commit as it is. Answers the digest.
async fn release_of(project: &Project, commit: &str, tag: &str) -> anyhow::Result<String> {
    let build = project.run(commit).await?;
    let image = project.push("ci-bot", tag, &format!("release {tag} of {commit}")).await?;
    project.sign(&build, &image).await?;
    Ok(image.digest)
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
        custody.past_settling(project.name, &image.digest).await?;
        let verdict = custody.wait_verdict(project.name, &image.digest, "untrusted").await?;
        for kind in ["source", "provenance"] {
            anyhow::ensure!(is_broken_by(&verdict, kind, "wrong_ref"), "{verdict}");
        }
        custody.exactly_told(project.name, &[])?;
        project.deploy("api-1", &image.digest).await?;
        custody.wait_alert("opened", "broken-provenance", &image.digest).await?;
        let unsigned = custody.wait_case("unsigned-image-running", &image.digest, "open").await?;
        anyhow::ensure!(unsigned["coveredBy"].is_string(), "not covered: {unsigned}");
        custody.past_settling(project.name, &image.digest).await?;
        custody.exactly_told(project.name, &[("opened", "broken-provenance")])
    });
}
