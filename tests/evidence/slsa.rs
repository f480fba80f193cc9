//! SLSA provenance of real builders: the evidence of the fixtures, and predicates read without their signatures.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use correlator_core::facts::{Outcome, Predicate};
use evidence::{Demands, TrustSet};
use serde_json::{Value, json};

use crate::fixtures::{files, found as fixture, json_if_any, part, say, skipped, trust};
use crate::genuine::{BUNDLE, ENVELOPE, Piece};
use crate::keys::sign_and_verify;
use crate::{layout, slsa_rows};

/// The public-good root with all its demands, and npm's key where it is there.
pub(crate) fn public_trust() -> Option<Arc<TrustSet>> {
    let root = part("sigstore/trusted-roots/public-good.json")?;
    let key = part("sigstore/trusted-roots/npm-publish-key.pem");
    Some(Arc::new(trust(&root, Demands::default(), key.as_deref())))
}

/// A root that demands nothing beside the certificate: for envelopes that carry neither log entry nor timestamp. Before
/// September 2022 the proof of the certificate log was not inside the certificate.
pub(crate) fn undated_trust() -> Option<Arc<TrustSet>> {
    let demands = Demands { certificate_transparency: false, log: false, signed_time: false };
    let root = part("sigstore/trusted-roots/public-good.json")?;
    Some(Arc::new(trust(&root, demands, None)))
}

/// The forms of a provenance file.
pub(crate) enum Form {
    /// Everything needed is in the file.
    Bundle,
    /// An envelope with a certificate and nothing that dates it.
    UndatedEnvelope,
    /// An envelope whose certificate only the log holds.
    WithoutCertificate,
    /// npm's answer: a publish attestation and a provenance attestation.
    Npm,
    /// Google Cloud Build's own format, signed by keys of its own.
    CloudBuild,
    Other,
}

impl Form {
    pub(crate) fn of(document: &Value) -> Form {
        if document.get("verificationMaterial").is_some() {
            Form::Bundle
        } else if document["signatures"][0].get("cert").is_some() {
            Form::UndatedEnvelope
        } else if document["signatures"][0]["keyid"] == "" {
            Form::WithoutCertificate
        } else if document.get("attestations").is_some() {
            Form::Npm
        } else if document.get("provenance_summary").is_some() {
            Form::CloudBuild
        } else {
            Form::Other
        }
    }
}

pub(crate) fn piece(name: String, document: Value, trust: &Arc<TrustSet>) -> Piece {
    let media_type = if document.get("verificationMaterial").is_some() { BUNDLE } else { ENVELOPE };
    Piece {
        name,
        media_type,
        document,
        raw: None,
        annotations: BTreeMap::new(),
        artifact: None,
        trust: trust.clone(),
    }
}

/// The attestation layers of an image layout.
pub(crate) fn layers(folder: &Path, name: &str, trust: &Arc<TrustSet>) -> Vec<Piece> {
    let layers = layout::attached(folder).into_iter().filter(|layer| layer.media_type == ENVELOPE);
    let piece = |(number, layer): (usize, layout::Layer)| Piece {
        annotations: layer.annotations,
        raw: Some(layer.bytes),
        ..piece(format!("{name}#{number}"), layer.document, trust)
    };
    layers.enumerate().map(piece).collect()
}

/// Every piece of provenance that verifies with the public-good root. What does not is accounted for by
/// [`provenance_that_is_refused_is_none_that_a_row_accepts`].
pub(crate) fn genuine() -> Vec<Piece> {
    found().into_iter().filter(|piece| piece.verify().is_ok()).collect()
}

/// Those of them that a row accepts.
pub(crate) fn accepted() -> Vec<Piece> {
    let accepted = slsa_rows::accepted_artifacts();
    genuine().into_iter().filter(|piece| is_of(&accepted, piece)).collect()
}

fn is_of(artifacts: &[String], piece: &Piece) -> bool {
    let file = piece.name.split('#').next().unwrap();
    artifacts.iter().any(|artifact| slsa_rows::is_provenance_of(artifact, file))
}

