//! `custody conformance verify-bundle`: a bundle, an artifact and who is expected to have signed it.

use std::path::Path;

use bus_schema::Digest;
use correlator_core::contracts::trust_root::EmbeddedRoot;
use correlator_core::facts::{Refusal, Signer};
use evidence::{Artifact, Demands, LogDemand, Proof, TrustRoot, TrustSet, TrustedKey};

use super::{is_named, read, read_text};
use crate::args::VerifyBundle;
use crate::exit::{Exit, Failure};

pub(super) fn run(asked: &VerifyBundle) -> anyhow::Result<Exit> {
    is_named(asked.trusted_root.as_ref(), asked.staging)?;
    let trust = trust_of(asked)?;
    let bundle = read(&asked.bundle, "bundle")?;
    let proof = match digest_of(&asked.artifact) {
        Some(digest) => evidence::verify_bundle(&bundle, Artifact::Digest(digest), &trust),
        None => {
            let artifact = read(Path::new(&asked.artifact), "artifact")?;
            evidence::verify_bundle(&bundle, Artifact::Bytes(&artifact), &trust)
        }
    };
    let answer = proof.map_err(|refusal| said(&refusal)).and_then(|proof| expected(asked, &proof));
    match answer {
        Ok(()) => Ok(Exit::Fine),
        Err(why) => {
            eprintln!("refused: {}", fleet_runtime::outside_text::shown(&why));
            Ok(Exit::Finding)
        }
    }
}

fn said(refusal: &Refusal) -> String {
    format!("{}: expected {}, found {}", refusal.reason.as_str(), refusal.expected, refusal.found)
}

/// A key is the expectation itself; a certificate must name exactly this identity and issuer.
fn expected(asked: &VerifyBundle, proof: &Proof) -> Result<(), String> {
    match (&proof.signer, &asked.key) {
        (Signer::Key { .. }, Some(_)) => Ok(()),
        (Signer::Keyless(claims), None) => {
            same("identity", asked.certificate_identity.as_deref(), Some(&claims.subject))?;
            same("issuer", asked.certificate_oidc_issuer.as_deref(), claims.issuer.as_deref())
        }
        (_, Some(_)) => Err("expected a signature by the key, found a certificate".to_owned()),
        (_, None) => Err("expected a certificate, found a signature by a key".to_owned()),
    }
}

fn same(what: &str, expected: Option<&str>, found: Option<&str>) -> Result<(), String> {
    if expected.is_some() && expected == found {
        return Ok(());
    }
    Err(format!("expected {what} {}, found {}", expected.unwrap_or("none"), found.unwrap_or("none")))
}

/// The roots and keys that the command line names. Nothing else is trusted.
fn trust_of(asked: &VerifyBundle) -> anyhow::Result<TrustSet> {
    let root = match (&asked.trusted_root, asked.staging) {
        (Some(path), _) => read_text(path, "trust root")?,
        (None, true) => evidence::staging_root().to_owned(),
        (None, false) => evidence::embedded_root(EmbeddedRoot::PublicGood).to_owned(),
    };
    let root = TrustRoot::from_json("trusted-root", &root, Demands::default());
    let key = asked.key.as_ref().map(|path| read_text(path, "key")).transpose()?;
    let key = key.map(|pem| TrustedKey::from_pem("key", &pem, LogDemand::Required)).transpose();
    let refused = |error: evidence::TrustError| Failure::usage(error.to_string());
    TrustSet::new(vec![root.map_err(refused)?], key.map_err(refused)?.into_iter().collect()).map_err(refused)
}

/// `sha256:` and 64 hexadecimal digits, and no file of that name: else it is a path.
fn digest_of(artifact: &str) -> Option<Digest> {
    let digest: Digest = artifact.parse().ok()?;
    let is_sha256 = matches!(digest, Digest::Sha256(_));
    (is_sha256 && !Path::new(artifact).exists()).then_some(digest)
}
