//! The recorded pods and forms of `imageID` of the fixtures folder, as many as are there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bus_schema::{Digest, ImageId};
use serde_json::Value;

use super::*;
use crate::kubernetes::payload::read_pod;

/// One of the Kubernetes fixtures, where it is there. A relative folder is meant from the repository's root.
fn fixture(name: &str) -> Option<PathBuf> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let fixtures = std::env::var_os("CUSTODY_FIXTURES").unwrap_or_else(|| "../shared/fixtures".into());
    let path = repository.join(fixtures).join("kubernetes").join(name);
    if path.exists() {
        return Some(path);
    }
    say_skipped(&path);
    None
}

/// Says so past the capture of test output: `tests/run` counts it as skipped, not as passed.
fn say_skipped(missing: &Path) {
    use std::io::Write as _;
    let (thread, package) = (std::thread::current(), env!("CARGO_PKG_NAME"));
    let test = thread.name().unwrap_or("?");
    let line = format!("skipped: {package} {test}: fixtures absent: {}", missing.display());
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn pods(folder: &Path) -> Vec<(String, Value)> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries.iter().map(|path| (path.display().to_string(), read(path))).collect()
}

#[test]
fn every_form_of_image_id_is_read_as_what_it_means() {
    let Some(path) = fixture("imageid-forms.json") else { return };
    let forms = read(&path);
    for form in forms["forms"].as_array().unwrap() {
        let (text, meaning) = (form["imageID"].as_str().unwrap(), form["meaning"].as_str().unwrap());
        let hex = &text[text.rfind("sha256:").unwrap()..];
        let parsed = ImageId::parse(text);
        assert_eq!(parsed.digest(), Some(hex.parse().unwrap()), "{text}");
        let is_config = meaning.to_lowercase().contains("config digest");
        match parsed {
            ImageId::Config { .. } => assert!(is_config, "{text}: {meaning}"),
            ImageId::Manifest { repository, .. } => {
                assert!(!is_config, "{text}: {meaning}");
                assert!(text.contains(&format!("{repository}@")) && !repository.contains("://"), "{text}");
            }
            ImageId::Absent => panic!("{text}: {meaning}"),
        }
    }
}

#[test]
fn every_recorded_pod_gives_one_container_for_each_that_runs() {
    let Some(folder) = fixture("pods-openshift-crio") else { return };
    for (path, recorded) in pods(&folder) {
        let pod = read_pod(&recorded.to_string()).unwrap_or_else(|refused| panic!("{path}: {refused:?}"));
        let workload = "c/n/Pod/p".parse().unwrap();
        let view = View { cluster_name: "test", workload: &workload, seen: Timestamp::now() };
        let containers = running(&pod, view);
        let expected = recorded_running(&recorded);
        assert_eq!(containers.len(), expected.len(), "{path}");
        for container in &containers {
            let (image_id, container_id) = &expected[&container.slot];
            assert_eq!(&container.image_id, image_id, "{path}");
            assert_eq!(&container.container_id, container_id, "{path}");
            let digest: Digest = image_id.rsplit('@').next().unwrap().parse().unwrap();
            assert_eq!(container.digest, Some(digest), "{path}");
            let image =
                container.image.as_ref().unwrap_or_else(|| panic!("{path}: {}", container.image_text));
            assert_eq!(image.to_string(), container.image_text, "{path}");
        }

        let change = change(None, &pod, view);
        let started = |dated: &&Dated| matches!(dated.event, Event::ContainerStarted(_));
        assert!(change.events.iter().filter(started).count() >= containers.len(), "{path}");
        assert_eq!(gone(change.known, "test", view.seen).len(), containers.len(), "{path}");
    }
}

/// By slot: image id and container id.
fn recorded_running(pod: &Value) -> BTreeMap<String, (String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let lists = ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"];
    lists
        .iter()
        .filter_map(|list| pod["status"][list].as_array())
        .flatten()
        .filter(|status| status["state"]["running"].is_object())
        .map(|status| (text(&status["name"]), (text(&status["imageID"]), text(&status["containerID"]))))
        .collect()
}

#[test]
fn every_image_of_the_recorded_inventory_has_the_digest_that_it_names() {
    let Some(path) = fixture("openshift/running_containers.json") else { return };
    let recorded = read(&path);
    for image in recorded["images"].as_object().unwrap().values() {
        let text = image.as_str().unwrap();
        let expected: Option<Digest> = text.find("sha256:").map(|at| text[at..].parse().unwrap());
        assert_eq!(ImageId::parse(text).digest(), expected, "{text}");
    }
}

#[test]
fn the_pod_of_a_recorded_admission_is_read() {
    let Some(path) = fixture("admission/pod-create-v1.json") else { return };
    let review = read(&path);
    let object = &review["request"]["object"];
    assert!(object.is_object(), "the recording has an object");
    let mut object = object.clone();
    // A pod that is only being created has no UID yet.
    object["metadata"]["uid"] = review["request"]["uid"].clone();
    let pod = read_pod(&object.to_string()).unwrap();
    assert!(!pod.spec.containers.is_empty());
    let workload = "c/n/Pod/p".parse().unwrap();
    assert!(
        running(&pod, View { cluster_name: "test", workload: &workload, seen: Timestamp::now() }).is_empty()
    );
}