#[test]
fn provenance_that_is_refused_is_none_that_a_row_accepts() {
    let Some(_) = fixture("slsa/testdata") else { return };
    let accepted = slsa_rows::accepted_artifacts();
    let (mut verified, mut refused, mut wrong) = (0, BTreeMap::<String, Vec<String>>::new(), Vec::new());
    let pieces = found();
    if pieces.is_empty() {
        return skipped("no provenance with a root to verify it with");
    }
    for piece in pieces {
        let Err(why) = piece.verify() else {
            verified += 1;
            continue;
        };
        // What a row accepts and this version says it cannot verify is counted with the rows.
        if is_of(&accepted, &piece) && !why.starts_with("unsupported") {
            wrong.push(format!("{}: {why}", piece.name));
        } else {
            refused.entry(why).or_default().push(piece.name);
        }
    }
    let count: usize = refused.values().map(Vec::len).sum();
    say(&format!("provenance files: {verified} verify, {count} that no row accepts are refused"));
    for (why, names) in &refused {
        say(&format!("    {}: {why}", names.join(", ")));
    }
    assert!(wrong.is_empty(), "genuine, and refused: {wrong:#?}");
}

/// Every piece of provenance that the files hold in a form that can be read.
fn found() -> Vec<Piece> {
    let (Some(testdata), Some(trust)) = (part("slsa/testdata"), public_trust()) else { return Vec::new() };
    let mut pieces = Vec::new();
    for file in files(&testdata) {
        if file.ends_with("index.json") {
            let layout = Path::new(&file).parent().unwrap();
            pieces.extend(layers(&testdata.join(layout), layout.to_str().unwrap(), &trust));
        }
        let Some(document) = json_if_any(&testdata.join(&file)) else { continue };
        match Form::of(&document) {
            Form::Bundle => pieces.push(piece(file, document, &trust)),
            Form::Npm => {
                for (number, attestation) in document["attestations"].as_array().unwrap().iter().enumerate() {
                    pieces.push(piece(format!("{file}#{number}"), attestation["bundle"].clone(), &trust));
                }
            }
            Form::UndatedEnvelope => {
                if let Some(undated) = undated_trust() {
                    pieces.push(piece(file, document, &undated));
                }
            }
            Form::WithoutCertificate | Form::CloudBuild | Form::Other => {}
        }
    }
    pieces
}

#[test]
fn predicates_of_real_producers_are_read() {
    let Some(folder) = fixture("slsa/predicates") else { return };
    let (mut provenance, mut other, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for file in files(&folder) {
        let document = json_if_any(&folder.join(&file)).unwrap_or_default();
        let statement = if document.get("_type").is_some() {
            document
        } else if document.get("builder").is_some() {
            around("https://slsa.dev/provenance/v0.2", document)
        } else if document.get("buildDefinition").is_some() {
            around("https://slsa.dev/provenance/v1", document)
        } else {
            say(&format!("predicates: {file} is neither a statement nor a predicate, not covered"));
            continue;
        };
        match sign_and_verify(statement.to_string().as_bytes()) {
            Outcome::Verified(verified) => match verified.predicate {
                Predicate::Provenance(read) => {
                    assert!(!read.builder_id.is_empty() && read.slsa_level == 1, "{file}: {read:?}");
                    provenance.push(file);
                }
                _ => other.push(file),
            },
            Outcome::Refused(why) => {
                assert_ne!(why.claims, None, "{file}: {why:?}");
                refused.push(format!("{file} ({})", why.found));
            }
        }
    }
    say(&format!(
        "predicates: {} read as provenance, {} of another kind, {} refused: {}",
        provenance.len(),
        other.len(),
        refused.len(),
        refused.join(", "),
    ));
    if provenance.is_empty() && other.is_empty() && refused.is_empty() {
        return skipped("no predicate");
    }
    assert!(!(provenance.is_empty() && other.is_empty()), "{refused:?}");
}

fn around(predicate_type: &str, predicate: Value) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "any", "digest": { "sha256": "a".repeat(64) } }],
        "predicateType": predicate_type,
        "predicate": predicate,
    })
}
