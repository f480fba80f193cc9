#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write;

use correlator_service::AgentKind;

use super::*;

fn check(text: &str) -> Result<Settings, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let sources = Sources { file: Some(file.path().to_owned()), variables: Vec::new() };
    load::<Settings>(&sources).map_err(|error| error.to_string())
}

#[test]
fn the_agents_of_a_file_may_say_what_their_sections_watch_and_no_more() {
    let settings = check(
        "[[registry]]\nhost = \"registry.acme.example\"\nrepositories = [\"**\"]\n\
         [[github]]\nwatch = [\"acme\", \"umbrella/api\"]\n",
    )
    .unwrap();
    assert!(settings.watches_something());
    let agents = &settings.correlator.agents;
    let grant = |id: &str| agents.get(&id.parse::<AgentId>().unwrap()).unwrap();
    assert_eq!(grant("registry").kind, AgentKind::Registry);
    assert!(grant("registry").holds("registry.acme.example/acme/api"));
    assert!(!grant("registry").holds("ghcr.io/acme/api"));
    assert!(grant("source-github").holds("github.com/acme/anything"));
    assert!(grant("source-github").holds("github.com/umbrella/api"));
    assert!(!grant("ci-github").holds("github.com/umbrella/other"));
}

#[test]
fn all_problems_of_all_sections_are_told_at_once() {
    let refused = check(
        "[[registry]]\nurl = \"ftp://x\"\n[[github]]\nwatch = []\n[[cluster]]\nkubeconfig = \"none\"\n\
         [api]\nlisten = \"0.0.0.0:1\"\n[[alert]]\nurl = \"http://example.com\"\n[intake]\nlisten = \"nowhere\"\n",
    )
    .unwrap_err();
    for key in [
        "registry[0]",
        "github[0].watch",
        "cluster[0].cluster_name",
        "api.listen",
        "alert[0]",
        "intake.listen",
    ] {
        assert!(refused.contains(key), "no {key} in:\n{refused}");
    }
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    let refused = check("[[registry]]\nhots = \"ghcr.io\"\n").unwrap_err();
    assert!(refused.contains("hots"), "{refused}");
}

#[test]
fn the_example_parses_up_to_its_secrets() {
    let refused = check(EXAMPLE).unwrap_err();
    for line in refused.lines().skip(1) {
        assert!(line.contains("_file") || line.contains("kubeconfig"), "{line}");
    }
}

#[test]
fn the_settings_of_the_readme_parse_up_to_their_secrets() {
    let readme = include_str!("../../../README.md");
    let blocks: Vec<&str> =
        readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 2, "{} blocks of settings", blocks.len());
    for block in blocks {
        let refused = check(block).unwrap_err();
        for line in refused.lines().skip(1) {
            assert!(line.contains("_file") || line.contains("kubeconfig"), "{line} in:\n{block}");
        }
    }
}
