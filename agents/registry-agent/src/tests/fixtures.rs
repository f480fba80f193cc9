//! Every recorded notification of distribution, through the real intake, against what the recording itself says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use reqwest::StatusCode;
use serde_json::Value;

use super::bench::Bench;
use super::intake::Door;

fn folder(name: &str) -> Option<PathBuf> {
    // A relative folder is meant from the repository's root.
    let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let fixtures = std::env::var_os("CUSTODY_FIXTURES").unwrap_or_else(|| "../shared/fixtures".into());
    let folder = repository.join(fixtures).join("registry").join(name);
    match folder.is_dir() {
        true => Some(folder),
        false => {
            say_skipped(&folder);
            None
        }
    }
}

/// Says so past the capture of test output: `tests/run` counts it as skipped, not as passed.
fn say_skipped(missing: &std::path::Path) {
    use std::io::Write as _;
    let (thread, package) = (std::thread::current(), env!("CARGO_PKG_NAME"));
    let test = thread.name().unwrap_or("?");
    let line = format!("skipped: {package} {test}: fixtures absent: {}", missing.display());
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// The notifications of a folder, file by file, in the order in which they were sent.
fn recorded(name: &str) -> Vec<(String, Vec<Value>)> {
    let Some(folder) = folder(name) else { return Vec::new() };
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        // What the client saw of the registry, headers and notes are no notifications.
        let bodies: Vec<Value> = match () {
            () if file.ends_with(".jsonl") => text
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap()["body"].clone())
                .collect(),
            () if file.ends_with(".json") && !file.contains("http-log") => {
                vec![serde_json::from_str(&text).unwrap()]
            }
            () => continue,
        };
        let events = bodies.iter().flat_map(|body| body["events"].as_array().unwrap().clone()).collect();
        files.push((file, events));
    }
    files
}

/// What a notification must be told as, worked out from the JSON alone.
#[derive(Default)]
struct Oracle {
    tags: BTreeMap<(String, String), String>,
    told: Vec<String>,
}

impl Oracle {
    fn see(&mut self, event: &Value) {
        let target = &event["target"];
        let text = |name: &str| target[name].as_str().unwrap_or_default().to_owned();
        let (repository, tag, digest) = (text("repository"), text("tag"), text("digest"));
        let short = |digest: &str| digest.get(7..19).unwrap_or("-").to_owned();
        let references = target["references"].as_array().cloned().unwrap_or_default();
        let types: Vec<&str> =
            references.iter().map(|reference| reference["mediaType"].as_str().unwrap()).collect();
        let is_image = types.is_empty()
            || types
                .iter()
                .any(|name| name.contains("layer") || name.contains("rootfs") || name.contains("manifest"));
        let is_manifest = text("mediaType").contains("manifest") || text("mediaType").contains("index");
        let key = (repository.clone(), tag.clone());
        match event["action"].as_str().unwrap() {
            "push" if !is_manifest || tag.starts_with("sha256-") || !is_image => {}
            // What it references is not told: the agent looks before it says anything.
            "push" if types.is_empty() && tag.is_empty() && !text("mediaType").contains("index") => {}
            "push" => {
                let tagged = if tag.is_empty() { String::new() } else { format!(":{tag}") };
                self.told.push(format!("pushed {repository}{tagged}@{}", short(&digest)));
                if tag.is_empty() {
                    return;
                }
                let before = self.tags.insert(key, digest.clone());
                if before.as_ref() != Some(&digest) {
                    let from = before.map_or_else(|| "-".to_owned(), |before| short(&before));
                    self.told.push(format!("moved {repository}:{tag} {from}>{}", short(&digest)));
                }
            }
            "delete" => {
                let tag = if tag.is_empty() { "-".to_owned() } else { tag };
                self.told.push(format!("deleted {repository}:{tag}@{}", short(&digest)));
            }
            _ => {}
        }
    }
}

async fn check(events: Vec<Value>, name: &str) {
    let bench = Bench::start().await;
    let door = Door::open(&bench).await;
    let mut oracle = Oracle::default();
    for event in events {
        assert_eq!(door.deliver(std::slice::from_ref(&event)).await, StatusCode::ACCEPTED, "{name}");
        oracle.see(&event);
    }
    assert_eq!(bench.dead_letters().await, 0, "{name}");
    assert_eq!(bench.told().await, oracle.told, "{name}");
}

#[tokio::test]
async fn every_recorded_notification_is_told_as_what_it_is() {
    for (file, events) in recorded("distribution") {
        check(events, &file).await;
    }
    for (file, events) in recorded("own-recordings") {
        check(events, &file).await;
    }
}

#[tokio::test]
async fn the_recordings_in_their_own_order_tell_the_overwritten_tag() {
    let mut events: Vec<Value> =
        recorded("own-recordings").into_iter().flat_map(|(_, events)| events).collect();
    if events.is_empty() {
        return;
    }
    events.sort_by_key(|event| event["timestamp"].as_str().unwrap().to_owned());
    let bench = Bench::start().await;
    let door = Door::open(&bench).await;
    door.deliver(&events).await;
    let told = bench.told().await;
    let moves: Vec<&String> = told.iter().filter(|line| line.contains("moved acme/app:v1 ")).collect();
    assert_eq!(moves.len(), 2, "{told:?}");
    assert!(moves[0].contains(" ->") && !moves[1].contains(" ->"), "{moves:?}");
    assert!(!told.iter().any(|line| line.contains("sha256-")), "{told:?}");
}
