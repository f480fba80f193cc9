//! `custody conformance verify-bundle` over the suite's own cases, as its runner calls a client: by file and by digest.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fixtures::{fixture, skipped};
use crate::{custody, err};

const IDENTITY: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";

const SUITE: &str = "sigstore/conformance/bundle-verify";

fn text_or(path: &Path, default: &str) -> String {
    std::fs::read_to_string(path).map_or_else(|_| default.to_owned(), |text| text.trim().to_owned())
}

/// The command line of one case, by the rules of the suite's README.
fn verify(place: &Path, case: &Path, artifact: &str) -> Command {
    let mut command = custody(place);
    command.args(["conformance", "verify-bundle", "--bundle"]).arg(case.join("bundle.sigstore.json"));
    let key = case.join("key.pub");
    if key.exists() {
        command.arg("--key").arg(key);
    } else {
        command.args(["--certificate-identity", &text_or(&case.join("identity"), IDENTITY)]);
        command.args(["--certificate-oidc-issuer", &text_or(&case.join("issuer"), ISSUER)]);
    }
    let root = case.join("trusted_root.json");
    if root.exists() {
        command.arg("--trusted-root").arg(root);
    }
    command.arg(artifact);
    command
}

#[test]
fn the_suites_cases_get_their_answer_by_file_and_by_digest() {
    let Some(suite) = fixture(SUITE) else { return };
    let place = tempfile::tempdir().unwrap();
    let (mut asked, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(&suite).unwrap() {
        let case = entry.unwrap().path();
        if !case.is_dir() {
            continue;
        }
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        let own = case.join("artifact");
        let artifact = if own.exists() { own } else { suite.join("a.txt") };
        let digest = bus_schema::Digest::sha256_of(&std::fs::read(&artifact).unwrap()).to_string();
        for artifact in [artifact.to_str().unwrap(), &digest] {
            let output = verify(place.path(), &case, artifact).output().unwrap();
            asked += 1;
            let expected = if name.ends_with("_fail") { [1, 2] } else { [0, 0] };
            if !expected.contains(&output.status.code().unwrap()) {
                wrong.push(format!("{name} with {artifact}: {}: {}", output.status, err(&output)));
            }
        }
    }
    if asked == 0 {
        return skipped("no case of the suite");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The first case that must verify with the usual identity and the program's own root.
fn plain_case(suite: &Path) -> Option<PathBuf> {
    let is_plain = |case: &PathBuf| {
        let special = ["key.pub", "trusted_root.json", "identity", "issuer"];
        case.is_dir()
            && !case.to_string_lossy().ends_with("_fail")
            && !special.iter().any(|file| case.join(file).exists())
    };
    let cases = std::fs::read_dir(suite).unwrap().map(|entry| entry.unwrap().path());
    cases.filter(is_plain).min()
}

#[test]
fn another_identity_issuer_or_artifact_is_refused() {
    let Some(suite) = fixture(SUITE) else { return };
    let place = tempfile::tempdir().unwrap();
    let Some(case) = plain_case(&suite) else { return skipped("no case with the usual identity and root") };
    let own = case.join("artifact");
    let artifact = if own.exists() { own } else { suite.join("a.txt") };
    let ask = |identity: &str, issuer: &str, artifact: &str| {
        let mut command = custody(place.path());
        command.args(["conformance", "verify-bundle", "--bundle"]).arg(case.join("bundle.sigstore.json"));
        command.args(["--certificate-identity", identity, "--certificate-oidc-issuer", issuer, artifact]);
        command.output().unwrap()
    };
    let artifact = artifact.to_str().unwrap();
    assert_eq!(ask(IDENTITY, ISSUER, artifact).status.code(), Some(0));
    let beginning = IDENTITY.trim_end_matches("main");
    for (identity, issuer) in [(beginning, ISSUER), (IDENTITY, "https://token.actions.githubusercontent.co")]
    {
        let output = ask(identity, issuer, artifact);
        assert_eq!(output.status.code(), Some(1));
        assert!(err(&output).contains("expected"), "{}", err(&output));
    }
    let other = bus_schema::Digest::sha256_of(b"something else").to_string();
    assert_eq!(ask(IDENTITY, ISSUER, &other).status.code(), Some(1));
    // Too short for a digest: a path, and nothing is there.
    assert_eq!(ask(IDENTITY, ISSUER, "sha256:abcd").status.code(), Some(2));
}

#[test]
fn the_protocol_is_not_in_the_help() {
    let place = tempfile::tempdir().unwrap();
    let output = custody(place.path()).arg("--help").output().unwrap();
    assert!(!crate::out(&output).contains("conformance"));
}
