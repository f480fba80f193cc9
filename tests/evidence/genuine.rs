//! Bundles that real clients of Sigstore made, and Python's attestations, each with the verdict that two other verifiers
//! reached over it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bus_schema::Digest;
use correlator_core::facts::{Outcome, Predicate, Signer, Statement};
use evidence::{Artifact, Demands, Proof, TrustRoot, TrustSet, Unverified, verify, verify_bundle};
use serde_json::Value;

use crate::fixtures::{TIME_ONLY, files, folder, json, say, text, trust};

/// One piece of evidence with the trust that it verifies with.
#[derive(Clone)]
pub(crate) struct Piece {
    pub(crate) name: String,
    pub(crate) media_type: &'static str,
    pub(crate) document: Value,
    /// The bytes as they lie in a registry, where something is said of them; else the document's.
    pub(crate) raw: Option<Vec<u8>>,
    pub(crate) annotations: BTreeMap<String, String>,
    /// What a message signature is over.
    pub(crate) artifact: Option<Vec<u8>>,
    pub(crate) trust: Arc<TrustSet>,
}

/// What is known after verification: the whole statement, or for a signature over a file who signed it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Known {
    Statement(Box<Statement>),
    Proof(Box<Proof>),
}

impl Known {
    pub(crate) fn signed_at(&self) -> Option<jiff::Timestamp> {
        match self {
            Known::Statement(statement) => statement.signed_at,
            Known::Proof(proof) => proof.signed_at,
        }
    }

    pub(crate) fn signer(&self) -> &Signer {
        match self {
            Known::Statement(statement) => &statement.signer,
            Known::Proof(proof) => &proof.signer,
        }
    }
}

pub(crate) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
pub(crate) const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
const PYTHON: &str = "application/vnd.pypi.attestation.v1+json";

impl Piece {
    pub(crate) fn verify(&self) -> Result<Known, String> {
        let bytes = self.raw.clone().unwrap_or_else(|| self.document.to_string().into_bytes());
        let shown = |refused: correlator_core::facts::Refusal| {
            format!("{} ({}; {})", refused.reason.as_str(), refused.expected, refused.found)
        };
        if let Some(artifact) = &self.artifact {
            return verify_bundle(&bytes, Artifact::Bytes(artifact), &self.trust)
                .map(|proof| Known::Proof(Box::new(proof)))
                .map_err(shown);
        }
        let evidence = Unverified {
            media_type: self.media_type,
            artifact_type: None,
            bytes: &bytes,
            annotations: &self.annotations,
            attached_to: Digest::sha256_of(b"wherever it was found"),
        };
        match verify(&evidence, &self.trust) {
            Outcome::Verified(statement) => Ok(Known::Statement(statement)),
            Outcome::Refused(refused) => Err(shown(refused)),
        }
    }

    pub(crate) fn statement(&self) -> Result<Statement, String> {
        match self.verify()? {
            Known::Statement(statement) => Ok(*statement),
            Known::Proof(_) => Err("a signature over a file".to_owned()),
        }
    }
}

/// The bundles of the verdicts' table: name, whether each must verify, and its row.
fn bundles(sigstore: &Path) -> Vec<(Vec<Piece>, bool, Value)> {
    let rows = json(&sigstore.join("bundles/verdicts.json")).as_array().unwrap().clone();
    rows.into_iter().map(|row| (pieces_of(sigstore, &row), row["expect"] == "pass", row)).collect()
}

fn pieces_of(sigstore: &Path, row: &Value) -> Vec<Piece> {
    let file = row["file"].as_str().unwrap();
    let content = text(&sigstore.join(file));
    let documents: Vec<Value> = if file.ends_with(".jsonl") {
        content
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    } else {
        vec![serde_json::from_str(&content).unwrap()]
    };
    let trust = Arc::new(trust_of(sigstore, row));
    let artifact = row["artifact"]
        .as_str()
        .map(|artifact| std::fs::read(artifact_path(sigstore, file, artifact)).unwrap());
    let piece = |(number, document): (usize, Value)| Piece {
        name: format!("{file}#{number}"),
        media_type: BUNDLE,
        artifact: document.get("messageSignature").and(artifact.clone()),
        document,
        raw: None,
        annotations: BTreeMap::new(),
        trust: trust.clone(),
    };
    documents.into_iter().enumerate().map(piece).collect()
}

