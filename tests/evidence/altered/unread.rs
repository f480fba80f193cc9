//! What stands in evidence and gives no fact, so that altering it alters nothing that is proven.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use correlator_core::facts::Signer;
use evidence::CLOUD_BUILD;
use serde_json::Value;
use sha2::Digest as _;

use crate::altered::cases::Case;
use crate::genuine::{BUNDLE, Piece};

/// What Google's tool prints around the envelope and nobody signs: another version of the tool may print it otherwise. Of
/// the index of the recipe's material, text and payload of genuine documents differ.
const OF_CLOUD_BUILD: [&str; 7] = [
    "/image_summary/registry",
    "/image_summary/repository",
    "/provenance_summary/provenance/0/createTime",
    "/provenance_summary/provenance/0/name",
    "/provenance_summary/provenance/0/noteName",
    "/provenance_summary/provenance/0/updateTime",
    "/provenance_summary/provenance/0/build/intotoStatement/slsaProvenance/recipe/definedInMaterial",
];

/// The statement as text beside its envelope, which may say less than the payload: a donor's part that lacks a member is the
/// own part with that member removed.
const TEXT: &str = "/provenance_summary/provenance/0/build";

/// Whether a document differs from the genuine one in nothing that is read.
pub(crate) fn is_all(case: &Case, altered: &Piece) -> bool {
    let other = altered.raw.as_deref().unwrap();
    match altered.media_type {
        CLOUD_BUILD => {
            let signer = case.known.signer();
            let (mut genuine, mut other) =
                (of_cloud_build(case.text(), signer), of_cloud_build(other, signer));
            let texts = (genuine.pointer(TEXT), other.pointer(TEXT));
            if let (Some(genuine_text), Some(text)) = texts
                && says_no_more(text, genuine_text)
            {
                forget(&mut genuine, TEXT);
                forget(&mut other, TEXT);
            }
            genuine == other
        }
        BUNDLE => {
            let artifact = altered.artifact.as_deref();
            of_bundle(case.text(), artifact) == of_bundle(other, artifact)
        }
        _ => false,
    }
}

/// A document without what is not read: the above, and signatures under other key ids than the one that it is accepted
/// for. Under an unknown id a signature proves nothing; under a known one it must hold, or the document is refused.
fn of_cloud_build(text: &[u8], signer: &Signer) -> Value {
    let mut document: Value = serde_json::from_slice(text).unwrap();
    for place in OF_CLOUD_BUILD {
        forget(&mut document, place);
    }
    let signatures = document.pointer_mut("/provenance_summary/provenance/0/envelope/signatures");
    if let (Some(Value::Array(signatures)), Signer::CloudBuild { key_id, .. }) = (signatures, signer) {
        signatures.retain(|signature| signature["keyid"] == key_id.as_str());
    }
    document
}

/// Whether everything that a text says stands in the genuine one at the same place.
fn says_no_more(text: &Value, genuine: &Value) -> bool {
    match (text, genuine) {
        (Value::Object(text), Value::Object(genuine)) => text
            .iter()
            .all(|(key, value)| genuine.get(key).is_some_and(|genuine| says_no_more(value, genuine))),
        (text, genuine) => text == genuine,
    }
}

/// A bundle without by which of its true digests the artifact is identified, and without the size of a tree whose root
/// nobody signed.
fn of_bundle(text: &[u8], artifact: Option<&[u8]>) -> Value {
    const DIGEST: &str = "/messageSignature/messageDigest";
    let mut bundle: Value = serde_json::from_slice(text).unwrap();
    if let (Some(artifact), Some(said)) = (artifact, bundle.pointer(DIGEST))
        && is_true(said, artifact)
    {
        forget(&mut bundle, DIGEST);
    }
    let proof = "/verificationMaterial/tlogEntries/0/inclusionProof";
    if bundle.pointer(proof).is_some_and(|proof| proof.get("checkpoint").is_none()) {
        forget(&mut bundle, &format!("{proof}/treeSize"));
    }
    bundle
}

fn is_true(said: &Value, artifact: &[u8]) -> bool {
    let digest = match said["algorithm"].as_str() {
        Some("SHA2_256") => sha2::Sha256::digest(artifact).to_vec(),
        Some("SHA2_384") => sha2::Sha384::digest(artifact).to_vec(),
        Some("SHA2_512") => sha2::Sha512::digest(artifact).to_vec(),
        _ => return false,
    };
    said["digest"] == STANDARD.encode(digest)
}

fn forget(document: &mut Value, place: &str) {
    if let Some(value) = document.pointer_mut(place) {
        *value = Value::Null;
    }
}
