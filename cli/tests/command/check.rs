//! `check` over evidence of real producers: files, layouts and digests of the fixtures, offline and with the program's own roots.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::fixtures::fixture;
use crate::{err, out, run};

const EXAMPLE: &str = "github.com/slsa-framework/example-package";
const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";

/// The digest that a bundle's statement names first.
fn subject_of(bundle: &Path) -> String {
    let text = fs::read_to_string(bundle).unwrap();
    let bundle: Value = serde_json::from_str(text.lines().next().unwrap())
        .unwrap_or_else(|_| serde_json::from_str(&text).unwrap());
    let payload = STANDARD.decode(bundle["dsseEnvelope"]["payload"].as_str().unwrap()).unwrap();
    let statement: Value = serde_json::from_slice(&payload).unwrap();
    let digests = statement["subject"][0]["digest"].as_object().unwrap();
    let (algorithm, hex) = digests.iter().next().unwrap();
    format!("{algorithm}:{}", hex.as_str().unwrap())
}

/// Runs `check`; gives its exit code and its object.
fn check(arguments: &[&str]) -> (i32, Value) {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &[&["check"], arguments, &["--output", "json"]].concat());
    let code = output.status.code().unwrap();
    let json = serde_json::from_str(&out(&output)).unwrap_or_else(|_| Value::from(err(&output)));
    (code, json)
}

#[test]
fn a_settings_file_that_nobody_named_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("custody.toml"), "this is not TOML").unwrap();
    let image = "127.0.0.1:9/acme/api:v1";
    let ask =
        |more: &[&str]| run(folder.path(), &[&["check", image, "--source-uri", EXAMPLE], more].concat());
    let unnamed = ask(&[]);
    assert_eq!(unnamed.status.code(), Some(3), "{}", err(&unnamed));
    let named = ask(&["--config", "custody.toml"]);
    assert_eq!(named.status.code(), Some(2), "{}", err(&named));
    let help = out(&run(folder.path(), &["check", "--help"]));
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("`check` reads only one that is named"), "{help}");
}

#[track_caller]
fn is_trusted(arguments: &[&str]) {
    let (code, json) = check(arguments);
    assert_eq!((code, &json["trusted"]), (0, &Value::from(true)), "{arguments:?}: {json:#}");
}

#[track_caller]
fn is_refused_for(reason: &str, arguments: &[&str]) {
    let (code, json) = check(arguments);
    assert_eq!((code, &json["trusted"]), (1, &Value::from(false)), "{arguments:?}: {json:#}");
    let why = json["why"].as_array().unwrap().iter();
    let comparisons = why.flat_map(|why| why["comparisons"].as_array().unwrap());
    let reasons: Vec<&str> = comparisons.map(|one| one["reason"].as_str().unwrap()).collect();
    assert!(reasons.contains(&reason), "{arguments:?}: {reasons:?}");
}

#[test]
fn github_attestations_of_public_and_private_repositories_are_trusted() {
    for (file, source) in [
        ("sigstore-js-2.1.0-bundle-v0.1.json", "github.com/sigstore/sigstore-js"),
        ("sigstore-js-2.1.0_with_2_bundles.jsonl", "github.com/sigstore/sigstore-js"),
        ("github_provenance_demo-0.0.12.bundle.jsonl", "github.com/actions/attest-demo"),
    ] {
        let Some(bundle) = fixture(&format!("sigstore/bundles/gh-cli/{file}")) else { return };
        let (digest, bundle) = (subject_of(&bundle), bundle.to_str().unwrap());
        let given = [digest.as_str(), "--evidence", bundle, "--source-uri"];
        is_trusted(&[&given[..], &[source, "--source-branch", "main"]].concat());
        is_trusted(&[&given[..], &[source, "--builder-id", "github-hosted"]].concat());
        if file.starts_with("github_provenance_demo") {
            let workflow = "actions/attest-demo/.github/workflows/build-python.yml";
            is_trusted(&[&given[..], &[source, "--builder-id", workflow]].concat());
        }
        is_refused_for("wrong_ref", &[&given[..], &[source, "--source-branch", "release"]].concat());
        is_refused_for("wrong_repository", &[&given[..], &[EXAMPLE]].concat());
        let elsewhere = format!("sha256:{}", "a".repeat(64));
        let other = [&[elsewhere.as_str()], &given[1..], &[source]].concat();
        is_refused_for("wrong_subject", &other);
    }
}

