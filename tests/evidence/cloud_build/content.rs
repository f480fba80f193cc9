//! What a document of Google Cloud Build must come to, worked out from its own content, apart from the
//! verifier's code: a signature holds where the key that made it is Google's.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::Value;

use crate::cloud_build::{GOOGLES_KEYS, googles_keys, key_id_at};
use crate::recovered_key::recover;

/// The text beside the envelope has an index here as a number, the payload as text.
const WRITTEN_OTHERWISE: &str = "definedInMaterial";

/// The reasons for which a document must be refused, each of which will do; none, and it must be accepted.
/// `None` for a file that is no such document, of which nothing is known.
pub(crate) fn faults(bytes: &[u8]) -> Option<BTreeSet<&'static str>> {
    let Ok(document) = serde_json::from_slice::<Value>(bytes) else { return Some(["malformed"].into()) };
    let builds = document["provenance_summary"]["provenance"].as_array()?;
    match builds.as_slice() {
        [] => Some(["unsigned"].into()),
        [build] => Some(faults_of_build(&document["image_summary"], build)),
        _ => Some(["unsupported"].into()),
    }
}

/// Each build of a document with the same summary, as a document of its own.
pub(crate) fn alone(document: &Value) -> Vec<Value> {
    let builds = document["provenance_summary"]["provenance"].as_array().into_iter().flatten();
    let only = |build: &Value| {
        let mut one = document.clone();
        one["provenance_summary"]["provenance"] = Value::from(vec![build.clone()]);
        one
    };
    builds.map(only).collect()
}

/// Google's key, in PEM, that made a signature under this id in a document.
pub(crate) fn recovered(document: &Value, id: &str, fingerprint: &str) -> Option<String> {
    let envelopes = document["provenance_summary"]["provenance"].as_array()?.iter();
    envelopes.map(|build| &build["envelope"]).find_map(|envelope| {
        let payload = payload(envelope)?;
        let named = signatures(envelope).iter().filter(|signature| signature["keyid"] == id);
        named.filter_map(signature_bytes).find_map(|signature| recover(&signature, &payload, fingerprint))
    })
}

/// Whether one of the signatures is by a key that genuine documents of this folder told.
pub(crate) fn has_known_key(document: &Value) -> bool {
    key_names(document).iter().any(|name| is_known(name))
}

/// Whether two signatures in one envelope are said to be by the same key.
pub(crate) fn has_two_of_one_key(document: &Value) -> bool {
    let names = key_names(document);
    alone(document).len() == 1 && names.iter().collect::<BTreeSet<_>>().len() < names.len()
}

fn key_names(document: &Value) -> Vec<String> {
    let builds = document["provenance_summary"]["provenance"].as_array().into_iter().flatten();
    let signatures = builds.flat_map(|build| signatures(&build["envelope"]));
    signatures.map(|signature| signature["keyid"].as_str().unwrap_or_default().to_owned()).collect()
}

fn faults_of_build(summary: &Value, build: &Value) -> BTreeSet<&'static str> {
    let mut faults = BTreeSet::new();
    let envelope = &build["envelope"];
    let Some(payload) = payload(envelope) else { return ["malformed"].into() };
    let Ok(statement) = serde_json::from_slice::<Value>(&payload) else { return ["malformed"].into() };
    faults.extend(faults_of_signatures(envelope, &payload));
    if build["kind"] != "BUILD" {
        faults.insert("malformed");
    }
    if !is_of_one_image(summary, build, &statement) {
        faults.insert("bad_subject");
    }
    let (text, own_name) = match &build["build"]["intotoStatement"] {
        Value::Null => (&build["build"]["inTotoSlsaProvenanceV1"], "predicate"),
        text => (text, "slsaProvenance"),
    };
    let mut signed = statement.clone();
    signed[own_name] = statement["predicate"].clone();
    if text.is_null() {
        faults.insert("malformed");
    } else if !says(&signed, text) {
        faults.insert("contradiction");
    }
    faults
}

/// Those by keys that nothing here tells do not count.
fn faults_of_signatures(envelope: &Value, payload: &[u8]) -> BTreeSet<&'static str> {
    let signatures = signatures(envelope);
    let names: Vec<&str> =
        signatures.iter().map(|signature| signature["keyid"].as_str().unwrap_or_default()).collect();
    let mut faults = BTreeSet::new();
    if signatures.is_empty() {
        faults.insert("unsigned");
    } else if !names.iter().any(|name| is_known(name)) {
        faults.insert("untrusted_signer");
    }
    if names.iter().collect::<BTreeSet<_>>().len() < names.len() {
        faults.insert("unsupported");
    }
    for (signature, name) in signatures.iter().zip(names).filter(|(_, name)| is_known(name)) {
        match signature_bytes(signature) {
            Some(bytes) if bytes.is_empty() => faults.insert("unsigned"),
            Some(bytes) if is_googles(&bytes, payload, name) => continue,
            Some(_) => faults.insert("bad_signature"),
            None => faults.insert("malformed"),
        };
    }
    faults
}

fn is_known(name: &str) -> bool {
    googles_keys().is_some_and(|keys| keys.iter().any(|(id, _)| id == name))
}

fn is_googles(signature: &[u8], payload: &[u8], name: &str) -> bool {
    let own = GOOGLES_KEYS.iter().find(|(location, key, _)| key_id_at(location, key) == name);
    own.is_some_and(|(_, _, fingerprint)| recover(signature, payload, fingerprint).is_some())
}

/// One address with one digest in every place, and the digest is that of a subject.
fn is_of_one_image(summary: &Value, build: &Value, statement: &Value) -> bool {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (digest, qualified) = (text(&summary["digest"]), text(&summary["fully_qualified_digest"]));
    let resource = text(&build["resourceUri"]);
    let mut subjects = statement["subject"].as_array().into_iter().flatten();
    let is_subject = |subject: &Value| {
        digest.strip_prefix("sha256:").is_some_and(|hex| subject["digest"]["sha256"] == hex)
    };
    qualified.ends_with(&format!("@{digest}"))
        && resource.strip_prefix("https://").unwrap_or(&resource) == qualified
        && subjects.any(is_subject)
}

/// Whether each value of the text is in what was signed, at its place.
fn says(signed: &Value, text: &Value) -> bool {
    match (signed, text) {
        (Value::Object(signed), Value::Object(text)) => text.iter().all(|(key, value)| {
            key == WRITTEN_OTHERWISE || says(signed.get(key).unwrap_or(&Value::Null), value)
        }),
        (Value::Array(signed), Value::Array(text)) => {
            signed.len() == text.len() && signed.iter().zip(text).all(|(signed, text)| says(signed, text))
        }
        (signed, text) => signed == text,
    }
}

fn payload(envelope: &Value) -> Option<Vec<u8>> {
    decoded(envelope["payload"].as_str()?)
}

fn signatures(envelope: &Value) -> &[Value] {
    envelope["signatures"].as_array().map_or(&[], Vec::as_slice)
}

fn signature_bytes(signature: &Value) -> Option<Vec<u8>> {
    decoded(signature["sig"].as_str().unwrap_or_default())
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    URL_SAFE.decode(text).or_else(|_| STANDARD.decode(text)).ok()
}
