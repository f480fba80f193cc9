//! SBOMs: CycloneDX 1.2 to 1.7, SPDX 2.2, 2.3 and 3.0 in JSON, and SPDX 2 in tag-value form. Only what judging needs.

mod cyclonedx;
mod spdx;

use correlator_core::facts::SbomFacts;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::strict_json;

/// Why a document is no SBOM that this version reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SbomError {
    #[error("not JSON: {0}")]
    NotJson(String),
    #[error("neither CycloneDX nor SPDX")]
    UnknownFormat,
    #[error("not {format}: {why}")]
    Malformed { format: &'static str, why: String },
}

/// Media types under which registries hold SBOMs without a signature, parameters cut off, in lower case.
pub(crate) fn is_media_type(media_type: &str) -> bool {
    matches!(
        media_type,
        "application/vnd.cyclonedx"
            | "application/vnd.cyclonedx+json"
            | "application/vnd.cyclonedx+xml"
            | "application/spdx+json"
            | "application/vnd.syft+json"
            | "text/spdx"
            | "text/spdx+json"
            | "text/spdx+xml"
            | "text/vnd.cyclonedx+xml"
    )
}

/// Reads an SBOM document.
pub fn read(bytes: &[u8]) -> Result<SbomFacts, SbomError> {
    if let Some(facts) = std::str::from_utf8(bytes).ok().and_then(spdx::read_tag_value) {
        return Ok(facts);
    }
    strict_json::check(bytes).map_err(|error| SbomError::NotJson(error.to_string()))?;
    let text = std::str::from_utf8(bytes).map_err(|error| SbomError::NotJson(error.to_string()))?;
    read_json(text)
}

/// Reads the predicate of an SBOM attestation: the document, the document as a string, or cosign's wrapper around it.
pub(crate) fn read_predicate(text: &str) -> Result<SbomFacts, SbomError> {
    let not_json = |error: serde_json::Error| SbomError::NotJson(error.to_string());
    if !text.starts_with('"') {
        let wrapper: Wrapper<'_> = serde_json::from_str(text).map_err(not_json)?;
        return read_document(wrapper.data.map_or(text, RawValue::get));
    }
    read_document(text)
}

/// A document in JSON, or a string with one in any form.
fn read_document(text: &str) -> Result<SbomFacts, SbomError> {
    if text.starts_with('"') {
        let document: String =
            serde_json::from_str(text).map_err(|error| SbomError::NotJson(error.to_string()))?;
        return read(document.as_bytes());
    }
    read_json(text)
}

fn read_json(text: &str) -> Result<SbomFacts, SbomError> {
    let marks: Marks = serde_json::from_str(text).map_err(|error| SbomError::NotJson(error.to_string()))?;
    if marks.bom_format.as_deref() == Some("CycloneDX") {
        cyclonedx::read(text)
    } else if marks.spdx_version.is_some() {
        spdx::read_v2(text)
    } else if marks.context.is_some_and(|context| spdx::is_v3_context(&context)) {
        spdx::read_v3(text)
    } else {
        Err(SbomError::UnknownFormat)
    }
}

/// What older versions of cosign put around a document.
#[derive(serde::Deserialize)]
struct Wrapper<'a> {
    #[serde(rename = "Data", borrow)]
    data: Option<&'a RawValue>,
}

/// What tells the formats apart.
#[derive(serde::Deserialize)]
struct Marks {
    #[serde(rename = "bomFormat")]
    bom_format: Option<String>,
    #[serde(rename = "spdxVersion")]
    spdx_version: Option<String>,
    #[serde(rename = "@context")]
    context: Option<Value>,
}