/// The table names the artifact beside the bundle or from the fixtures' folder.
fn artifact_path(sigstore: &Path, file: &str, artifact: &str) -> PathBuf {
    let candidates = [
        sigstore.join(artifact),
        sigstore.join(file).with_file_name(artifact),
        sigstore.join("bundles").join(artifact),
    ];
    candidates
        .into_iter()
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{file}: no artifact {artifact}"))
}

/// The table says how many witnesses of each kind the instance has: `thresholds(tlog,tsa,sct)`.
fn trust_of(sigstore: &Path, row: &Value) -> TrustSet {
    let named = row["trust_root"].as_str().unwrap().split_whitespace().next().unwrap();
    if named.ends_with(".pem") {
        let root = sigstore.join("trusted-roots/public-good.json");
        return trust(&root, Demands::default(), Some(&sigstore.join(named)));
    }
    let thresholds = row["oracle_sigstore_verify_js"][0]["thresholds(tlog,tsa,sct)"].as_str();
    let demands = if thresholds == Some("0,1,0") { TIME_ONLY } else { Demands::default() };
    trust(&sigstore.join(named), demands, None)
}

/// Every genuine bundle and Python attestation.
pub(crate) fn genuine() -> Vec<Piece> {
    let Some(sigstore) = folder("sigstore") else { return Vec::new() };
    let mut pieces: Vec<Piece> = bundles(&sigstore)
        .into_iter()
        .filter(|(_, passes, _)| *passes)
        .flat_map(|(pieces, _, _)| pieces)
        .collect();
    pieces.extend(python().into_iter().map(|(piece, _)| piece));
    pieces
}

#[test]
fn bundles_of_real_clients_get_their_known_verdict() {
    let Some(sigstore) = folder("sigstore") else { return };
    let (mut accepted, mut refused, mut wrong) = (0, 0, Vec::new());
    let table = bundles(&sigstore);
    for (pieces, must_pass, row) in &table {
        for (piece, facts) in
            pieces.iter().zip(row["facts"].as_array().unwrap().iter().chain(std::iter::repeat(&Value::Null)))
        {
            match (piece.verify(), must_pass) {
                (Ok(known), true) => {
                    accepted += 1;
                    wrong.extend(disagreements(&piece.name, &known, facts));
                }
                (Err(_), false) => refused += 1,
                (Ok(_), false) => wrong.push(format!("{} was accepted", piece.name)),
                (Err(why), true) => wrong.push(format!("{} was refused: {why}", piece.name)),
            }
        }
    }
    let listed: Vec<&str> = table.iter().map(|(_, _, row)| row["file"].as_str().unwrap()).collect();
    let unlisted: Vec<String> = files(&sigstore.join("bundles"))
        .into_iter()
        .map(|file| format!("bundles/{file}"))
        .filter(|file| {
            !listed.contains(&file.as_str()) && !file.ends_with("verdicts.json") && !file.ends_with(".txt")
        })
        .collect();
    say(&format!(
        "genuine bundles: {accepted} accepted, {refused} broken ones refused, {} without a verdict",
        unlisted.len()
    ));
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(unlisted.is_empty(), "{unlisted:?}");
}

