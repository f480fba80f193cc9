//! `policy check`: every problem with its file, line and column.

use std::fs;

use serde_json::Value;

use crate::{err, out, run};

#[test]
fn the_contracts_of_the_recording_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let contracts = concat!(env!("CARGO_MANIFEST_DIR"), "/sample/contracts");
    let output = run(folder.path(), &["policy", "check", contracts]);
    assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
    assert!(out(&output).contains("5 pipelines"), "{}", out(&output));
}

#[test]
fn contracts_without_a_trust_root_have_the_programs_own_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let contracts = folder.path().join("contracts");
    fs::create_dir(&contracts).unwrap();
    let pipeline = "apiVersion: custody.dev/v1\nkind: Pipeline\nmetadata: { name: a }\nspec:\n  \
        images: [ghcr.io/acme/a]\n  source: { repository: github.com/acme/a, repositoryId: \"1\" }\n  \
        build: { workflows: [.github/workflows/release.yml] }\n";
    fs::write(contracts.join("a.yaml"), pipeline).unwrap();
    let output = run(folder.path(), &["policy", "check"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
    let text = out(&output);
    assert!(text.contains("trust root public-good, part of this program: demands ct=true"), "{text}");
    assert!(text.contains("trust root github, part of this program: demands ct=false"), "{text}");
    assert!(text.contains("1 pipelines, 0 exceptions, 2 trust roots"), "{text}");
    assert!(!text.contains("look at:"), "{text}");

    let root =
        "apiVersion: custody.dev/v1\nkind: TrustRoot\nmetadata: { name: only }\nspec: { source: github }\n";
    fs::write(contracts.join("root.yaml"), root).unwrap();
    let output = run(folder.path(), &["policy", "check", "--output", "json"]);
    let checked: Value = serde_json::from_str(&out(&output)).unwrap();
    let roots = checked["trustRoots"].as_array().unwrap();
    assert_eq!(roots.len(), 1, "{checked}");
    assert_eq!((&roots[0]["name"], &roots[0]["embedded"]), (&Value::from("only"), &Value::from(true)));
}

#[test]
fn every_problem_has_its_file_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let contracts = folder.path().join("contracts");
    fs::create_dir(&contracts).unwrap();
    let misspelt =
        "apiVersion: custody.dev/v1\nkind: Pipeline\nmetadata: { name: a }\nspec:\n  imagez: [x]\n";
    fs::write(contracts.join("a.yaml"), misspelt).unwrap();
    let no_root =
        "apiVersion: custody.dev/v1\nkind: TrustRoot\nmetadata: { name: r }\nspec: { file: none.json }\n";
    fs::write(contracts.join("b.yaml"), no_root).unwrap();
    let output = run(folder.path(), &["policy", "check", "--output", "json"]);
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    let checked: Value = serde_json::from_str(&out(&output)).unwrap();
    let problems: Vec<&str> =
        checked["problems"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let misspelt = problems.iter().find(|problem| problem.starts_with("a.yaml")).expect("a.yaml is named");
    assert!(misspelt.contains("imagez") && misspelt.contains("line 5"), "{misspelt}");
    assert!(misspelt.contains("column"), "{misspelt}");
    assert!(
        problems.iter().any(|problem| problem.starts_with("b.yaml") && problem.contains("none.json")),
        "{problems:?}"
    );

    let nowhere = run(folder.path(), &["policy", "check", "nowhere"]);
    assert_eq!(nowhere.status.code(), Some(2));
}

#[test]
fn an_exception_that_has_ended_is_told_and_is_no_problem() {
    let folder = tempfile::tempdir().unwrap();
    let contracts = folder.path().join("contracts");
    fs::create_dir(&contracts).unwrap();
    let text = "apiVersion: custody.dev/v1\nkind: Pipeline\nmetadata: { name: a }\nspec:\n  \
        images: [ghcr.io/acme/a]\n  require: [artifact]\n---\n\
        apiVersion: custody.dev/v1\nkind: Exception\nmetadata: { name: old }\nspec:\n  owner: alice\n  reason: hotfix\n  \
        compensatingControl: reviewed\n  expires: 2026-01-01\n  scope: { pipeline: a, link: source }\n";
    fs::write(contracts.join("a.yaml"), text).unwrap();
    let check = || run(folder.path(), &["policy", "check"]);
    let ended = check();
    assert_eq!(ended.status.code(), Some(0), "{}{}", out(&ended), err(&ended));
    assert!(out(&ended).contains("look at: exception old ended at 2026-01-01T00:00:00Z"), "{}", out(&ended));
    fs::write(contracts.join("a.yaml"), text.replace("2026-01-01", "2126-01-01")).unwrap();
    assert!(!out(&check()).contains("ended"), "{}", out(&check()));
}

#[test]
fn a_file_is_no_folder_of_contracts() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), "").unwrap();
    for (name, said) in [("a.yaml", "is no folder"), ("none", "is not there")] {
        let output = run(folder.path(), &["policy", "check", name]);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", out(&output));
        assert!(err(&output).contains(said), "{name}: {}", err(&output));
    }
}
