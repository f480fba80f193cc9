//! The first start in a cluster of thirty images that nobody claims: one `info` case. A digest from before custody was
//! installed: `unknown {uncovered}`, no case, and `policy baseline` covers it.

use std::collections::BTreeSet;

use anyhow::Context;

use crate::before;
use crate::estate::{binary, estate};
use crate::observe::link;
use crate::story;
use harness::servers::tool_run::output_of;

#[test]
fn story_10_thirty_images_that_nobody_claims_are_one_quiet_case() {
    story(async {
        let estate = estate().await;
        let custody = &estate.custody;
        let case = custody
            .wait("all thirty in one case", async || {
                let cases = custody.cases_of("unclaimed-images", &estate.cluster_id).await?;
                let quiet = cases.iter().find(|case| case["severity"] == "info").cloned();
                Ok(match quiet {
                    Some(case) if case["findingsTotal"] == before::VENDOR_IMAGES => Ok(case),
                    other => Err(format!("{other:?}")),
                })
            })
            .await?;
        let named = custody.cases().await?;
        let named: BTreeSet<Option<&str>> = named
            .iter()
            .filter(|case| case.to_string().contains("vendor.example"))
            .map(|case| case["id"].as_str())
            .collect();
        anyhow::ensure!(named == BTreeSet::from([case["id"].as_str()]), "more than one case: {named:?}");
        custody.wait_alert("opened", "unclaimed-images", &estate.cluster_id).await?;
        // It may be told again as it grows; it is opened once, and nothing else is said of these images.
        let told = custody.alerts();
        let told: Vec<_> = told.iter().filter(|alert| alert.rule == "unclaimed-images").collect();
        let opened = told.iter().filter(|alert| alert.change == "opened").count();
        anyhow::ensure!(opened == 1 && told.iter().all(|alert| alert.change != "resolved"), "{told:?}");
        custody.exactly_told(before::VENDORS, &[])
    });
}

#[test]
fn story_10_the_first_start_says_what_it_found_and_what_to_write_next() {
    story(async {
        let custody = &estate().await.custody;
        let printed = custody
            .wait("the first look", async || {
                let printed = custody.printed()?;
                Ok(if printed.contains("The pipeline to write next") { Ok(printed) } else { Err(printed) })
            })
            .await?;
        let counts = printed.lines().find(|line| line.contains(" images claimed, ")).unwrap_or_default();
        let expected = format!("{} not", before::VENDOR_IMAGES);
        anyhow::ensure!(counts.contains(&expected), "no {expected:?} in {counts:?}");
        let busiest = format!("the busiest that nothing claims is {} (2 containers)", before::BUSIEST);
        anyhow::ensure!(counts.contains(&busiest), "no {busiest:?} in {counts:?}");
        let claimed = counts.split(" images claimed").next().and_then(|text| text.rsplit(' ').next());
        let claimed: u32 = claimed.unwrap_or_default().parse()?;
        anyhow::ensure!(claimed >= 1, "the image from before is claimed: {counts:?}");
        let looks = printed.matches(" images claimed, ").count();
        anyhow::ensure!(looks == 1, "it is said {looks} times");
        let (_, pipeline) = printed.split_once("The pipeline to write next").unwrap_or_default();
        for part in ["kind: Pipeline", &format!("images: [\"{}\"]", before::BUSIEST)] {
            anyhow::ensure!(pipeline.contains(part), "no {part:?} in {pipeline}");
        }
        Ok(())
    });
}

#[test]
fn story_10_a_digest_from_before_custody_opens_no_case_and_the_baseline_covers_it() {
    story(async {
        let estate = estate().await;
        let custody = &estate.custody;
        let digest = estate.before.as_deref().context("something ran before custody")?;
        custody.wait_verdict(before::NAME, digest, "untrusted").await?;
        custody.past_settling(before::NAME, digest).await?;
        let verdict = custody.wait_verdict(before::NAME, digest, "untrusted").await?;
        for kind in ["source", "artifact"] {
            let link = link(&verdict, kind);
            anyhow::ensure!(link["state"] == "unknown" && link["reason"] == "uncovered", "{kind}: {link}");
        }
        for kind in ["build", "provenance", "signature", "sbom"] {
            anyhow::ensure!(link(&verdict, kind)["state"] == "proven", "{kind}: {verdict}");
        }
        let named: Vec<_> =
            custody.cases().await?.into_iter().filter(|case| case.to_string().contains(digest)).collect();
        anyhow::ensure!(named.is_empty(), "a case was opened: {named:?}");
        custody.exactly_told(before::NAME, &[])?;
        let mut baseline = tokio::process::Command::new(binary()?);
        baseline
            .args(["policy", "baseline", "--owner", "platform", "--reason", "ran before custody"])
            .args(["--control", "rebuilt within 90 days", "--data"])
            .arg(estate.folder.join("data"));
        let baseline = output_of(&mut baseline, b"").await?;
        anyhow::ensure!(baseline.status.success(), "{}", String::from_utf8_lossy(&baseline.stderr));
        std::fs::write(estate.contracts.join("baseline.yaml"), baseline.stdout)?;
        let verdict = custody.wait_verdict(before::NAME, digest, "waived").await?;
        anyhow::ensure!(link(&verdict, "source")["state"] == "waived", "{verdict}");
        custody.exactly_told(before::NAME, &[])
    });
}
