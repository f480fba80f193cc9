#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fleet_runtime::settings::{SettingsError, Sources, load};

use super::*;

fn check(text: &str) -> Result<Settings, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("custody.toml");
    std::fs::write(&file, text).unwrap();
    match load::<Settings>(&Sources { file: Some(file), variables: Vec::new() }) {
        Ok(settings) => Ok(settings),
        Err(SettingsError::Problems { problems }) => Err(problems.iter().map(ToString::to_string).collect()),
        Err(error) => panic!("{error}"),
    }
}

const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

#[test]
fn everything_has_a_default_but_what_only_people_know() {
    let settings = check("").unwrap();
    assert_eq!(settings.api.listen.to_string(), "127.0.0.1:9465");
    assert_eq!(settings.correlator.id.as_str(), "correlator");
    assert!(settings.alerts.is_empty() && settings.agents.is_empty());
}

#[test]
fn a_full_file_is_read() {
    let settings = check(&format!(
        r#"
        [correlator]
        contracts = "policy"
        contracts_poll = "100ms"
        [api]
        listen = "127.0.0.1:0"
        hosts = ["custody.acme.example"]
        [[alert]]
        name = "on-call"
        url = "https://hooks.acme.example/custody"
        secret = "{SECRET}"
        [[agent]]
        id = "registry-agent"
        kind = "registry"
        scopes = ["ghcr.io/acme/**"]
        "#
    ))
    .unwrap();
    assert_eq!(settings.alerts[0].name(), "on-call");
    assert!(!format!("{settings:?}").contains("MDEyMzQ1"), "a secret is shown");
    let agent: AgentId = "registry-agent".parse().unwrap();
    assert!(settings.agents[&agent].holds("ghcr.io/acme/api"));
}

#[test]
fn every_problem_is_named_at_once_and_no_secret_is_repeated() {
    let problems = check(
        r#"
        [correlator]
        contracts_poll = "0s"
        [api]
        listen = "0.0.0.0:80"
        [[alert]]
        name = "On Call"
        url = "http://10.0.0.1/x"
        secret = "hunter2hunter2"
        [[alert]]
        name = "inside"
        url = "https://169.254.169.254/latest"
        secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
        [[agent]]
        id = "UPPER"
        kind = "wizard"
        scopes = []
        "#,
    )
    .unwrap_err();
    let keys: Vec<&str> = problems.iter().map(|problem| problem.split(':').next().unwrap()).collect();
    for key in [
        "correlator.contracts_poll",
        "api.listen",
        "alert[0].name",
        "alert[0].url",
        "alert[0].secret",
        "alert[1].url",
        "agent[0].id",
        "agent[0].kind",
        "agent[0].scopes",
    ] {
        assert!(keys.contains(&key), "{key} is not in {problems:?}");
    }
    assert!(!problems.iter().any(|problem| problem.contains("hunter2")), "{problems:?}");
}

#[test]
fn the_api_listens_on_loopback_only() {
    let listen = |address: &str| check(&format!("[api]\nlisten = \"{address}\""));
    for address in ["127.0.0.1:0", "127.8.9.10:9465", "[::1]:9465"] {
        listen(address).unwrap();
    }
    for address in
        ["0.0.0.0:9465", "[::]:9465", "192.168.0.7:9465", "[fe80::1]:9465", "[::ffff:127.0.0.1]:9465"]
    {
        let problems = listen(address).unwrap_err();
        assert_eq!(
            problems,
            ["api.listen: is not on loopback: the API has no users of its own"],
            "{address}"
        );
    }
}

#[test]
fn addresses_inside_are_allowed_only_where_that_is_said() {
    let url = |url: &str, more: &str| {
        check(&format!("[[alert]]\nname = \"a\"\nurl = \"{url}\"\nsecret = \"{SECRET}\"\n{more}")).is_ok()
    };
    assert!(!url("http://127.0.0.1:9000/", ""));
    assert!(url("http://127.0.0.1:9000/", "allow_loopback = true"));
    assert!(!url("https://192.168.0.1/", ""));
    assert!(url("https://192.168.0.1/", "allow_private = true"));
    assert!(!url("http://192.168.0.1/", "allow_private = true"));
    assert!(url("http://192.168.0.1/", "allow_private = true\nplain_http = true"));
    assert!(!url("https://user:pass@hooks.acme.example/", ""));
    assert!(!url("ftp://hooks.acme.example/", ""));
}
