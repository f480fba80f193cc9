//! Evidence as files hold it, told apart by what is written inside.
//!
//! In: the bytes of one file. Out: each piece of evidence in it, with the media type under which the verifier reads it, or
//! why it is none. What a file calls itself decides only how it is read, never what it proves.

mod blob;

use std::collections::BTreeMap;

use bus_schema::Digest;
use bus_schema::registry::{BlobRef, EvidenceItem};
use bytes::Bytes;
use evidence::{BLOB_SIGNATURE, CLOUD_BUILD, EVIDENCE_BYTES_MAX, split_cloud_build};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The most pieces in one file.
const PIECES_MAX: usize = 256;
/// How deep the answers of registries and forges wrap a piece, in levels.
const WRAPPED_LEVELS_MAX: usize = 4;

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
const PYTHON: &str = "application/vnd.pypi.attestation.v1+json";
const STATEMENT: &str = "application/vnd.in-toto+json";
const CYCLONEDX: &str = "application/vnd.cyclonedx+json";
const SPDX: &str = "application/spdx+json";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// One piece of evidence and its bytes.
pub type Piece = (EvidenceItem, Bytes);

/// Why a file holds no evidence that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceFileError {
    #[error("it has more than {EVIDENCE_BYTES_MAX} bytes")]
    TooLarge,
    #[error("it holds more than {PIECES_MAX} pieces of evidence")]
    TooMany,
    #[error("line {line} is not JSON: {reason}")]
    NotJson { line: usize, reason: String },
    #[error(
        "{what} is none of: a Sigstore bundle, a DSSE envelope, attestations of npm, GitHub or PyPI, a downloaded \
         cosign signature, what `cosign sign-blob` and `attest-blob` write, provenance of Google Cloud Build, an in-toto \
         statement, an SBOM"
    )]
    Unknown { what: String },
}

/// Reads a file: one JSON document, or one on each line.
pub fn pieces(bytes: &[u8]) -> Result<Vec<Piece>, EvidenceFileError> {
    if bytes.len() > EVIDENCE_BYTES_MAX {
        return Err(EvidenceFileError::TooLarge);
    }
    let mut found = Vec::new();
    if let Ok(whole) = serde_json::from_slice::<&RawValue>(bytes) {
        read_document(whole, 0, &mut found)?;
        return Ok(found);
    }
    if let Some(signature) = blob::signature(bytes) {
        add(&mut found, BLOB_SIGNATURE, signature.as_bytes(), BTreeMap::new())?;
        return Ok(found);
    }
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let document: &RawValue = serde_json::from_slice(line)
            .map_err(|error| EvidenceFileError::NotJson { line: number + 1, reason: error.to_string() })?;
        read_document(document, 0, &mut found)?;
    }
    match found.is_empty() {
        true => Err(EvidenceFileError::Unknown { what: "an empty file".to_owned() }),
        false => Ok(found),
    }
}

/// The keys by which the forms differ. All else is the verifier's to read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Outline<'a> {
    #[serde(rename = "mediaType")]
    media_type: Option<String>,
    #[serde(borrow, rename = "verificationMaterial")]
    material: Option<&'a RawValue>,
    #[serde(borrow)]
    verification_material: Option<&'a RawValue>,
    #[serde(borrow)]
    envelope: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    signatures: Option<&'a RawValue>,
    #[serde(borrow)]
    attestations: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    attestation_bundles: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    bundle: Option<&'a RawValue>,
    #[serde(rename = "_type")]
    statement_type: Option<String>,
    #[serde(rename = "bomFormat")]
    bom_format: Option<String>,
    #[serde(rename = "spdxVersion")]
    spdx_version: Option<String>,
    #[serde(borrow)]
    provenance_summary: Option<&'a RawValue>,
    #[serde(rename = "Base64Signature")]
    signature: Option<String>,
    #[serde(rename = "Payload")]
    signed_payload: Option<String>,
    #[serde(rename = "base64Signature")]
    blob_signature: Option<String>,
}

