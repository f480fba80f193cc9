//! The recorded incidents: each is played, and each says what later stages of the product must add to see all of it.

use std::collections::BTreeSet;

use crate::said::{say, skipped};
use crate::{played, root};

#[test]
fn every_incident_says_what_is_missing_to_see_all_of_it() {
    let incidents = || played().iter().filter(|(one, _)| one.name.starts_with("incidents/"));
    assert!(incidents().next().is_some());
    for (scenario, _) in incidents() {
        let missing = scenario.script.missing.as_deref().unwrap_or_default();
        assert!(!missing.trim().is_empty(), "{} has no note `missing:`", scenario.name);
    }
}

#[test]
fn the_incidents_of_the_fixtures_are_played() {
    let fixtures = std::env::var_os("CUSTODY_FIXTURES").unwrap_or_else(|| "../shared/fixtures".into());
    let listing = root().join("../..").join(fixtures).join("incidents/incidents.json");
    let Ok(text) = std::fs::read_to_string(&listing) else {
        return skipped(&format!("fixtures absent: {}", listing.display()));
    };
    let listing: serde_json::Value = serde_json::from_str(&text).unwrap();
    let names = listing["incidents"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap());
    let listed: BTreeSet<&str> = names.collect();
    let played: BTreeSet<&str> =
        played().iter().filter_map(|(one, _)| one.name.strip_prefix("incidents/")).collect();
    let scenarios: BTreeSet<String> = std::fs::read_dir(root().join("incidents"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let without: Vec<&str> = listed.iter().copied().filter(|name| !scenarios.contains(*name)).collect();
    say(
        "scenarios",
        &format!(
            "incidents: {} listed, {} of them played; without a scenario here: {}",
            listed.len(),
            listed.intersection(&played).count(),
            if without.is_empty() { "none".to_owned() } else { without.join(", ") }
        ),
    );
    let not_played: Vec<&str> =
        listed.into_iter().filter(|name| scenarios.contains(*name) && !played.contains(name)).collect();
    assert!(not_played.is_empty(), "{not_played:?} have a scenario here and were not played");
}
