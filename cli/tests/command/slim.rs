//! An agent's allocator: slim unless somebody chose, in the process that was started.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::custody;
use crate::fleet::{NOBODY, write_settings};
use crate::questions::Running;

/// What the environment of an agent says of the allocator once it runs, started with `more`.
fn allocator_of_agent(more: &[(&str, &str)]) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    write_settings(folder.path(), NOBODY, NOBODY);
    let bus = format!("nats://{NOBODY}");
    let mut child = custody(folder.path())
        .args(["agent", "registry", "--config", "custody.toml", "--output", "json", "--data", "data"])
        .args(["--bus", &bus])
        .envs(more.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let child = Running(child);
    let started: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(started["process"], child.0.id(), "it is the process that was started");
    let environment = std::fs::read_to_string(format!("/proc/{}/environ", child.0.id())).unwrap();
    environment.split('\0').filter(|line| line.starts_with("MALLOC_")).map(str::to_owned).collect()
}

#[test]
fn an_agent_has_one_arena_unless_somebody_chose() {
    let slim = [
        "MALLOC_ARENA_MAX=1",
        "MALLOC_TRIM_THRESHOLD_=65536",
        "MALLOC_TOP_PAD_=16384",
        "MALLOC_MMAP_THRESHOLD_=32768",
    ];
    assert_eq!(allocator_of_agent(&[]), BTreeSet::from(slim.map(str::to_owned)));
    let chosen = ["MALLOC_ARENA_MAX=3"].map(str::to_owned);
    assert_eq!(allocator_of_agent(&[("MALLOC_ARENA_MAX", "3")]), BTreeSet::from(chosen));
    assert_eq!(allocator_of_agent(&[("GLIBC_TUNABLES", "glibc.malloc.arena_max=3")]), BTreeSet::new());
}
