//! The tools for form, lints and licences are content. They take the longest, and the lints build the workspace once more.

use std::path::PathBuf;
use std::process::Command;

use crate::repository::{cargo, metadata_text, root};

/// The version of cargo-deny that deny.toml is written for.
const CARGO_DENY_VERSION: &str = "0.20.2";
/// How much of a tool's complaint is repeated, in bytes from its end.
const COMPLAINT_BYTES_MAX: usize = 16 * 1024;

#[test]
fn the_code_is_formatted() {
    let mut command = cargo();
    command.args(["fmt", "--all", "--", "--check", "--files-with-diff"]);
    succeeds("cargo fmt", command, "Run cargo fmt --all.");
}

#[test]
fn clippy_has_no_warnings() {
    let mut command = cargo();
    command.args(["clippy", "--offline", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    succeeds(
        "cargo clippy",
        command,
        "Mend what it says; silence a lint only with #[expect(…, reason = \"…\")].",
    );
}

#[test]
fn licences_bans_and_sources_of_all_dependencies_are_allowed() {
    let Some(cargo_deny) = cargo_deny() else {
        panic!(
            "cargo-deny {CARGO_DENY_VERSION} is missing. tests/run tidy installs it; by hand: cargo install --locked --root \
             \"${{CUSTODY_CACHE:-$HOME/.cache/custody}}/cargo-deny-{CARGO_DENY_VERSION}\" cargo-deny@{CARGO_DENY_VERSION}. \
             CARGO_DENY may name the program."
        );
    };
    let folder = tempfile::tempdir().unwrap();
    let metadata = folder.path().join("metadata.json");
    std::fs::write(&metadata, metadata_text()).unwrap();
    let mut command = Command::new(cargo_deny);
    command.current_dir(root()).args(["--offline", "--metadata-path"]).arg(&metadata);
    command.args(["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]);
    succeeds(
        "cargo deny",
        command,
        "Choose another dependency or other features; deny.toml says why each thing is refused.",
    );
}

/// The program: named by CARGO_DENY, in the cache, or on PATH.
fn cargo_deny() -> Option<PathBuf> {
    let named = std::env::var_os("CARGO_DENY").map(PathBuf::from);
    let home_cache = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/custody"));
    let cache = std::env::var_os("CUSTODY_CACHE").map(PathBuf::from).or_else(home_cache);
    let cached = cache.map(|cache| cache.join(format!("cargo-deny-{CARGO_DENY_VERSION}/bin/cargo-deny")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("cargo-deny"));
    named.into_iter().chain(cached).chain(on_path).find(|program| program.is_file())
}

fn succeeds(name: &str, mut command: Command, what_to_do: &str) {
    let output = command.output().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
    if output.status.success() {
        return;
    }
    let complaint = [output.stdout, output.stderr].concat();
    let start = complaint.len().saturating_sub(COMPLAINT_BYTES_MAX);
    let complaint = String::from_utf8_lossy(&complaint[start..]);
    panic!("{name} ended with {}\n{complaint}\n\n{what_to_do}\n", output.status);
}
