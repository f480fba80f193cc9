//! The program signs as the Sigstore conformance suite asks a client to, against real servers.

use std::path::{Path, PathBuf};
use std::process::Output;

use bus_schema::Digest;
use correlator_core::facts::Signer;
use evidence::{Artifact, Demands, TrustRoot, TrustSet, verify_bundle};
use harness::provision::program;
use harness::servers::cosign::Cosign;
use harness::servers::github_run::GithubRun;
use harness::servers::sigstore::PrivateSigstore;
use harness::servers::tool_run::output_of;
use serde_json::json;
use tempfile::tempdir;

async fn sign(sigstore: &PrivateSigstore, token: &str, more: &[&str], file: &Path, bundle: &Path) -> Output {
    let mut command = tokio::process::Command::new(program().unwrap());
    command
        .args(["conformance", "sign-bundle"])
        .args(more)
        .args(["--identity-token", token, "--bundle"])
        .arg(bundle)
        .arg("--trusted-root")
        .arg(&sigstore.files().trusted_root)
        .arg("--signing-config")
        .arg(&sigstore.files().signing_config)
        .arg(file);
    output_of(&mut command, b"").await.unwrap()
}

/// The servers have no certificate log.
fn trust(root: &PathBuf) -> TrustSet {
    let demands = Demands { certificate_transparency: false, ..Demands::default() };
    let root = TrustRoot::from_json("private", &std::fs::read_to_string(root).unwrap(), demands).unwrap();
    TrustSet::new(vec![root], Vec::new()).unwrap()
}

#[tokio::test]
async fn what_the_program_signs_verifies_here_and_with_cosign() {
    let folder = tempdir().unwrap();
    let sigstore = PrivateSigstore::start(folder.path()).await.unwrap();
    let run = GithubRun::default();
    let token = sigstore.token(&run).await.unwrap();
    let artifact = folder.path().join("artifact");
    std::fs::write(&artifact, "what is released").unwrap();
    let digest = Digest::sha256_of(b"what is released");
    let statement = folder.path().join("statement.json");
    let text = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "artifact", "digest": { "sha256": digest.hex() } }],
        "predicateType": "https://acme.example/tested/v1",
        "predicate": { "passed": true },
    });
    std::fs::write(&statement, text.to_string()).unwrap();
    let trust = trust(&sigstore.files().trusted_root);
    let cosign = Cosign::new(folder.path()).unwrap();
    for (more, file, verb) in
        [(vec![], &artifact, "verify-blob"), (vec!["--in-toto"], &statement, "verify-blob-attestation")]
    {
        let bundle = folder.path().join("bundle.json");
        let output = sign(&sigstore, &token, &more, file, &bundle).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let bytes = std::fs::read(&bundle).unwrap();
        let proof = verify_bundle(&bytes, Artifact::Digest(digest), &trust).unwrap();
        let Signer::Keyless(claims) = proof.signer else { panic!("{:?}", proof.signer) };
        let issuer = claims.issuer.unwrap();
        assert_eq!(issuer, sigstore.issuer.url());
        let other = Digest::sha256_of(b"something else");
        verify_bundle(&bytes, Artifact::Digest(other), &trust).unwrap_err();
        let mut asked: Vec<String> = vec![verb.into(), "--bundle".into(), path(&bundle)];
        asked.extend(["--trusted-root".into(), path(&sigstore.files().trusted_root)]);
        asked.extend(["--certificate-identity".into(), claims.subject.clone()]);
        asked.extend(["--certificate-oidc-issuer".into(), issuer]);
        asked.extend(["--insecure-ignore-sct".into()]);
        if verb == "verify-blob-attestation" {
            asked.extend(["--type".into(), "https://acme.example/tested/v1".into()]);
        }
        asked.push(path(&artifact));
        cosign.run(asked).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_no_token_signs_nothing() {
    let folder = tempdir().unwrap();
    let (artifact, bundle) = (folder.path().join("artifact"), folder.path().join("bundle.json"));
    std::fs::write(&artifact, "what is released").unwrap();
    let mut command = tokio::process::Command::new(program().unwrap());
    command.args(["conformance", "sign-bundle", "--identity-token", "not.a.token", "--bundle"]);
    let output = output_of(command.args([&bundle, &artifact]), b"").await.unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!bundle.exists());
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
