//! What stands in evidence and gives no fact, so that altering it alters nothing that is proven.

use correlator_core::facts::Signer;
use evidence::CLOUD_BUILD;
use serde_json::Value;

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

/// Whether a document differs from the genuine one in nothing that is read.
pub(crate) fn is_all(case: &Case, altered: &Piece) -> bool {
    let read: fn(&[u8], &Signer) -> Value = match altered.media_type {
        CLOUD_BUILD => of_cloud_build,
        BUNDLE => of_bundle,
        _ => return false,
    };
    let signer = case.known.signer();
    read(case.text(), signer) == read(altered.raw.as_deref().unwrap(), signer)
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

/// A bundle without by which of its digests the artifact is identified (each that verifies is one of the same file), and
/// without the size of a tree whose root nobody signed.
fn of_bundle(text: &[u8], _signer: &Signer) -> Value {
    let mut bundle: Value = serde_json::from_slice(text).unwrap();
    if bundle.pointer("/messageSignature/messageDigest").is_some_and(Value::is_object) {
        forget(&mut bundle, "/messageSignature/messageDigest");
    }
    let proof = "/verificationMaterial/tlogEntries/0/inclusionProof";
    if bundle.pointer(proof).is_some_and(|proof| proof.get("checkpoint").is_none()) {
        forget(&mut bundle, &format!("{proof}/treeSize"));
    }
    bundle
}

fn forget(document: &mut Value, place: &str) {
    if let Some(value) = document.pointer_mut(place) {
        *value = Value::Null;
    }
}
