//! OCI image layouts on disk, as cosign saves them: the attestations and signatures attached to an image.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::fixtures::json;

/// One layer of a manifest of cosign's older formats.
pub(crate) struct Layer {
    pub(crate) media_type: String,
    pub(crate) document: Value,
    pub(crate) bytes: Vec<u8>,
    pub(crate) annotations: BTreeMap<String, String>,
}

/// The layers of every manifest that the layout's index marks as attestations or signatures.
pub(crate) fn attached(layout: &Path) -> Vec<Layer> {
    let index = json(&layout.join("index.json"));
    let marked = index["manifests"].as_array().unwrap().iter().filter(|manifest| {
        matches!(
            manifest["annotations"]["kind"].as_str(),
            Some("dev.cosignproject.cosign/atts" | "dev.cosignproject.cosign/sigs")
        )
    });
    let manifests = marked.map(|manifest| json(&blob(layout, &manifest["digest"])));
    let layers = manifests.flat_map(|manifest| manifest["layers"].as_array().unwrap().clone());
    layers
        .map(|layer| Layer {
            media_type: layer["mediaType"].as_str().unwrap().to_owned(),
            document: json(&blob(layout, &layer["digest"])),
            bytes: std::fs::read(blob(layout, &layer["digest"])).unwrap(),
            annotations: serde_json::from_value(layer["annotations"].clone()).unwrap_or_default(),
        })
        .collect()
}

/// A JSON blob: its file is named by the digest, with an ending or without.
fn blob(layout: &Path, digest: &Value) -> PathBuf {
    let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
    let (plain, named) = (layout.join("blobs/sha256").join(hex), format!("{hex}.json"));
    if plain.is_file() { plain } else { plain.with_file_name(named) }
}
