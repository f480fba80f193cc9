//! The first start in a cluster of thirty images that nobody claims: one `info` case. A digest from before custody was
//! installed: `unknown {uncovered}` and no case.

use std::collections::BTreeSet;

use harness::servers::pods::{self, ContainerReport, PodPlan};

use crate::estate::estate;
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
