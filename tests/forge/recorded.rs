//! Every recorded payload of GitHub goes through the intake: reported or ignored, never buried.

use std::path::Path;

use harness::github::Delivery;

use crate::world::{SECRET, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_payloads_are_taken_and_none_is_buried() {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/fixtures");
    let root = std::env::var("CUSTODY_FIXTURES").unwrap_or_else(|_| default.to_owned());
    let webhooks = Path::new(&root).join("github/webhooks");
    let Ok(folders) = std::fs::read_dir(&webhooks) else {
        crate::say_skipped(&webhooks);
        return;
    };
    // The owners of the recordings.
    let owners = ["Codertocat", "Octocoders", "octo-org", "wolfy1339", "terraform-test-github", "gr2m"];
    let world = World::with(serde_json::json!({ "watch": owners })).await;
    let mut taken = 0;
    let mut refused = Vec::new();
    for folder in folders.map(Result::unwrap).filter(|entry| entry.path().is_dir()) {
        let event = folder.file_name().into_string().unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
            let body = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
            let delivery = Delivery::new(&event, body);
            let sent = harness::github::deliver::post(world.webhook_url(), SECRET, &delivery).await.unwrap();
            match sent {
                202 => taken += 1,
                status => refused.push(format!("{} {status}", file.path().display())),
            }
        }
    }
    // Other owners than those that the secret speaks for are refused, as they should be.
    assert!(refused.iter().all(|line| line.ends_with("403")), "{refused:?}");
    assert!(refused.len() * 5 < taken, "taken {taken}, refused {refused:#?}");
    let letters = world.dead_letters().await;
    assert!(letters.is_empty(), "{letters:?}");
    println!("{taken} taken, {} of other owners, {} events", refused.len(), world.events().await.len());
}
