//! SLSA provenance v0.1 (slsa.dev/provenance/v0.1): `builder`, `recipe` and `materials`.

use serde::Deserialize;
use serde_json::Value;

use crate::provenance::draft::{Draft, commit_in};
use crate::provenance::github;
use crate::provenance::v0_2::{Builder, Material, take_materials};

pub(super) fn read(predicate: &str) -> Result<Draft, serde_json::Error> {
    let wire: Wire = serde_json::from_str(predicate)?;
    let recipe = wire.recipe.unwrap_or_default();
    let mut draft = Draft {
        builder_id: wire.builder.id,
        build_type: recipe.kind.unwrap_or_default(),
        ..Draft::default()
    };
    let materials = wire.materials.unwrap_or_default();
    let defining = recipe.defined_in_material.and_then(|index| materials.get(index));
    if let Some(Material { uri: Some(uri), digest }) = defining {
        draft.take_source(uri, digest.as_ref().and_then(commit_in));
    }
    take_materials(&mut draft, &materials);
    github::take_environment(&mut draft, &recipe.environment.unwrap_or_default());
    if let Some(entry_point) = &recipe.entry_point {
        draft.take_workflow_path(entry_point);
    }
    Ok(draft)
}

#[derive(Deserialize)]
struct Wire {
    builder: Builder,
    recipe: Option<Recipe>,
    materials: Option<Vec<Material>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recipe {
    #[serde(rename = "type")]
    kind: Option<String>,
    defined_in_material: Option<usize>,
    entry_point: Option<String>,
    environment: Option<Value>,
}
