#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ::evidence::TrustRoot;
use correlator_core::contracts::trust_root::{Demands, EmbeddedRoot};

use super::*;

const PIPELINE: &str = "apiVersion: custody.dev/v1\nkind: Pipeline\nmetadata: { name: api }\nspec:\n  \
    images: [\"registry.example/acme/api\"]\n  require: [signature]\n  signatures:\n    anyOf:\n      \
    - key: { file: keys/release.pub, log: not-required }\n";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn key() -> String {
    crate::tests::signing_key::SigningKey::generate().public_pem()
}

fn problems(folder: &Path) -> String {
    load(folder, None, Timestamp::now()).map(|(_, set)| set.hash).unwrap_err().join("\n")
}

#[test]
fn a_folder_is_read_with_the_files_that_it_names() {
    let folder = folder();
    std::fs::write(folder.path().join("api.yaml"), PIPELINE).unwrap();
    std::fs::write(folder.path().join("README.md"), "not a contract").unwrap();
    std::fs::write(folder.path().join(".api.yaml.swp"), "not a contract").unwrap();
    std::fs::create_dir(folder.path().join("keys")).unwrap();
    std::fs::write(folder.path().join("keys/release.pub"), key()).unwrap();
    let (loaded, set) = load(folder.path(), None, Timestamp::now()).unwrap();
    assert_eq!(loaded.documents.keys().collect::<Vec<_>>(), ["api.yaml"]);
    // The trust roots of the program are carried too, because no document names one.
    let files = ["embedded:github", "embedded:public-good", "keys/release.pub"];
    assert_eq!(loaded.files.keys().collect::<Vec<_>>(), files);
    assert!(set.pipelines.contains_key("api"));
}

#[test]
fn a_named_file_that_is_not_there_is_a_problem_of_its_document() {
    let folder = folder();
    std::fs::write(folder.path().join("api.yaml"), PIPELINE).unwrap();
    assert!(problems(folder.path()).contains("keys/release.pub"));
    assert!(problems(&folder.path().join("none")).contains("is not there"));
}

#[test]
fn nothing_outside_the_folder_is_read() {
    let outside = folder();
    std::fs::write(outside.path().join("secret.pub"), key()).unwrap();
    let secret = outside.path().join("secret.pub");
    for name in ["../secret.pub", "/etc/hostname", "keys/../../secret.pub", ""] {
        let folder = folder();
        let text = PIPELINE.replace("keys/release.pub", &format!("{name:?}"));
        std::fs::write(folder.path().join("api.yaml"), text).unwrap();
        assert!(problems(folder.path()).contains("outside the contracts folder"), "{name}");
    }
    let folder = folder();
    std::fs::write(folder.path().join("api.yaml"), PIPELINE).unwrap();
    std::fs::create_dir(folder.path().join("keys")).unwrap();
    std::os::unix::fs::symlink(&secret, folder.path().join("keys/release.pub")).unwrap();
    assert!(problems(folder.path()).contains("outside the contracts folder"));
}

#[test]
fn links_inside_the_folder_are_followed_as_a_mounted_config_map_needs() {
    let folder = folder();
    std::fs::create_dir_all(folder.path().join("..2026/keys")).unwrap();
    std::fs::write(folder.path().join("..2026/api.yaml"), PIPELINE).unwrap();
    std::fs::write(folder.path().join("..2026/keys/release.pub"), key()).unwrap();
    std::os::unix::fs::symlink("..2026", folder.path().join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/api.yaml", folder.path().join("api.yaml")).unwrap();
    std::os::unix::fs::symlink("..data/keys", folder.path().join("keys")).unwrap();
    assert!(load(folder.path(), None, Timestamp::now()).is_ok());
}

#[test]
fn a_root_or_key_that_does_not_parse_and_a_file_that_is_too_large_are_refused() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("keys")).unwrap();
    std::fs::write(folder.path().join("api.yaml"), PIPELINE).unwrap();
    std::fs::write(folder.path().join("keys/release.pub"), "not a key").unwrap();
    assert!(problems(folder.path()).contains("release.pub"));
    std::fs::write(folder.path().join("keys/release.pub"), vec![b'x'; DOCUMENT_BYTES + 1]).unwrap();
    assert!(problems(folder.path()).contains("more than"));
    std::fs::write(folder.path().join("keys/release.pub"), key()).unwrap();
    let root =
        "apiVersion: custody.dev/v1\nkind: TrustRoot\nmetadata: { name: mine }\nspec: { file: root.json }\n";
    std::fs::write(folder.path().join("root.yaml"), root).unwrap();
    std::fs::write(folder.path().join("root.json"), "{}").unwrap();
    assert!(problems(folder.path()).contains("mine"));
    std::fs::remove_file(folder.path().join("root.yaml")).unwrap();
    assert!(load(folder.path(), None, Timestamp::now()).is_ok());
}