#[test]
fn layouts_of_older_generators_are_trusted_where_their_evidence_is_dated() {
    for (version, git_ref) in
        [("v1.4.0", ["--source-branch", "main"]), ("v1.10.0", ["--source-tag", "v13.0.30"])]
    {
        let name = format!("slsa/testdata/gha_generic_container/{version}/container_workflow_dispatch");
        let Some(layout) = fixture(&name) else { return };
        let digest =
            fs::read_to_string(layout.with_file_name("container_workflow_dispatch.digest.txt")).unwrap();
        let layout = layout.to_str().unwrap();
        let builder = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml";
        let (code, json) = check(&[layout, "--source-uri", EXAMPLE, "--builder-id", builder]);
        assert_eq!(code, 0, "{version}: {json:#}");
        assert_eq!((json["digest"].as_str(), &json["kind"]), (Some(digest.trim()), &Value::from("layout")));
        let by_digest = format!("{layout}@{}", digest.trim());
        is_trusted(&[&[&by_digest, "--source-uri", EXAMPLE], &git_ref[..]].concat());
        is_refused_for("wrong_repository", &[layout, "--source-uri", "github.com/slsa-framework/other"]);
        let revision = format!("{builder}@v9.9.9");
        is_refused_for("wrong_builder", &[layout, "--source-uri", EXAMPLE, "--builder-id", &revision]);
    }
}

#[test]
fn a_file_is_checked_by_its_bytes() {
    let evidence =
        "slsa/testdata/gha_container-based/v1.9.0/binary-linux-amd64-workflow_dispatch.intoto.build.slsa";
    let Some(evidence) = fixture(evidence) else { return };
    let evidence = evidence.to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    // The artifact of these rows is an empty file.
    let (right, wrong) = (folder.path().join("right"), folder.path().join("wrong"));
    fs::write(&right, "").unwrap();
    fs::write(&wrong, "x").unwrap();
    let given = ["--provenance-path", evidence, "--source-uri", EXAMPLE];
    is_trusted(&[&[right.to_str().unwrap()], &given[..]].concat());
    is_refused_for("wrong_subject", &[&[wrong.to_str().unwrap()], &given[..]].concat());
}

#[test]
fn an_undated_envelope_is_refused_unless_that_is_said() {
    let name = "slsa/testdata/gha_generic/v1.5.0/binary-linux-amd64-push-v14.2.intoto.jsonl";
    let (Some(evidence), Some(digests)) = (fixture(name), fixture("slsa/artifact-digests.json")) else {
        return;
    };
    let digests: Value = serde_json::from_str(&fs::read_to_string(digests).unwrap()).unwrap();
    let digest = &digests["gha_generic/v1.5.0/binary-linux-amd64-push-v14.2"]["sha256"];
    let digest = format!("sha256:{}", digest.as_str().unwrap());
    let evidence = evidence.to_str().unwrap();
    let given = [&*digest, "--evidence", evidence, "--source-uri", EXAMPLE, "--source-tag", "v14.2"];
    is_refused_for("bad_time", &given);
    is_trusted(&[&given[..], &["--allow-undated"]].concat());
    let other_tag = [&given[..6], &["v14", "--allow-undated"]].concat();
    is_refused_for("wrong_ref", &other_tag);
}

