//! SLSA provenance v0.2 (slsa.dev/provenance/v0.2): `builder`, `invocation` and `materials`.

use serde::Deserialize;
use serde_json::Value;

use crate::provenance::draft::{Draft, commit_in, fill};
use crate::provenance::github;

pub(super) fn read(predicate: &str) -> Result<Draft, serde_json::Error> {
    let wire: Wire = serde_json::from_str(predicate)?;
    let mut draft = Draft {
        builder_id: wire.builder.id,
        build_type: wire.build_type.unwrap_or_default(),
        ..Draft::default()
    };
    let invocation = wire.invocation.unwrap_or_default();
    let config_source = invocation.config_source.unwrap_or_default();
    if let Some(uri) = &config_source.uri {
        draft.take_source(uri, config_source.digest.as_ref().and_then(commit_in));
    }
    draft.inputs.take_parameters("", &invocation.parameters.unwrap_or_default());
    github::take_environment(&mut draft, &invocation.environment.unwrap_or_default());
    take_materials(&mut draft, &wire.materials.unwrap_or_default());
    if let Some(entry_point) = &config_source.entry_point {
        draft.take_workflow_path(entry_point);
    }
    take_metadata(&mut draft, wire.metadata);
    Ok(draft)
}

/// The run and the times, which versions 0.1 and 0.2 write alike.
pub(super) fn take_metadata(draft: &mut Draft, metadata: Option<Metadata>) {
    let Some(metadata) = metadata else {
        return;
    };
    if let Some(id) = metadata.build_invocation_id.or(metadata.build_invocation_id_old) {
        fill(&mut draft.run, github::run_in_invocation(&id));
    }
    draft.started_at = metadata.build_started_on;
    draft.finished_at = metadata.build_finished_on;
}

/// Keeps the materials, and takes the one that is the source.
pub(super) fn take_materials(draft: &mut Draft, materials: &[Material]) {
    let named = materials.iter().filter_map(|one| Some((one.uri.as_deref()?, one.digest.as_ref())));
    draft.take_inputs(named);
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    builder: Builder,
    build_type: Option<String>,
    invocation: Option<Invocation>,
    metadata: Option<Metadata>,
    materials: Option<Vec<Material>>,
}

#[derive(Deserialize)]
pub(super) struct Builder {
    #[serde(default)]
    pub(super) id: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    config_source: Option<ConfigSource>,
    parameters: Option<Value>,
    environment: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigSource {
    uri: Option<String>,
    digest: Option<Value>,
    entry_point: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Metadata {
    /// The specification's spelling.
    #[serde(rename = "buildInvocationId")]
    build_invocation_id: Option<String>,
    /// The spelling of Go's in-toto library.
    #[serde(rename = "buildInvocationID")]
    build_invocation_id_old: Option<String>,
    #[serde(rename = "buildStartedOn")]
    build_started_on: Option<String>,
    #[serde(rename = "buildFinishedOn")]
    build_finished_on: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Material {
    pub(super) uri: Option<String>,
    pub(super) digest: Option<Value>,
}
