//! Bundles that real clients of Sigstore made, and Python's attestations, each with the verdict that two other verifiers
//! reached over it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bus_schema::Digest;
use correlator_core::facts::{Outcome, Predicate, Signer, Statement};
use evidence::{Artifact, Demands, Proof, TrustRoot, TrustSet, Unverified, verify, verify_bundle};
use serde_json::Value;

use crate::fixtures::{TIME_ONLY, files, found, json, json_if_any, part, say, skipped, text, trust};

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

const VERDICTS: &str = "sigstore/bundles/verdicts.json";

/// The bundles that the verdicts' table tells of: each file's, whether it must verify, and its row. A row
/// without its files is left out.
fn bundles() -> Vec<(Vec<Piece>, bool, Value)> {
    let Some(table) = part(VERDICTS) else { return Vec::new() };
    let rows = json(&table).as_array().unwrap().clone();
    let told = rows.into_iter().filter(|row| row["expect"] == "pass" || row["expect"] == "fail");
    told.filter_map(|row| Some((pieces_of(&row)?, row["expect"] == "pass", row))).collect()
}

fn pieces_of(row: &Value) -> Option<Vec<Piece>> {
    let file = row["file"].as_str().unwrap();
    let content = std::fs::read(part(&format!("sigstore/{file}"))?).unwrap();
    let texts: Vec<&[u8]> = match file.ends_with(".jsonl") {
        true => content.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).collect(),
        false => vec![&content],
    };
    let trust = Arc::new(trust_of(row)?);
    let artifact = match row["artifact"].as_str() {
        Some(artifact) => Some(std::fs::read(artifact_path(file, artifact)?).unwrap()),
        None => None,
    };
    let piece = |(number, text): (usize, &[u8])| {
        let document: Value = serde_json::from_slice(text).unwrap_or_default();
        Piece {
            name: format!("{file}#{number}"),
            media_type: BUNDLE,
            artifact: document.get("messageSignature").and(artifact.clone()),
            raw: document.is_null().then(|| text.to_vec()),
            document,
            annotations: BTreeMap::new(),
            trust: trust.clone(),
        }
    };
    Some(texts.into_iter().enumerate().map(piece).collect())
}

/// The table names the artifact beside the bundle or from the fixtures' folder.
fn artifact_path(file: &str, artifact: &str) -> Option<PathBuf> {
    let beside = Path::new(file).with_file_name(artifact);
    let candidates = [Path::new(artifact), &beside, &Path::new("bundles").join(artifact)]
        .map(|path| harness::fixtures::path("sigstore").join(path));
    let found = candidates.into_iter().find(|path| path.is_file());
    if found.is_none() {
        say(&format!("{file}: left out, for its artifact is absent: {artifact}"));
    }
    found
}

/// The table says how many witnesses of each kind the instance has: `thresholds(tlog,tsa,sct)`. An instance
/// without logs has nothing but signed times.
fn trust_of(row: &Value) -> Option<TrustSet> {
    let named = row["trust_root"].as_str().unwrap().split_whitespace().next().unwrap();
    let named_path = part(&format!("sigstore/{named}"))?;
    if named.ends_with(".pem") {
        let root = part("sigstore/trusted-roots/public-good.json")?;
        return Some(trust(&root, Demands::default(), Some(&named_path)));
    }
    let thresholds = row["oracle_sigstore_verify_js"][0]["thresholds(tlog,tsa,sct)"].as_str();
    let has_logs = json(&named_path)["tlogs"].as_array().is_some_and(|logs| !logs.is_empty());
    let demands = if thresholds == Some("0,1,0") || !has_logs { TIME_ONLY } else { Demands::default() };
    Some(trust(&named_path, demands, None))
}

/// Every genuine bundle and Python attestation.
pub(crate) fn genuine() -> Vec<Piece> {
    let mut pieces: Vec<Piece> =
        bundles().into_iter().filter(|(_, passes, _)| *passes).flat_map(|(pieces, _, _)| pieces).collect();
    pieces.extend(python().into_iter().map(|(piece, _)| piece));
    pieces
}

#[test]
fn bundles_of_real_clients_get_their_known_verdict() {
    let Some(_) = found(VERDICTS) else { return };
    let (mut accepted, mut refused, mut wrong) = (0, 0, Vec::new());
    let table = bundles();
    if table.is_empty() {
        return skipped("no bundle with a verdict");
    }
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
    let unlisted = without_a_verdict(&table);
    say(&format!(
        "genuine bundles: {accepted} accepted, {refused} broken ones refused, {} without a verdict: {}",
        unlisted.len(),
        unlisted.join(", ")
    ));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The files beside the table that are neither a row's bundle nor its artifact.
fn without_a_verdict(table: &[(Vec<Piece>, bool, Value)]) -> Vec<String> {
    let sigstore = harness::fixtures::path("sigstore");
    let mut listed = vec![harness::fixtures::path(VERDICTS)];
    for (_, _, row) in table {
        let file = row["file"].as_str().unwrap();
        listed.push(sigstore.join(file));
        listed.extend(row["artifact"].as_str().and_then(|artifact| artifact_path(file, artifact)));
    }
    let all = files(&sigstore.join("bundles")).into_iter();
    all.filter(|file| !listed.contains(&sigstore.join("bundles").join(file))).collect()
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

const PYTHON_ATTESTATIONS: &str = "sigstore/pep740";
const PYTHON_DIGESTS: &str = "sigstore/pep740/artifact-sha256.json";

/// Python's attestations and bundles, each with the digest that its subject must have, where that is known.
fn python() -> Vec<(Piece, Option<Digest>)> {
    let Some(folder) = part(PYTHON_ATTESTATIONS) else { return Vec::new() };
    let digests = part(PYTHON_DIGESTS).map_or(Value::Null, |digests| json(&digests));
    // Some were made against the public instance, some against the staging one; neither says which.
    let roots = ["public-good", "staging"].map(|name| {
        let root = text(&part(&format!("sigstore/trusted-roots/{name}.json"))?);
        Some(TrustRoot::from_json(name, &root, Demands::default()).unwrap())
    });
    let [Some(public), Some(staging)] = roots else { return Vec::new() };
    let trust = Arc::new(TrustSet::new(vec![public, staging], vec![]).unwrap());
    let mut found = Vec::new();
    for file in files(&folder) {
        let Some(document) = json_if_any(&folder.join(&file)).filter(is_attestation) else { continue };
        let mut artifacts = digests.as_object().into_iter().flatten();
        let digest = artifacts.find(|(artifact, _)| file.starts_with(artifact.as_str()));
        let digest =
            digest.map(|(_, digest)| Digest::from_parts("sha256", digest.as_str().unwrap()).unwrap());
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

/// Whether a document is a provenance of Python's, an attestation of its or a bundle.
fn is_attestation(document: &Value) -> bool {
    ["attestation_bundles", "envelope", "mediaType"].iter().any(|field| document.get(field).is_some())
}

#[test]
fn attestations_of_python_packages_verify_and_bind_their_package() {
    let Some(_) = found(PYTHON_ATTESTATIONS) else { return };
    let attestations = python();
    if attestations.is_empty() {
        return skipped("no attestation of Python's with the roots of both instances");
    }
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
