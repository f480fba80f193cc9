//! cosign: signs and attests images in its newer and its older format, with a key or keyless, and verifies them.
//!
//! In: image references by digest. Out: nothing but success; the signatures are in the registry. It never reaches the public
//! Sigstore: each call is told where its services and its trust root are.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::process::Command;

use super::login::{Login, write_docker_config};
use super::sigstore::SigstoreFiles;
use super::tool_run::run;
use crate::provision::Tool;

const KEY_PASSWORD: &str = "only-for-tests";
/// Nobody listens at this port.
const NOWHERE: &str = "http://127.0.0.1:9";

/// How a signature with a key is stored in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A bundle in a manifest that refers to the image: found by the referrers API or the tag `sha256-<hex>`.
    Bundle,
    /// Manifests under the tags `sha256-<hex>.sig` and `.att`.
    Tags,
}

/// A key pair, as files.
#[derive(Debug, Clone)]
pub struct KeyPair {
    pub private: PathBuf,
    pub public: PathBuf,
}

/// Whom a verification expects.
#[derive(Debug, Clone)]
pub struct ExpectedSigner {
    pub subject: String,
    pub issuer: String,
}

/// cosign, as one user.
#[derive(Debug, Clone)]
pub struct Cosign {
    binary: PathBuf,
    folder: PathBuf,
}

impl Cosign {
    /// cosign without a login; its files are in the folder.
    pub fn new(folder: impl Into<PathBuf>) -> anyhow::Result<Self> {
        let folder = folder.into().join("cosign");
        write_docker_config(&folder, &[])?;
        Ok(Self { binary: Tool::Cosign.binary()?, folder })
    }

    /// cosign as a user of some registries; the folder is this user's alone.
    pub fn logged_in(folder: impl Into<PathBuf>, logins: &[(&str, &Login)]) -> anyhow::Result<Self> {
        let folder = folder.into().join("cosign");
        write_docker_config(&folder, logins)?;
        Ok(Self { binary: Tool::Cosign.binary()?, folder })
    }

    /// Makes a key pair of the given name.
    pub async fn generate_key_pair(&self, name: &str) -> anyhow::Result<KeyPair> {
        let prefix = self.folder.join(name);
        run(self.command().arg("generate-key-pair").arg("--output-key-prefix").arg(&prefix)).await?;
        Ok(KeyPair { private: prefix.with_extension("key"), public: prefix.with_extension("pub") })
    }

    /// Signs an image with a key; no log, no timestamp.
    pub async fn sign_with_key(&self, key: &KeyPair, image: &str, format: Format) -> anyhow::Result<()> {
        let mut command = self.command();
        command.args(["sign", "-y", "--key"]).arg(&key.private);
        self.store_as(&mut command, format).await?;
        run(command.arg(image)).await.map(drop)
    }

    /// Attests a predicate about an image with a key. The type is a name that cosign knows (`slsaprovenance1`, `cyclonedx`,
    /// `spdxjson`, …) or a URI.
    pub async fn attest_with_key(
        &self,
        key: &KeyPair,
        image: &str,
        predicate_type: &str,
        predicate: &Value,
        format: Format,
    ) -> anyhow::Result<()> {
        let predicate = self.file_of(&predicate.to_string())?;
        let mut command = self.command();
        command.args(["attest", "-y", "--key"]).arg(&key.private);
        command.args(["--type", predicate_type, "--predicate"]).arg(predicate.path());
        self.store_as(&mut command, format).await?;
        run(command.arg(image)).await.map(drop)
    }

    /// Signs an image with the identity of a token.
    pub async fn sign_keyless(
        &self,
        sigstore: &SigstoreFiles,
        token: &str,
        image: &str,
    ) -> anyhow::Result<()> {
        let mut command = self.command();
        command.args(["sign", "-y"]);
        let token = self.file_of(token)?;
        keyless(&mut command, sigstore, token.path());
        run(command.arg(image)).await.map(drop)
    }

    /// Attests a predicate about an image with the identity of a token.
    pub async fn attest_keyless(
        &self,
        sigstore: &SigstoreFiles,
        token: &str,
        image: &str,
        predicate_type: &str,
        predicate: &Value,
    ) -> anyhow::Result<()> {
        let predicate = self.file_of(&predicate.to_string())?;
        let mut command = self.command();
        command.args(["attest", "-y", "--type", predicate_type, "--predicate"]).arg(predicate.path());
        let token = self.file_of(token)?;
        keyless(&mut command, sigstore, token.path());
        run(command.arg(image)).await.map(drop)
    }

