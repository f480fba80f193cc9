//! The recorded incidents: each is played, and each says what later stages of the product must add to see all of it.

use std::collections::BTreeSet;
use std::path::Path;

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
fn every_incident_of_the_fixtures_is_played() {
    let default = root().join("../../../shared/fixtures").display().to_string();
    let fixtures = std::env::var("CUSTODY_FIXTURES").unwrap_or(default);
    let listing = Path::new(&fixtures).join("incidents/incidents.json");
    let Ok(text) = std::fs::read_to_string(&listing) else {
        println!("skipped: no fixtures at {}", listing.display());
        return;
    };
    let listing: serde_json::Value = serde_json::from_str(&text).unwrap();
    let listed: BTreeSet<String> = listing["incidents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_str().unwrap().to_owned())
        .collect();
    let played: BTreeSet<String> = played()
        .iter()
        .filter_map(|(one, _)| one.name.strip_prefix("incidents/").map(str::to_owned))
        .collect();
    assert_eq!(played, listed);
}
