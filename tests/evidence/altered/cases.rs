//! Everything genuine that the alterations start from, of every producer and form.

use std::collections::BTreeMap;

use correlator_core::facts::Signer;
use evidence::{CLOUD_BUILD, LogDemand, TrustSet, TrustedKey, split_cloud_build};
use serde_json::{Value, json};
use sigstore_verify::crypto::KeyPair;

use crate::cloud_build::googles_trust;
use crate::fixtures::{files, part, say};
use crate::genuine::{self, BUNDLE, ENVELOPE, Known, Piece};
use crate::{conformance, slsa, summaries};

pub(crate) const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
pub(crate) const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

const BY_DIGEST: &str = ", by its digest";

/// A genuine piece with what it proves.
pub(crate) struct Case {
    pub(crate) name: String,
    /// Its text is in `raw`.
    pub(crate) piece: Piece,
    pub(crate) known: Known,
    pub(crate) form: &'static str,
    /// The signature, by which the same evidence in two files is known.
    signature: Value,
}

impl Case {
    fn new(piece: Piece) -> Result<Case, String> {
        let known = piece.verify().map_err(|why| format!("{} was refused: {why}", piece.name))?;
        let text = piece.raw.clone().unwrap_or_else(|| piece.document.to_string().into_bytes());
        Ok(Case {
            name: piece.name.clone(),
            form: form(&piece),
            signature: signature(&piece),
            known,
            piece: Piece { document: Value::Null, raw: Some(text), ..piece },
        })
    }

    pub(crate) fn text(&self) -> &[u8] {
        self.piece.raw.as_deref().unwrap()
    }

    /// What was made by one producer in one form. Signatures taken by their digest are the same bundles once more.
    pub(crate) fn family(&self) -> (String, &'static str) {
        let folders = match self.name.split('/').next() {
            _ if self.name.ends_with(BY_DIGEST) => 0,
            Some("bundles" | "conformance") => 2,
            _ => 1,
        };
        (self.name.split('/').take(folders).collect::<Vec<_>>().join("/"), self.form)
    }

    fn signer(&self) -> String {
        match self.known.signer() {
            Signer::Keyless(claims) => claims.subject.clone(),
            other => format!("{other:?}"),
        }
    }

    fn root(&self) -> Option<&str> {
        match &self.known {
            Known::Statement(statement) => statement.root.as_ref(),
            Known::Proof(proof) => proof.root.as_ref(),
        }
        .map(|root| root.name.as_str())
    }
}

fn form(piece: &Piece) -> &'static str {
    let document = &piece.document;
    match piece.media_type {
        BUNDLE if document.get("dsseEnvelope").is_some() => "bundle of an envelope",
        BUNDLE if piece.artifact.is_some() => "bundle of a file's signature",
        BUNDLE => "bundle of a signature",
        ENVELOPE if document["signatures"][0].get("cert").is_some() => "envelope with a certificate",
        ENVELOPE if piece.annotations.is_empty() => "envelope",
        ENVELOPE => "annotated envelope",
        SIMPLE_SIGNING => "image signature",
        CLOUD_BUILD => "document of Google Cloud Build",
        _ => "Python attestation",
    }
}

fn signature(piece: &Piece) -> Value {
    if let Some(signature) = piece.annotations.get(SIGNATURE).filter(|text| !text.is_empty()) {
        return json!(signature);
    }
    let places = [
        "/dsseEnvelope/signatures/0/sig",
        "/messageSignature/signature",
        "/signatures/0/sig",
        "/envelope/signature",
        "/provenance_summary/provenance/0/envelope/signatures/0/sig",
    ];
    let found = places.into_iter().find_map(|place| piece.document.pointer(place));
    found.unwrap_or_else(|| panic!("{} has no signature", piece.name)).clone()
}

/// Every genuine piece that verifies. One of the fixtures that does not is said, and left to the test that holds its source to
/// its verdict: it fails there.
pub(crate) fn all() -> Vec<Case> {
    let mut pieces = genuine::genuine();
    pieces.extend(slsa::genuine());
    pieces.extend(conformance());
    pieces.extend(summaries::genuine());
    pieces.extend(cloud_build());
    if pieces.is_empty() {
        return Vec::new();
    }
    let by_digest: Vec<Piece> = pieces.iter().filter_map(by_digest).collect();
    let (mut cases, refused) = verified(pieces);
    assert!(!cases.is_empty(), "nothing genuine verifies: {refused:#?}");
    if !refused.is_empty() {
        say(&format!("altered inputs: {} genuine pieces left out: {}", refused.len(), refused.join(", ")));
    }
    cases.extend(verified(of_own_keys()).0);
    cases.extend(verified(by_digest).0);
    cases
}

/// What verifies of these pieces, and of each that does not why.
fn verified(pieces: Vec<Piece>) -> (Vec<Case>, Vec<String>) {
    let (mut cases, mut refused) = (Vec::new(), Vec::new());
    for piece in pieces {
        match Case::new(piece) {
            Ok(case) => cases.push(case),
            Err(why) => refused.push(why),
        }
    }
    (cases, refused)
}

#[test]
fn a_piece_that_is_refused_leaves_the_others() {
    let mut pieces = of_own_keys();
    let all = pieces.len();
    pieces[1].document["payload"] = json!("");
    let (cases, refused) = verified(pieces);
    assert_eq!((cases.len(), refused.len()), (all - 1, 1), "{refused:?}");
    assert!(refused[0].starts_with("own attestation/0 was refused: "), "{refused:?}");
}

#[test]
fn what_the_tests_own_keys_sign_verifies() {
    let (_, refused) = verified(of_own_keys());
    assert!(refused.is_empty(), "{refused:#?}");
}

