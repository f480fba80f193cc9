//! CycloneDX in JSON (cyclonedx.org/docs). Components nest; the one that the document is about is not counted.

use correlator_core::facts::SbomFacts;
use serde::Deserialize;

use crate::sbom::SbomError;

const FORMAT: &str = "CycloneDX";

pub(super) fn read(text: &str) -> Result<SbomFacts, SbomError> {
    let malformed = |why: String| SbomError::Malformed { format: FORMAT, why };
    let document: Document = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
    let version = document.spec_version;
    let known =
        version.strip_prefix("1.").and_then(|minor| minor.parse::<u8>().ok()).is_some_and(|minor| minor >= 2);
    if !known {
        return Err(malformed(format!("specification version {version:?}")));
    }
    Ok(SbomFacts { format: format!("{FORMAT} {version}"), components: count(document.components.as_deref()) })
}

fn count(components: Option<&[Component]>) -> u64 {
    // Depth is bounded by the reader of JSON.
    components.unwrap_or_default().iter().map(|component| 1 + count(component.components.as_deref())).sum()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    spec_version: String,
    components: Option<Vec<Component>>,
}

#[derive(Deserialize)]
struct Component {
    components: Option<Vec<Component>>,
}
