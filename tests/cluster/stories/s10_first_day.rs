//! The first start in a cluster of thirty images that nobody claims: one `info` case. A digest from before custody was
//! installed: `unknown {uncovered}`, no case, and `policy baseline` covers it.

use std::collections::BTreeSet;

use harness::servers::pods::{self, ContainerReport, PodPlan};

use crate::before;
use crate::estate::{binary, estate};
use crate::observe::link;
use crate::story;

#[test]
fn story_10_thirty_images_that_nobody_claims_are_one_quiet_case() {
    story(async {
        let estate = estate().await;
        pods::ensure_namespace(&estate.kubernetes, "s10-vendors").await?;
        for index in 0..30 {
            let repository = format!("vendor.example/app-{index}");
            let digest = harness::servers::oci::digest_of(repository.as_bytes());
            let plan = PodPlan {
                namespace: "s10-vendors".to_owned(),
                name: format!("app-{index}"),
                containers: vec![("main".to_owned(), format!("{repository}:1.0"))],
                ..PodPlan::default()
            };
            let report =
                ContainerReport::containerd("main", &format!("{repository}:1.0"), &repository, &digest);
            pods::run_pod(&estate.kubernetes, &plan, &[report]).await?;
        }
        let case = estate
            .custody
            .wait("all thirty in one case", async || {
                let cases = estate.custody.cases_of("unclaimed-images", &estate.cluster_id).await?;
                let quiet = cases.iter().find(|case| case["severity"] == "info").cloned();
                Ok(match quiet {
                    Some(case) if case["findingsTotal"].as_u64() >= Some(30) => Ok(case),
                    other => Err(format!("{other:?}")),
                })
            })
            .await?;
        let named: BTreeSet<String> = estate
            .custody
            .cases()
            .await?
            .iter()
            .filter(|case| case.to_string().contains("vendor.example"))
            .map(|case| case["id"].to_string())
            .collect();
        anyhow::ensure!(
            named.len() == 1 && named.contains(&case["id"].to_string()),
            "more than one case: {named:?}"
        );
        Ok(())
    });
}

#[test]
fn story_10_a_digest_from_before_custody_opens_no_case_and_the_baseline_covers_it() {
    story(async {
        let estate = estate().await;
        let custody = &estate.custody;
        let verdict = custody.wait_verdict(before::NAME, &estate.before, "untrusted").await?;
        for kind in ["source", "artifact"] {
            let link = link(&verdict, kind);
            anyhow::ensure!(link["state"] == "unknown" && link["reason"] == "uncovered", "{kind}: {link}");
        }
        for kind in ["build", "provenance", "signature", "sbom"] {
            anyhow::ensure!(link(&verdict, kind)["state"] == "proven", "{kind}: {verdict}");
        }
        let named: Vec<_> = custody
            .cases()
            .await?
            .into_iter()
            .filter(|case| case.to_string().contains(&estate.before))
            .collect();
        anyhow::ensure!(named.is_empty(), "a case was opened: {named:?}");
        custody.only_told(before::NAME, &[])?;
        let baseline = tokio::process::Command::new(binary()?)
            .args(["policy", "baseline", "--owner", "platform", "--reason", "ran before custody"])
            .args(["--control", "rebuilt within 90 days", "--data"])
            .arg(estate.folder.join("data"))
            .output()
            .await?;
        anyhow::ensure!(baseline.status.success(), "{}", String::from_utf8_lossy(&baseline.stderr));
        std::fs::write(estate.contracts.join("baseline.yaml"), baseline.stdout)?;
        let verdict = custody.wait_verdict(before::NAME, &estate.before, "waived").await?;
        anyhow::ensure!(link(&verdict, "source")["state"] == "waived", "{verdict}");
        custody.only_told(before::NAME, &[])
    });
}
