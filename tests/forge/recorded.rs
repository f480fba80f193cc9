//! Every recorded payload of GitHub goes through the intake: reported or ignored, never buried.

use std::collections::BTreeSet;
use std::path::Path;

use github_client::scope::Watched;
use harness::fixtures::found;
use harness::github::Delivery;
use harness::said::{say, skipped};
use serde_json::Value;

use crate::world::{REPOSITORY, SECRET, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_payloads_are_taken_and_none_is_buried() {
    let Some(webhooks) = found("github/webhooks") else { return };
    let recorded = recorded(&webhooks);
    if recorded.is_empty() {
        return skipped("no recorded payload");
    }
    // All whom the recordings are of are watched.
    let mut watched: BTreeSet<&str> = recorded.iter().flat_map(|(_, _, body)| owners(body)).collect();
    watched.insert(REPOSITORY.0);
    let world = World::with(serde_json::json!({ "watch": watched })).await;
    let (mut taken, mut refused, mut wrong) = (0, 0, Vec::new());
    for (file, event, body) in recorded {
        let is_consistent = is_of_its_owner(&body["repository"]);
        let delivery = Delivery::new(&event, body);
        match harness::github::deliver::post(world.webhook_url(), SECRET, &delivery).await.unwrap() {
            202 => taken += 1,
            // Nobody's secret speaks for a repository at another's address.
            403 if !is_consistent => refused += 1,
            status => wrong.push(format!("{file} {status}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let letters = world.dead_letters().await;
    assert!(letters.is_empty(), "{letters:?}");
    let events = world.events().await.len();
    say(
        "forge",
        &format!(
            "recorded payloads: {taken} taken, {refused} of a repository at another's address refused, \
             {events} events"
        ),
    );
}

/// The recordings: path, event and body.
fn recorded(webhooks: &Path) -> Vec<(String, String, Value)> {
    let mut recorded = Vec::new();
    let folders = std::fs::read_dir(webhooks).unwrap().map(Result::unwrap);
    for folder in folders.filter(|entry| entry.path().is_dir()) {
        let event = folder.file_name().into_string().unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
            let body = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
            recorded.push((file.path().display().to_string(), event.clone(), body));
        }
    }
    recorded
}

/// The owners that a body names, wherever GitHub names one.
fn owners(body: &Value) -> Vec<&str> {
    let places = [
        "/repository/owner/login",
        "/repository/owner/name",
        "/organization/login",
        "/installation/account/login",
    ];
    let named = places.iter().filter_map(|place| body.pointer(place)?.as_str());
    named.filter(|name| name.parse::<Watched>().is_ok()).collect()
}

/// Whether a repository, where one is named, lies at its own address.
fn is_of_its_owner(repository: &Value) -> bool {
    let text =
        |place: &str| repository.pointer(place).and_then(Value::as_str).unwrap_or_default().to_lowercase();
    let own = format!("https://github.com/{}/{}", text("/owner/login"), text("/name"));
    repository.is_null() || text("/html_url") == own
}