fn read_document(document: &RawValue, level: usize, found: &mut Vec<Piece>) -> Result<(), EvidenceFileError> {
    let text = document.get();
    let unknown = |what: &str| EvidenceFileError::Unknown { what: what.to_owned() };
    if level > WRAPPED_LEVELS_MAX {
        return Err(unknown("a document inside too many others"));
    }
    let outline: Outline<'_> =
        serde_json::from_str(text).map_err(|_| unknown("a document of another form"))?;
    if outline.provenance_summary.is_some() {
        let builds = split_cloud_build(text.as_bytes());
        for build in builds.map_err(|refused| unknown(&refused.found))? {
            add(found, CLOUD_BUILD, &build, BTreeMap::new())?;
        }
        return Ok(());
    }
    if outline.material.is_some() {
        // A bundle states its version itself; what it states wrongly the verifier refuses.
        let stated =
            outline.media_type.filter(|stated| stated.starts_with("application/vnd.dev.sigstore.bundle"));
        return add(found, stated.as_deref().unwrap_or(BUNDLE), text.as_bytes(), BTreeMap::new());
    }
    let nested = outline.attestations.into_iter().chain(outline.attestation_bundles).flatten();
    let nested: Vec<&RawValue> = nested.chain(outline.bundle).collect();
    if !nested.is_empty() {
        for inner in nested {
            read_document(inner, level + 1, found)?;
        }
        return Ok(());
    }
    if outline.verification_material.is_some() && outline.envelope.is_some() {
        return add(found, PYTHON, text.as_bytes(), BTreeMap::new());
    }
    if outline.payload.is_some() && outline.signatures.is_some() {
        return add(found, ENVELOPE, text.as_bytes(), BTreeMap::new());
    }
    if let (Some(signature), Some(payload)) = (outline.signature, outline.signed_payload) {
        return add_downloaded(found, text, signature, &payload);
    }
    if let Some(signature) = outline.blob_signature {
        let read = blob::read(text, signature).map_err(unknown)?;
        return add(found, read.media_type, &read.bytes, read.annotations);
    }
    let media_type = match (&outline.statement_type, &outline.bom_format, &outline.spdx_version) {
        (Some(_), _, _) => STATEMENT,
        (_, Some(_), _) => CYCLONEDX,
        (_, _, Some(_)) => SPDX,
        (None, None, None) => return Err(unknown("a document")),
    };
    add(found, media_type, text.as_bytes(), BTreeMap::new())
}

/// What `cosign download signature` prints: the parts of a signature's layer and annotations.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Downloaded<'a> {
    #[serde(default)]
    cert: Option<DownloadedCertificate>,
    #[serde(default)]
    chain: Option<Vec<DownloadedCertificate>>,
    #[serde(borrow, default)]
    bundle: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "RFC3161Timestamp")]
    timestamp: Option<&'a RawValue>,
}

/// Go prints a certificate with its DER as base64.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DownloadedCertificate {
    raw: String,
}

impl DownloadedCertificate {
    fn pem(&self) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", self.raw)
    }
}

fn add_downloaded(
    found: &mut Vec<Piece>,
    text: &str,
    signature: String,
    payload: &str,
) -> Result<(), EvidenceFileError> {
    use base64::Engine as _;
    let malformed =
        |_| EvidenceFileError::Unknown { what: "a downloaded cosign signature of another form".to_owned() };
    let parts: Downloaded<'_> = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
    let payload = base64::engine::general_purpose::STANDARD
        .decode(payload)
        .map_err(|error| malformed(error.to_string()))?;
    let mut annotations = BTreeMap::from([("dev.cosignproject.cosign/signature".to_owned(), signature)]);
    let mut annotate =
        |key: &str, value: String| annotations.insert(format!("dev.sigstore.cosign/{key}"), value);
    if let Some(certificate) = &parts.cert {
        annotate("certificate", certificate.pem());
    }
    let chain: String = parts.chain.iter().flatten().map(DownloadedCertificate::pem).collect();
    if !chain.is_empty() {
        annotate("chain", chain);
    }
    if let Some(bundle) = parts.bundle {
        annotate("bundle", bundle.get().to_owned());
    }
    if let Some(timestamp) = parts.timestamp {
        annotate("rfc3161timestamp", timestamp.get().to_owned());
    }
    add(found, SIMPLE_SIGNING, &payload, annotations)
}