const DOCUMENT_BYTES: usize = correlator_core::contracts::parse::DOCUMENT_BYTES_MAX;

#[test]
fn an_exception_that_is_too_long_is_refused() {
    assert!(problems(with_exception("long", "2999-01-01").path()).contains("long"));
}

#[test]
fn an_exception_that_has_ended_is_told_and_is_no_problem() {
    let folder = with_exception("old", "2026-01-01");
    let ended = |now: &str| {
        let (_, set) = load(folder.path(), None, now.parse().unwrap()).unwrap();
        set.warnings.into_iter().filter(|warning| warning.contains("ended")).collect::<Vec<_>>()
    };
    assert_eq!(ended("2025-12-31T23:59:59Z"), Vec::<String>::new());
    let said = "exception old ended at 2026-01-01T00:00:00Z and covers nothing";
    assert_eq!(ended("2026-01-01T00:00:00Z"), [said]);
}

/// A folder with a pipeline and an exception for it.
fn with_exception(name: &str, expires: &str) -> tempfile::TempDir {
    let folder = folder();
    std::fs::create_dir(folder.path().join("keys")).unwrap();
    std::fs::write(folder.path().join("keys/release.pub"), key()).unwrap();
    std::fs::write(folder.path().join("api.yaml"), PIPELINE).unwrap();
    let exception = format!(
        "apiVersion: custody.dev/v1\nkind: Exception\nmetadata: {{ name: {name} }}\nspec:\n  owner: a\n  reason: b\n  \
         expires: {expires}\n  compensatingControl: c\n  scope: {{ pipeline: api, link: signature }}\n"
    );
    std::fs::write(folder.path().join("exception.yaml"), exception).unwrap();
    folder
}

#[test]
fn a_withdrawal_that_names_no_part_of_its_root_is_said() {
    let warnings = |revoked: &str| {
        let text = format!(
            "apiVersion: custody.dev/v1\nkind: TrustRoot\nmetadata: {{ name: public-good }}\nspec: {{ source: public-good, \
             revoked: [ {revoked} ] }}\n"
        );
        let folder = folder();
        std::fs::write(folder.path().join("root.yaml"), text).unwrap();
        let (_, set) = load(folder.path(), None, Timestamp::now()).unwrap();
        set.warnings.into_iter().filter(|warning| warning.contains("revoked")).collect::<Vec<_>>()
    };
    let root = ::evidence::embedded_root(EmbeddedRoot::PublicGood);
    let parts = TrustRoot::from_json("root", root, Demands::default()).unwrap().parts();
    for log in &parts.logs {
        assert_eq!(warnings(&format!("{{ log: \"{log}\", from: 2026-01-01 }}")), Vec::<String>::new());
    }
    for authority in &parts.authorities {
        let revoked = format!("{{ authority: \"{authority}\", from: 2026-01-01 }}");
        assert_eq!(warnings(&revoked), Vec::<String>::new());
    }
    let unknown = format!("sha256:{}", "0".repeat(64));
    for part in ["log", "authority"] {
        let said = warnings(&format!("{{ {part}: \"{unknown}\", from: 2026-01-01 }}"));
        assert!(said.len() == 1 && said[0].contains(&unknown), "{said:?}");
    }
}
