//! Manifests: lints and versions come from the workspace.

use std::collections::BTreeSet;

use crate::repository::{files_ending, no_objections, read_text};

#[test]
fn every_crate_inherits_the_lints() {
    let objections: Vec<String> = member_manifests()
        .filter(|(_, text)| !section(text, |name| name == "lints").contains(&"workspace = true".to_owned()))
        .map(|(path, _)| format!("{path} does not inherit the lints"))
        .collect();
    no_objections(&objections, "Add [lints] with workspace = true: lints are not inherited by themselves.");
}

#[test]
fn versions_stand_in_the_workspace_table_only() {
    let mut objections = Vec::new();
    for (path, text) in member_manifests() {
        for entry in section(&text, is_dependencies) {
            if !entry.replace(' ', "").contains("workspace=true") {
                objections.push(format!("{path}: {entry}"));
            }
        }
        for field in ["version", "edition", "rust-version", "license", "publish"] {
            if !section(&text, |name| name == "package").contains(&format!("{field}.workspace = true")) {
                objections.push(format!("{path}: {field} is not that of the workspace"));
            }
        }
    }
    no_objections(
        &objections,
        "Put the version into [workspace.dependencies] of the root manifest and write `name.workspace = true` here.",
    );
}

#[test]
fn the_workspace_table_lists_only_what_a_member_uses() {
    let used: BTreeSet<String> = member_manifests()
        .flat_map(|(_, text)| section(&text, is_dependencies))
        .map(|entry| entry.split(['.', ' ', '=']).next().unwrap_or_default().to_owned())
        .collect();
    let root = read_text("Cargo.toml").unwrap();
    let name = |entry: &String| entry.split([' ', '=']).next().unwrap_or_default().to_owned();
    let objections: Vec<String> = section(&root, |section| section == "workspace.dependencies")
        .iter()
        .map(name)
        // The names of our own crates are there for all.
        .filter(|name| !used.contains(name) && !is_member(name))
        .map(|name| format!("{name} is in [workspace.dependencies] and nobody uses it"))
        .collect();
    no_objections(&objections, "Remove the line.");
}

fn is_member(name: &str) -> bool {
    member_manifests().any(|(path, _)| path.ends_with(&format!("{name}/Cargo.toml")))
}

/// The manifests of the members with their text. One that begins a workspace of its own is no member.
fn member_manifests() -> impl Iterator<Item = (&'static str, String)> {
    let manifests = files_ending("/Cargo.toml").map(|path| (path, read_text(path).unwrap()));
    manifests.filter(|(_, text)| !text.lines().any(|line| line.trim() == "[workspace]"))
}

fn is_dependencies(section: &str) -> bool {
    section == "dependencies" || section.ends_with("-dependencies") || section.ends_with(".dependencies")
}

/// The entries of the sections whose name fits: one text each, without comments; an entry over several lines is one text.
fn section(text: &str, fits: impl Fn(&str) -> bool) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    let mut inside = false;
    let mut open_brackets = 0;
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let opened = line.matches(['[', '{']).count();
        let closed = line.matches([']', '}']).count();
        if open_brackets > 0 {
            if let (true, Some(entry)) = (inside, entries.last_mut()) {
                entry.push_str(line);
            }
            open_brackets = open_brackets + opened - closed;
        } else if line.starts_with('[') {
            let name = line.trim_matches(['[', ']']);
            inside = fits(name);
        } else if !line.is_empty() {
            if inside {
                entries.push(line.to_owned());
            }
            open_brackets = opened - closed;
        }
    }
    entries
}

#[test]
fn an_entry_over_several_lines_is_one() {
    let text = "[package]\nname = \"x\" # why\n[dependencies]\na.workspace = true\nb = { workspace = true, features = [\n\"c\",\n] }\n";
    assert_eq!(section(text, |name| name == "package"), ["name = \"x\""]);
    assert_eq!(
        section(text, is_dependencies),
        ["a.workspace = true", "b = { workspace = true, features = [\"c\",] }"]
    );
}