fn conformance() -> Vec<Piece> {
    let cases = conformance::cases().into_iter().filter(|case| !case.must_fail());
    let piece = |case: conformance::Case| {
        let name = format!("conformance/{}", case.name);
        let trust =
            case.trust().map_err(|why| say(&format!("altered inputs: {name} left out: {why}"))).ok()?;
        let bundle = case.bundle();
        let document: Value = serde_json::from_slice(&bundle).unwrap_or_default();
        Some(Piece {
            name,
            media_type: BUNDLE,
            raw: document.is_null().then_some(bundle),
            document,
            annotations: BTreeMap::new(),
            artifact: Some(case.artifact()),
            trust: trust.into(),
        })
    };
    cases.filter_map(piece).collect()
}

/// A signature over a file, as evidence found in a registry: without the file. A key that needs the file does not verify.
fn by_digest(piece: &Piece) -> Option<Piece> {
    piece.artifact.as_ref()?;
    piece.document.get("messageSignature")?;
    let found = Piece { artifact: None, name: format!("{}{BY_DIGEST}", piece.name), ..piece.clone() };
    found.verify().is_ok().then_some(found)
}

/// Each build that a document of Google Cloud Build tells of, and that verifies.
fn cloud_build() -> Vec<Piece> {
    let (Some(testdata), Some(trust)) = (part("slsa/testdata"), googles_trust()) else { return Vec::new() };
    let mut found = Vec::new();
    for file in
        files(&testdata).into_iter().filter(|file| file.starts_with("gcb_") && file.ends_with(".json"))
    {
        let bytes = std::fs::read(testdata.join(&file)).unwrap();
        for (number, build) in split_cloud_build(&bytes).unwrap_or_default().into_iter().enumerate() {
            let piece = Piece {
                name: format!("{file}#{number}"),
                media_type: CLOUD_BUILD,
                document: serde_json::from_slice(&build).unwrap(),
                raw: None,
                annotations: BTreeMap::new(),
                artifact: None,
                trust: trust.clone(),
            };
            found.extend(piece.verify().is_ok().then_some(piece));
        }
    }
    found
}

/// Image signatures and attestations in cosign's older form, by two keys of the tests' own: the fixtures have none.
fn of_own_keys() -> Vec<Piece> {
    let keys = [(); 2].map(|()| KeyPair::generate_ecdsa_p256().unwrap());
    let trusted = keys.iter().map(|key| {
        let pem = key.public_key_der().unwrap().to_pem();
        TrustedKey::from_pem("own.pem", &pem, LogDemand::NotRequired).unwrap()
    });
    let trust = std::sync::Arc::new(TrustSet::new(vec![], trusted.collect()).unwrap());
    let mut found = Vec::new();
    for (number, key) in [&keys[0], &keys[0], &keys[1]].into_iter().enumerate() {
        let hex = bus_schema::Digest::sha256_of(format!("image {number}").as_bytes()).hex();
        let layer = json!({
            "critical": {
                "identity": { "docker-reference": "registry.example/api" },
                "image": { "docker-manifest-digest": format!("sha256:{hex}") },
                "type": "cosign container image signature",
            },
            "optional": { "run": number.to_string() },
        });
        let signature = key.sign(layer.to_string().as_bytes()).unwrap().to_base64();
        let piece = |name: &str, media_type, document, annotations| Piece {
            name: format!("{name}/{number}"),
            media_type,
            document,
            raw: None,
            annotations,
            artifact: None,
            trust: trust.clone(),
        };
        let annotations = BTreeMap::from([(SIGNATURE.to_owned(), signature)]);
        found.push(piece("own image signature", SIMPLE_SIGNING, layer, annotations));
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{ "name": "api", "digest": { "sha256": hex } }],
            "predicateType": "https://example.com/any/v1",
            "predicate": { "run": number },
        });
        let statement = statement.to_string();
        let payload_type = "application/vnd.in-toto+json";
        let signed = sigstore_verify::types::pae(payload_type, statement.as_bytes());
        let envelope = json!({
            "payloadType": payload_type,
            "payload": sigstore_verify::types::PayloadBytes::from_bytes(statement.as_bytes()).to_base64(),
            "signatures": [{ "sig": key.sign(&signed).unwrap().to_base64() }],
        });
        found.push(piece("own attestation", ENVELOPE, envelope, BTreeMap::new()));
    }
    found
}

/// Genuine pieces of the same form with another signature, the nearest of each kind first: by the same signer, by another
/// under the same root, under another root.
pub(crate) fn donors(cases: &[Case], index: usize) -> Vec<&Case> {
    const DONORS_MAX: usize = 3;
    let own = &cases[index];
    let others: Vec<&Case> = cases[index + 1..]
        .iter()
        .chain(&cases[..index])
        .filter(|other| other.form == own.form && other.signature != own.signature)
        .collect();
    let kind = |other: &Case| (other.root() != own.root(), other.signer() != own.signer());
    let nearest = |wanted: fn((bool, bool)) -> bool| others.iter().find(|other| wanted(kind(other))).copied();
    let kinds: [fn((bool, bool)) -> bool; 3] = [
        |(_, other_signer)| !other_signer,
        |(other_root, other_signer)| !other_root && other_signer,
        |(other_root, _)| other_root,
    ];
    let mut found: Vec<&Case> = kinds.into_iter().filter_map(nearest).collect();
    found.extend(others.iter().copied().take(DONORS_MAX));
    let mut seen: Vec<&Value> = Vec::new();
    found.retain(|case| {
        let is_new = !seen.contains(&&case.signature);
        seen.push(&case.signature);
        is_new
    });
    found.truncate(DONORS_MAX);
    found
}
