//! `custody fleet enroll`: what it makes, what it prints, and what it refuses.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use fleet_runtime::bus::nats::Role;
use serde_json::Value;

use crate::{err, out, run};

/// The lines of a block.
fn block(told: &Value, name: &str) -> String {
    told[name].as_array().unwrap().iter().map(|line| format!("{}\n", line.as_str().unwrap())).collect()
}

#[test]
fn an_agent_gets_a_seed_that_nobody_else_reads_and_three_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let arguments =
        ["fleet", "enroll", "ci", "--id", "ci-1", "--scope", "github.com/acme/**", "--out", "secrets"];
    let enrolled = run(folder.path(), &[&arguments[..], &["--output", "json"]].concat());
    assert_eq!(enrolled.status.code(), Some(0), "{}", err(&enrolled));
    let told: Value = serde_json::from_slice(&enrolled.stdout).unwrap();

    let seed_file = told["seedFile"].as_str().unwrap();
    assert_eq!(fs::metadata(seed_file).unwrap().permissions().mode() & 0o777, 0o600);
    let seed = fs::read_to_string(seed_file).unwrap();
    let keys = nkeys::KeyPair::from_seed(seed.trim()).unwrap();
    assert!(!out(&enrolled).contains(seed.trim()) && !err(&enrolled).contains(seed.trim()));
    assert_eq!(told["publicKey"].as_str(), Some(keys.public_key().as_str()));

    let role = Role::Agent { kind: bus_schema::AgentKind::Ci, id: "ci-1".parse().unwrap() };
    assert_eq!(block(&told, "serverConfiguration"), role.configuration(&keys.public_key()));
    assert_eq!(told["serverFile"], "agents/ci-1.conf");
    assert_eq!(
        block(&told, "correlatorSettings"),
        "[[agent]]\nid = \"ci-1\"\nkind = \"ci\"\nscopes = [\"github.com/acme/**\"]\n"
    );
    let process = block(&told, "processSettings");
    assert!(process.contains(&format!("nkey_seed_file = \"{seed_file}\"")), "{process}");

    let again = run(folder.path(), &arguments);
    assert_eq!(again.status.code(), Some(2));
    assert!(err(&again).contains("is there already"), "{}", err(&again));
    assert_eq!(fs::read_to_string(seed_file).unwrap(), seed, "the first seed stays");
}

#[test]
fn what_is_printed_for_the_settings_is_read_by_them() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("contracts")).unwrap();
    fs::create_dir_all(folder.path().join("tls")).unwrap();
    let enrol = |arguments: &[&str]| -> Value {
        let enrolled = run(folder.path(), &[&["fleet", "enroll", "--output", "json"], arguments].concat());
        assert_eq!(enrolled.status.code(), Some(0), "{}", err(&enrolled));
        serde_json::from_slice(&enrolled.stdout).unwrap()
    };
    let correlator = enrol(&["correlator"]);
    let agent =
        enrol(&["registry", "--id", "registry-1", "--scope", "ghcr.io/acme/**", "--scope", "a.example/b"]);
    assert_eq!(correlator["correlatorSettings"], Value::Null);
    assert_eq!(correlator["serverFile"], "correlator.conf");
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    for file in ["ca.crt", "correlator.crt"] {
        fs::write(folder.path().join("tls").join(file), certificate.cert.pem()).unwrap();
    }
    fs::write(folder.path().join("tls/correlator.key"), certificate.signing_key.serialize_pem()).unwrap();
    // Nothing answers there, which is told only after the settings were taken.
    let server = "servers = [\"tls://127.0.0.1:9\"]\nconnect_within = \"1s\"";
    let process = block(&correlator, "processSettings");
    let process = process.replace("servers = [\"tls://nats.example:4222\"]", server);
    let settings = format!("{process}\n{}", block(&agent, "correlatorSettings"));
    fs::write(folder.path().join("custody.toml"), &settings).unwrap();
    let started = run(folder.path(), &["correlator", "--data", "data"]);
    assert_eq!(started.status.code(), Some(3), "{}\n{settings}", err(&started));
}

#[test]
fn what_cannot_be_enrolled_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, said) in [
        (&["ci", "--scope", "**"][..], "--id ci-1"),
        (&["ci", "--id", "ci-1"], "--scope"),
        (&["cluster", "--id", "cluster-1"], "kube-system"),
        (&["ci", "--id", "ci.1", "--scope", "**"], "not a lower-case letter"),
        (&["ci", "--id", "correlator", "--scope", "**"], "the correlator's own name"),
        (&["correlator", "--scope", "**"], "for agents"),
        (&["ci", "--id", "ci-1", "--scope", "**", "--server", "nats://nats.example"], "plain text"),
    ] {
        let refused = run(folder.path(), &[&["fleet", "enroll"], arguments].concat());
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert!(err(&refused).contains(said), "{arguments:?}: {}", err(&refused));
        assert_eq!(out(&refused), "");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}