#[test]
fn attestations_of_pypi_are_checked_by_their_identity() {
    let digest = "sha256:9bb1add04b1b4e182be6b0b80931593f7a291eb49d69b4fd728a5d4cbcdc4bd3";
    let subject =
        "https://github.com/trailofbits/pypi-attestations/.github/workflows/release.yml@refs/tags/v0.0.19";
    for file in [
        "pypi_attestations-0.0.19.tar.gz.provenance.json",
        "pypi_attestations-0.0.19.tar.gz.publish.attestation.json",
    ] {
        let Some(evidence) = fixture(&format!("sigstore/pep740/{file}")) else { return };
        let evidence = evidence.to_str().unwrap();
        let given = [digest, "--evidence", evidence, "--certificate-oidc-issuer", GITHUB_ISSUER];
        is_trusted(&[&given[..], &["--certificate-identity", subject]].concat());
        let pattern = r"https://github\.com/trailofbits/pypi-attestations/\.github/workflows/release\.yml@refs/tags/v.*";
        is_trusted(&[&given[..], &["--certificate-identity-regexp", pattern]].concat());
        let beginning = r"https://github\.com/trailofbits/pypi-attestations/";
        is_refused_for("wrong_signer", &[&given[..], &["--certificate-identity-regexp", beginning]].concat());
    }
}

#[test]
fn another_root_is_the_one_that_is_given_and_no_other() {
    let name = "sigstore/pep740/rfc8785-0.1.2-py3-none-any.whl.publish.attestation.json";
    let (Some(evidence), Some(root)) = (fixture(name), fixture("sigstore/trusted-roots/staging.json")) else {
        return;
    };
    let digest = "sha256:c4e92e9ecc828bef2aa7dba1de8ac983511f7532a0df11c770d39099a25cf201";
    let issuer = "https://github.com/login/oauth";
    let given =
        [digest, "--evidence", evidence.to_str().unwrap(), "--certificate-identity", "william@yossarian.net"];
    let given = [&given[..], &["--certificate-oidc-issuer"]].concat();
    let rooted = ["--trusted-root", root.to_str().unwrap()];
    is_trusted(&[&given[..], &[issuer], &rooted[..]].concat());
    is_refused_for("bad_log_entry", &[&given[..], &[issuer]].concat());
    is_refused_for("wrong_signer", &[&given[..], &["https://github.com/login"], &rooted[..]].concat());
}

#[test]
fn explain_prints_the_comparison_that_failed() {
    let Some(bundle) = fixture("sigstore/bundles/gh-cli/sigstore-js-2.1.0-bundle-v0.1.json") else { return };
    let folder = tempfile::tempdir().unwrap();
    let given = ["check", &subject_of(&bundle), "--evidence", bundle.to_str().unwrap(), "--source-uri"];
    let output = run(folder.path(), &[&given[..], &["github.com/acme/other", "--explain"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let text = out(&output);
    for expected in ["why\n", "provenance is broken", "wrong repository", "expected github.com/acme/other"] {
        assert!(text.contains(expected), "no {expected:?} in:\n{text}");
    }
    assert!(text.contains("found    github.com/sigstore/sigstore-js"), "{text}");
}

#[test]
fn a_command_line_that_says_too_little_or_two_things_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "x").unwrap();
    fs::write(folder.path().join("evidence.json"), "{}").unwrap();
    for arguments in [
        &["file"][..],
        &["file", "--evidence", "evidence.json", "--source-uri", EXAMPLE],
        &["file", "--pipeline", "p.yaml", "--source-uri", EXAMPLE],
        &["file", "--pipeline", "p.yaml"],
        &["file", "--certificate-identity", "a"],
        &["file", "--source-tag", "v1"],
        &["file", "--source-uri", EXAMPLE, "--source-tag", "v1", "--source-branch", "main"],
        &["file", "--source-uri", "not a repository"],
        &["file", "--key", "none.pub"],
        &["file", "--key", "file"],
        // Either would be enough for a contract that names both, and one of two is not what was asked.
        &["file", "--key", "file", "--certificate-identity", "a", "--certificate-oidc-issuer", "b"],
        &["file", "--key", "file", "--certificate-identity-regexp", "a", "--certificate-oidc-issuer", "b"],
        &["./none", "--source-uri", EXAMPLE],
    ] {
        let output = run(folder.path(), &[&["check"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}{}", out(&output), err(&output));
        assert!(!err(&output).is_empty(), "{arguments:?}");
    }
    let help = run(folder.path(), &["check", "--help"]);
    for expected in ["Exit codes", "--allow-undated", "--certificate-identity-regexp"] {
        assert!(out(&help).contains(expected), "no {expected:?} in:\n{}", out(&help));
    }
}
