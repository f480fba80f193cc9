//! SLSA provenance v0.1 (slsa.dev/provenance/v0.1): `builder`, `recipe` and `materials`.

use serde::Deserialize;
use serde_json::Value;

use crate::provenance::draft::{Draft, commit_in, text_at};
use crate::provenance::github;
use crate::provenance::v0_2::{Builder, Material, Metadata, take_materials, take_metadata};

pub(super) fn read(predicate: &str) -> Result<Draft, serde_json::Error> {
    let wire: Wire = serde_json::from_str(predicate)?;
    let recipe = wire.recipe.unwrap_or_default();
    let mut draft = Draft {
        builder_id: wire.builder.id,
        build_type: recipe.kind.unwrap_or_default(),
        ..Draft::default()
    };
    let materials = wire.materials.unwrap_or_default();
    let defined_in = recipe.defined_in_material.as_ref().and_then(Value::as_u64);
    let defining = defined_in.and_then(|index| materials.get(usize::try_from(index).ok()?));
    if let Some(Material { uri: Some(uri), digest }) = defining {
        draft.take_source(uri, digest.as_ref().and_then(commit_in));
    }
    take_materials(&mut draft, &materials);
    let arguments = recipe.arguments.unwrap_or_default();
    draft.inputs.take_parameters("", &arguments);
    draft.tag = text_at(&arguments, &["substitutions", "TAG_NAME"]);
    github::take_environment(&mut draft, &recipe.environment.unwrap_or_default());
    if let Some(entry_point) = &recipe.entry_point {
        draft.take_workflow_path(entry_point);
    }
    take_metadata(&mut draft, wire.metadata);
    Ok(draft)
}

#[derive(Deserialize)]
struct Wire {
    builder: Builder,
    recipe: Option<Recipe>,
    metadata: Option<Metadata>,
    materials: Option<Vec<Material>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recipe {
    #[serde(rename = "type")]
    kind: Option<String>,
    /// An index; Google Cloud Build writes a text.
    defined_in_material: Option<Value>,
    entry_point: Option<String>,
    arguments: Option<Value>,
    environment: Option<Value>,
}
