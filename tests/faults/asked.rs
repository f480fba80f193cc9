//! What the commands say of a fleet whose bus is on servers: the doctor on either machine, and where dead letters are.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use harness::custody::Custody;
use harness::provision;
use harness::servers::nats::Nats;
use serde_json::Value;

const AGENT: &str = r#"
[intake]
listen = "127.0.0.1:0"
[operations]
listen = "127.0.0.1:0"
[bus]
servers = ["SERVER"]
[[registry]]
host = "127.0.0.1:9"
url = "http://127.0.0.1:9"
repositories = ["acme/api"]
notification_token = "a-token-of-the-registry"
"#;
const CORRELATOR: &str = r#"
[operations]
listen = "127.0.0.1:0"
[api]
listen = "127.0.0.1:0"
[bus]
servers = ["SERVER"]
[correlator]
contracts = "contracts"
[[agent]]
id = "registry-1"
kind = "registry"
scopes = ["**"]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_knows_the_machines_of_a_fleet_and_letters_are_looked_for_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let mut server = Nats::start(place).await.unwrap();
    fs::create_dir(place.join("contracts")).unwrap();
    // Without the contracts of the correlator's.
    fs::create_dir(place.join("near-the-registry")).unwrap();
    for (file, text) in [("correlator.toml", CORRELATOR), ("near-the-registry/agent.toml", AGENT)] {
        fs::write(place.join(file), text.replace("SERVER", server.url())).unwrap();
    }
    let correlator = ["correlator", "--config", "correlator.toml", "--data", "correlator"];
    let mut correlator = Custody::start("correlator", place, &correlator).unwrap();
    assert!(correlator.started().await.unwrap());
    let agent = ["agent", "registry", "--id", "registry-1", "--config", "near-the-registry/agent.toml"];
    let agent = [&agent[..], &["--data", "agent"]].concat();
    let mut agent = Custody::start("agent", place, &agent).unwrap();
    assert!(agent.started().await.unwrap());

    let address = server.url().strip_prefix("nats://").unwrap().to_owned();
    let bus = format!("NATS server {address}");
    let of_agent = doctor(place, "near-the-registry/agent.toml", "agent");
    assert_eq!(state(&of_agent, &bus), "works", "{of_agent:#}");
    assert!(detail(&of_agent, "agent registry-1").contains("runs and answers"), "{of_agent:#}");
    for what in ["process", "contracts", "forges", "clusters", "alerts"] {
        assert!(find(&of_agent, what).is_none(), "{what}: {of_agent:#}");
    }
    let of_correlator = doctor(place, "correlator.toml", "correlator");
    for what in [bus.as_str(), "process", "registries"] {
        assert_eq!(state(&of_correlator, what), "works", "{what}: {of_correlator:#}");
    }
    assert!(detail(&of_correlator, "registries").contains("registry-1"), "{of_correlator:#}");
    assert_eq!(state(&of_correlator, "forges"), "lacks", "{of_correlator:#}");
    assert_eq!(state(&of_correlator, "contracts"), "lacks", "{of_correlator:#}");

    let letters = custody(place, &["deadletter", "list", "--data", "correlator"]);
    assert_eq!(letters.status.code(), Some(0), "{letters:?}");
    correlator.stop().await.unwrap();
    agent.kill();
    for data in ["correlator", "agent"] {
        let letters = custody(place, &["deadletter", "list", "--data", data]);
        assert_eq!(letters.status.code(), Some(3), "{data}: {letters:?}");
        assert!(String::from_utf8_lossy(&letters.stderr).contains("NATS servers"), "{letters:?}");
        assert!(!place.join(data).join("bus").exists(), "{data}");
    }
    server.process.kill();
    let of_agent = doctor(place, "near-the-registry/agent.toml", "agent");
    assert_eq!(state(&of_agent, &bus), "fails", "{of_agent:#}");
    assert!(detail(&of_agent, "agent registry-1").contains("does no more"), "{of_agent:#}");
}

fn custody(place: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(provision::program().unwrap());
    command.current_dir(place).env_clear().env("HOME", place).env("PATH", "/usr/bin:/bin");
    command.args(arguments).output().unwrap()
}

fn doctor(place: &Path, config: &str, data: &str) -> Value {
    let output = custody(place, &["doctor", "--config", config, "--data", data, "--output", "json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn find<'a>(doctor: &'a Value, what: &str) -> Option<&'a Value> {
    doctor["findings"].as_array().unwrap().iter().find(|finding| finding["what"] == what)
}

fn state<'a>(doctor: &'a Value, what: &str) -> &'a str {
    find(doctor, what).unwrap_or_else(|| panic!("no {what} in {doctor:#}"))["state"].as_str().unwrap()
}

fn detail<'a>(doctor: &'a Value, what: &str) -> &'a str {
    find(doctor, what).unwrap_or_else(|| panic!("no {what} in {doctor:#}"))["detail"].as_str().unwrap()
}
