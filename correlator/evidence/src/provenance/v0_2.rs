//! SLSA provenance v0.2 (slsa.dev/provenance/v0.2): `builder`, `invocation` and `materials`.

use serde::Deserialize;
use serde_json::Value;

use crate::provenance::draft::{Draft, commit_in, fill};
use crate::provenance::github;
use crate::provenance::source::Source;

/// How many materials are looked at for the source.
const MATERIALS_MAX: usize = 1000;

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
    github::take_environment(&mut draft, &invocation.environment.unwrap_or_default());
    take_materials(&mut draft, &wire.materials.unwrap_or_default());
    if let Some(entry_point) = &config_source.entry_point {
        draft.take_workflow_path(entry_point);
    }
    if let Some(id) =
        wire.metadata.and_then(|metadata| metadata.build_invocation_id.or(metadata.build_invocation_id_old))
    {
        fill(&mut draft.run, github::run_in_invocation(&id));
    }
    Ok(draft)
}

/// The material that is the source: the one of the repository that is known already, else the first from git.
pub(super) fn take_materials(draft: &mut Draft, materials: &[Material]) {
    for material in materials.iter().take(MATERIALS_MAX) {
        let Some(uri) = &material.uri else {
            continue;
        };
        let Some(repository) = Source::parse(uri).repository else {
            continue;
        };
        let commit = material.digest.as_ref().and_then(commit_in);
        let is_git = uri.starts_with("git+") || commit.is_some();
        if is_git && draft.repository.as_ref().is_none_or(|known| known.is_same(&repository)) {
            draft.take_source(uri, commit);
            return;
        }
    }
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
struct Metadata {
    /// The specification's spelling.
    #[serde(rename = "buildInvocationId")]
    build_invocation_id: Option<String>,
    /// The spelling of Go's in-toto library.
    #[serde(rename = "buildInvocationID")]
    build_invocation_id_old: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Material {
    pub(super) uri: Option<String>,
    pub(super) digest: Option<Value>,
}
