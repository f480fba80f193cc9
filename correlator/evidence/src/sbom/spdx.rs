//! SPDX 2.2 and 2.3 in JSON and tag-value form (spdx.github.io/spdx-spec), SPDX 3.0 in JSON-LD. Packages are counted.

use correlator_core::facts::SbomFacts;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::sbom::SbomError;

const FORMAT: &str = "SPDX";
/// The package of SPDX 3.0 and its subclasses in the model.
const PACKAGES3: [&str; 3] = ["software_Package", "ai_AIPackage", "dataset_DatasetPackage"];

pub(super) fn read_v2(text: &str) -> Result<SbomFacts, SbomError> {
    let document: Document2 = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
    let Some(version) = document.spdx_version.strip_prefix("SPDX-") else {
        return Err(malformed(format!("version {:?}", document.spdx_version)));
    };
    let packages = document.packages.map_or(0, |packages| packages.len());
    Ok(SbomFacts { format: format!("{FORMAT} {version}"), components: packages as u64 })
}

/// `None` where the text is not in tag-value form.
pub(super) fn read_tag_value(text: &str) -> Option<SbomFacts> {
    let value = |line: &str, tag: &str| -> Option<String> {
        Some(line.strip_prefix(tag)?.strip_prefix(':')?.trim().to_owned())
    };
    let mut version = None;
    let mut packages = 0;
    for line in text.lines() {
        if let Some(found) = value(line, "SPDXVersion") {
            version = Some(found);
        } else if value(line, "PackageName").is_some() {
            packages += 1;
        } else if version.is_none() && line.starts_with(['{', '[', '"']) {
            return None;
        }
    }
    let version = version?.strip_prefix("SPDX-")?.to_owned();
    Some(SbomFacts { format: format!("{FORMAT} {version}"), components: packages })
}

pub(super) fn is_v3_context(context: &Value) -> bool {
    let is_v3 =
        |value: &Value| value.as_str().is_some_and(|text| text.starts_with("https://spdx.org/rdf/3."));
    match context {
        Value::Array(contexts) => contexts.iter().any(is_v3),
        other => is_v3(other),
    }
}

pub(super) fn read_v3(text: &str) -> Result<SbomFacts, SbomError> {
    let document: Document3 = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
    let names_package = |kind: &Value| kind.as_str().is_some_and(|kind| PACKAGES3.contains(&kind));
    let is_package = |element: &&Element| match &element.kind {
        Some(Value::Array(kinds)) => kinds.iter().any(names_package),
        Some(kind) => names_package(kind),
        None => false,
    };
    let packages = document.graph.iter().filter(is_package).count();
    let creation = document.graph.iter().find_map(|element| element.spec_version.clone());
    let version = creation.unwrap_or_else(|| "3.0".to_owned());
    Ok(SbomFacts { format: format!("{FORMAT} {version}"), components: packages as u64 })
}

fn malformed(why: String) -> SbomError {
    SbomError::Malformed { format: FORMAT, why }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document2 {
    spdx_version: String,
    packages: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
struct Document3 {
    #[serde(rename = "@graph")]
    graph: Vec<Element>,
}

#[derive(Deserialize)]
struct Element {
    #[serde(rename = "type", alias = "@type")]
    kind: Option<Value>,
    #[serde(rename = "specVersion")]
    spec_version: Option<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde_json::json;

    use super::*;

    #[test]
    fn models_and_datasets_count_as_the_packages_that_they_are() {
        let document = json!({
            "@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld",
            "@graph": [
                { "type": "CreationInfo", "specVersion": "3.0.1" },
                { "type": "ai_AIPackage", "name": "a model" },
                { "type": ["dataset_DatasetPackage"], "name": "what it learned from" },
                { "type": "software_Package", "name": "a runtime" },
                { "type": "software_File", "name": "weights" },
                { "type": "ai_EnergyConsumption" },
            ],
        });
        let facts = read_v3(&document.to_string()).unwrap();
        assert_eq!((facts.format.as_str(), facts.components), ("SPDX 3.0.1", 3));
    }
}
