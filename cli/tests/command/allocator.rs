//! The allocator serves the program as `.cargo/config.toml` says, and an agent slimly unless somebody chose, in the process
//! that was started.
#![cfg(target_os = "linux")]

use crate::custody;
use crate::fleet::{NOBODY, write_settings};
use crate::questions::Running;

const CHOICE: &str = "_RJEM_MALLOC_CONF";

#[test]
fn the_allocator_was_built_with_its_settings() {
    let folder = tempfile::tempdir().unwrap();
    // It says where each of its settings comes from.
    let output = custody(folder.path()).arg("--version").env(CHOICE, "confirm_conf:true").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let built_in = said.lines().find(|line| line.contains("--with-malloc-conf")).unwrap_or_default();
    for setting in ["narenas:2", "dirty_decay_ms:1000", "muzzy_decay_ms:0"] {
        assert!(built_in.contains(setting), "{said}");
    }
}

/// What the allocator of an agent is told, which was started with `chosen`.
fn told_to_agent(chosen: Option<&str>) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    write_settings(folder.path(), NOBODY, NOBODY);
    let bus = format!("nats://{NOBODY}");
    let mut agent = custody(folder.path());
    agent.args(["agent", "registry", "--config", "custody.toml", "--output", "json", "--data", "data"]);
    let (child, started) =
        Running::start(agent.args(["--bus", &bus]).envs(chosen.map(|chosen| (CHOICE, chosen))));
    assert_eq!(started["process"], child.0.id(), "it is the process that was started");
    let environment = std::fs::read_to_string(format!("/proc/{}/environ", child.0.id())).unwrap();
    let told = environment.split('\0').filter_map(|line| line.strip_prefix(CHOICE)?.strip_prefix('='));
    told.map(str::to_owned).collect()
}

#[test]
fn an_agent_has_one_arena_unless_somebody_chose() {
    assert_eq!(told_to_agent(None), ["narenas:1,dirty_decay_ms:0,lg_tcache_max:12"]);
    assert_eq!(told_to_agent(Some("narenas:3")), ["narenas:3"]);
}
