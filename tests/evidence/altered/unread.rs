//! What stands in a document of Google Cloud Build and gives no fact, so that altering it alters nothing that is proven.

use correlator_core::facts::Signer;
use evidence::CLOUD_BUILD;
use serde_json::Value;

use crate::altered::cases::Case;
use crate::genuine::Piece;

/// What Google's tool prints around the envelope and nobody signs: another version of the tool may print it otherwise. Of
/// the index of the recipe's material, text and payload of genuine documents differ.
const UNREAD: [&str; 7] = [
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
    let Signer::CloudBuild { key_id, .. } = case.known.signer() else { return false };
    let other = altered.raw.as_deref().unwrap();
    altered.media_type == CLOUD_BUILD && read(case.text(), key_id) == read(other, key_id)
}

/// A document without what is not read: the above, and signatures under other key ids than the one that it is accepted
/// for. Under an unknown id a signature proves nothing; under a known one it must hold, or the document is refused.
fn read(text: &[u8], key_id: &str) -> Value {
    let mut document: Value = serde_json::from_slice(text).unwrap();
    for place in UNREAD {
        if let Some(value) = document.pointer_mut(place) {
            *value = Value::Null;
        }
    }
    let signatures = document.pointer_mut("/provenance_summary/provenance/0/envelope/signatures");
    if let Some(Value::Array(signatures)) = signatures {
        signatures.retain(|signature| signature["keyid"] == key_id);
    }
    document
}