    /// Verifies an image's signature by a key.
    pub async fn verify_with_key(&self, key: &KeyPair, image: &str) -> anyhow::Result<String> {
        run(self
            .command()
            .args(["verify", "--insecure-ignore-tlog=true", "--private-infrastructure=true", "--key"])
            .arg(&key.public)
            .arg(image))
        .await
    }

    /// Verifies an image's attestation by a key.
    pub async fn verify_attestation_with_key(
        &self,
        key: &KeyPair,
        image: &str,
        predicate_type: &str,
    ) -> anyhow::Result<String> {
        run(self
            .command()
            .args(["verify-attestation", "--insecure-ignore-tlog=true", "--private-infrastructure=true"])
            .args(["--type", predicate_type, "--key"])
            .arg(&key.public)
            .arg(image))
        .await
    }

    /// Verifies an image's keyless signature. A private Sigstore without a certificate log needs `ask_for_proof` to be false.
    pub async fn verify_keyless(
        &self,
        trusted_root: &Path,
        signer: &ExpectedSigner,
        ask_for_proof: bool,
        image: &str,
    ) -> anyhow::Result<String> {
        let mut command = self.command();
        command.arg("verify");
        expect(&mut command, trusted_root, signer, ask_for_proof);
        run(command.arg(image)).await
    }

    /// Verifies an image's keyless attestation.
    pub async fn verify_attestation_keyless(
        &self,
        trusted_root: &Path,
        signer: &ExpectedSigner,
        ask_for_proof: bool,
        image: &str,
        predicate_type: &str,
    ) -> anyhow::Result<String> {
        let mut command = self.command();
        command.args(["verify-attestation", "--type", predicate_type]);
        expect(&mut command, trusted_root, signer, ask_for_proof);
        run(command.arg(image)).await
    }

    /// Verifies a bundle that holds a statement about a digest (`sha256:<hex>`), with every proof.
    pub async fn verify_statement_bundle(
        &self,
        bundle: &Path,
        trusted_root: &Path,
        signer: &ExpectedSigner,
        predicate_type: &str,
        digest: &str,
    ) -> anyhow::Result<String> {
        let mut command = self.command();
        command.arg("verify-blob-attestation").arg("--bundle").arg(bundle).args(["--type", predicate_type]);
        command.args(["--digestAlg", "sha256", "--digest", digest.trim_start_matches("sha256:")]);
        expect(&mut command, trusted_root, signer, true);
        run(&mut command).await
    }

    /// Any other subcommand.
    pub async fn run<T: Into<OsString>>(
        &self,
        arguments: impl IntoIterator<Item = T>,
    ) -> anyhow::Result<String> {
        run(self.command().args(arguments.into_iter().map(Into::into))).await
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .current_dir(&self.folder)
            .env("COSIGN_PASSWORD", KEY_PASSWORD)
            .env("DOCKER_CONFIG", &self.folder)
            .env("HOME", &self.folder)
            .env("TUF_ROOT", self.folder.join("tuf"))
            // Where a call is told of no trust root, cosign would fetch the public one.
            .env("TUF_MIRROR", NOWHERE);
        command
    }

    /// By itself cosign would ask the public Sigstore which services to use: an empty configuration names none.
    async fn store_as(&self, command: &mut Command, format: Format) -> anyhow::Result<()> {
        match format {
            Format::Bundle => {
                let configuration = self.folder.join("no_services.json");
                if !configuration.exists() {
                    run(self.command().args(["signing-config", "create", "--out"]).arg(&configuration))
                        .await?;
                }
                command.arg("--signing-config").arg(configuration);
            }
            Format::Tags => {
                command.args([
                    "--use-signing-config=false",
                    "--tlog-upload=false",
                    "--new-bundle-format=false",
                ]);
            }
        }
        Ok(())
    }

    fn file_of(&self, content: &str) -> anyhow::Result<tempfile::NamedTempFile> {
        let file = tempfile::NamedTempFile::new_in(&self.folder)?;
        fs::write(file.path(), content)?;
        Ok(file)
    }
}

fn keyless(command: &mut Command, sigstore: &SigstoreFiles, token: &Path) {
    command.arg("--signing-config").arg(&sigstore.signing_config);
    command.arg("--trusted-root").arg(&sigstore.trusted_root);
    // By file: arguments are shown in errors.
    command.arg("--identity-token").arg(token);
}

fn expect(command: &mut Command, trusted_root: &Path, signer: &ExpectedSigner, ask_for_proof: bool) {
    command.arg("--trusted-root").arg(trusted_root);
    command.args(["--certificate-identity", &signer.subject, "--certificate-oidc-issuer", &signer.issuer]);
    if !ask_for_proof {
        command.arg("--insecure-ignore-sct");
    }
}