fn add(
    found: &mut Vec<Piece>,
    media_type: &str,
    bytes: &[u8],
    annotations: BTreeMap<String, String>,
) -> Result<(), EvidenceFileError> {
    if found.len() >= PIECES_MAX {
        return Err(EvidenceFileError::TooMany);
    }
    let blob = BlobRef::stored(Digest::sha256_of(bytes), bytes.len() as u64);
    let item = EvidenceItem { media_type: media_type.to_owned(), blob, annotations };
    found.push((item, Bytes::copy_from_slice(bytes)));
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn media_types(text: &str) -> Result<Vec<String>, EvidenceFileError> {
        Ok(pieces(text.as_bytes())?.into_iter().map(|(item, _)| item.media_type).collect())
    }

    #[test]
    fn each_form_is_told_by_what_is_inside() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(media_types(text).unwrap(), expected, "{text}");
        };
        let bundle = r#"{"mediaType":"application/vnd.dev.sigstore.bundle+json;version=0.1","verificationMaterial":{}}"#;
        check(bundle, &["application/vnd.dev.sigstore.bundle+json;version=0.1"]);
        check(r#"{"mediaType":"x","verificationMaterial":{}}"#, &[BUNDLE]);
        // A signature may begin with any byte.
        let signed = |bytes: &[u8]| format!(r#"{{"base64Signature":"{}"}}"#, STANDARD.encode(bytes));
        check(&signed(br#"{"payload":"e30=","payloadType":"t","signatures":[]}"#), &[ENVELOPE]);
        check(&signed(&[b"{".as_slice(), &[7; 63]].concat()), &[BLOB_SIGNATURE]);
        check(r#"{"payload":"e30=","payloadType":"t","signatures":[]}"#, &[ENVELOPE]);
        let python = r#"{"version":1,"verification_material":{},"envelope":{}}"#;
        check(python, &[PYTHON]);
        check(
            &format!(r#"{{"version":1,"attestation_bundles":[{{"attestations":[{python}]}}]}}"#),
            &[PYTHON],
        );
        check(
            &format!(r#"{{"attestations":[{{"predicateType":"p","bundle":{bundle}}}]}}"#),
            &["application/vnd.dev.sigstore.bundle+json;version=0.1"],
        );
        check(r#"{"_type":"https://in-toto.io/Statement/v1"}"#, &[STATEMENT]);
        check(r#"{"provenance_summary":{"provenance":[{},{}]}}"#, &[CLOUD_BUILD, CLOUD_BUILD]);
        check(r#"{"bomFormat":"CycloneDX"}"#, &[CYCLONEDX]);
        check(r#"{"spdxVersion":"SPDX-2.3"}"#, &[SPDX]);
        check(r#"{"Base64Signature":"AAAA","Payload":"e30="}"#, &[SIMPLE_SIGNING]);
        let signature = STANDARD.encode([7; 70]);
        check(&format!("{signature}\n"), &[BLOB_SIGNATURE]);
        check(
            &format!(r#"{{"base64Signature":"{signature}","cert":"","rekorBundle":null}}"#),
            &[BLOB_SIGNATURE],
        );
        let envelope = STANDARD.encode(r#"{"payload":"e30=","payloadType":"t","signatures":[]}"#);
        check(&format!(r#"{{"base64Signature":"{envelope}"}}"#), &[ENVELOPE]);
        let lines = "{\"payload\":\"\",\"signatures\":[]}\n\n{\"_type\":\"x\"}\n";
        check(lines, &[ENVELOPE, STATEMENT]);
    }

    #[test]
    fn what_is_no_evidence_is_refused_by_name() {
        for text in [
            "",
            "\n",
            r#"{"provenance_summary":{}}"#,
            "{}",
            "[]",
            "7",
            r#"{"payload":"x"}"#,
            r#"{"base64Signature":"!"}"#,
            r#"{"base64Signature":"AAAA","cert":"no certificate"}"#,
            r#"{"base64Signature":"AAAA","cert":7}"#,
            r#"{"attestations":[7]}"#,
        ] {
            assert!(matches!(media_types(text), Err(EvidenceFileError::Unknown { .. })), "{text:?}");
        }
        let broken = media_types("{\"_type\":\"x\"}\nnot json");
        assert!(matches!(broken, Err(EvidenceFileError::NotJson { line: 2, .. })), "{broken:?}");
        let many = r#"{"_type":"x"}"#.to_owned() + "\n";
        assert_eq!(media_types(&many.repeat(PIECES_MAX + 1)), Err(EvidenceFileError::TooMany));
        let wrapped = |levels: usize| {
            format!("{}{{\"_type\":\"x\"}}{}", "{\"attestations\":[".repeat(levels), "]}".repeat(levels))
        };
        assert_eq!(media_types(&wrapped(WRAPPED_LEVELS_MAX)).unwrap(), [STATEMENT]);
        assert!(media_types(&wrapped(WRAPPED_LEVELS_MAX + 1)).is_err());
        assert!(media_types(&wrapped(10_000)).is_err());
    }
}