/// What the table read from the certificate must be what verification says.
fn disagreements(name: &str, known: &Known, facts: &Value) -> Vec<String> {
    let Signer::Keyless(claims) = known.signer() else { return Vec::new() };
    let pairs = [
        ("issuer", claims.issuer.as_ref()),
        ("buildSigner", claims.build_signer_uri.as_ref()),
        ("runnerEnv", claims.runner_environment.as_ref()),
        ("srcRepo", claims.source_repository_uri.as_ref()),
        ("srcRef", claims.source_repository_ref.as_ref()),
        ("trigger", claims.build_trigger.as_ref()),
    ];
    let mut wrong: Vec<String> = pairs
        .into_iter()
        .filter(|(key, found)| facts[*key].is_string() && facts[*key].as_str() != found.map(String::as_str))
        .map(|(key, found)| format!("{name}: {key} is {found:?}, not {}", facts[key]))
        .collect();
    if facts["san"][0].is_string() && facts["san"][0] != claims.subject.as_str() {
        wrong.push(format!("{name}: the subject is {}", claims.subject));
    }
    if let Known::Statement(statement) = known {
        let predicate_type = match &statement.predicate {
            Predicate::Provenance(provenance) => Some(&provenance.predicate_type),
            Predicate::Other { predicate_type } => Some(predicate_type),
            Predicate::ImageSignature { .. }
            | Predicate::Sbom(_)
            | Predicate::VerificationSummary(_)
            | Predicate::VulnerabilityScan(_) => None,
        };
        if predicate_type.is_some_and(|found| facts["pred"].is_string() && facts["pred"] != found.as_str()) {
            wrong.push(format!("{name}: the predicate is {predicate_type:?}"));
        }
    }
    wrong
}

const PYTHON_DIGESTS: &str = "artifact-sha256.json";

/// Python's attestations and bundles, each with the digest that its subject must have, where that is known.
fn python() -> Vec<(Piece, Option<Digest>)> {
    let Some(sigstore) = folder("sigstore") else { return Vec::new() };
    let (folder, roots) = (sigstore.join("pep740"), sigstore.join("trusted-roots"));
    if !folder.is_dir() {
        return Vec::new();
    }
    let digests = json(&folder.join(PYTHON_DIGESTS));
    // Some were made against the public instance, some against the staging one; neither says which.
    let roots = ["public-good", "staging"].map(|name| {
        let root = text(&roots.join(format!("{name}.json")));
        TrustRoot::from_json(name, &root, Demands::default()).unwrap()
    });
    let trust = Arc::new(TrustSet::new(roots.into(), vec![]).unwrap());
    let mut found = Vec::new();
    for file in files(&folder).into_iter().filter(|file| file != PYTHON_DIGESTS && file.ends_with(".json")) {
        let artifacts = digests.as_object().unwrap();
        let digest = artifacts.iter().find(|(artifact, _)| file.starts_with(artifact.as_str()));
        let digest =
            digest.map(|(_, digest)| Digest::from_parts("sha256", digest.as_str().unwrap()).unwrap());
        let document = json(&folder.join(&file));
        let attestations = match document["attestation_bundles"].as_array() {
            Some(bundles) => {
                bundles.iter().flat_map(|bundle| bundle["attestations"].as_array().unwrap().clone()).collect()
            }
            None => vec![document],
        };
        for (number, document) in attestations.into_iter().enumerate() {
            let piece = Piece {
                name: format!("pep740/{file}#{number}"),
                media_type: if document.get("mediaType").is_some() { BUNDLE } else { PYTHON },
                document,
                raw: None,
                annotations: BTreeMap::new(),
                artifact: None,
                trust: trust.clone(),
            };
            found.push((piece, digest));
        }
    }
    found
}

#[test]
fn attestations_of_python_packages_verify_and_bind_their_package() {
    let Some(_) = folder("sigstore/pep740") else { return };
    let attestations = python();
    let mut bound = 0;
    for (piece, digest) in &attestations {
        let statement = piece.statement().unwrap_or_else(|why| panic!("{} was refused: {why}", piece.name));
        if let Some(digest) = digest {
            assert!(statement.subjects.contains(digest), "{}: {:?}", piece.name, statement.subjects);
            bound += 1;
        }
    }
    say(&format!(
        "attestations of Python packages: {} accepted, {bound} of them bound to their file",
        attestations.len()
    ));
}
