//! SLSA provenance v1 (slsa.dev/spec/v1.0/provenance): `buildDefinition` and `runDetails`.

use serde::Deserialize;
use serde_json::Value;

use crate::provenance::draft::{Draft, commit_in, fill, text_at};
use crate::provenance::github;

pub(super) fn read(predicate: &str) -> Result<Draft, serde_json::Error> {
    let wire: Wire = serde_json::from_str(predicate)?;
    let definition = wire.build_definition;
    let mut draft = Draft {
        builder_id: wire.run_details.builder.id,
        build_type: definition.build_type,
        ..Draft::default()
    };
    let external = definition.external_parameters.unwrap_or_default();
    let internal = definition.internal_parameters.unwrap_or_default();
    let dependencies = definition.resolved_dependencies.unwrap_or_default();

    draft.inputs.take_parameters("", &external);
    take_workflow(&mut draft, &external);
    take_source_parameters(&mut draft, &external);
    github::take_environment(&mut draft, &internal);
    let github = internal.get("github").unwrap_or(&Value::Null);
    github::take_ids(
        &mut draft,
        text_at(github, &["repository_id"]),
        text_at(github, &["repository_owner_id"]),
    );
    fill(&mut draft.trigger, text_at(github, &["event_name"]));
    draft.take_inputs(dependencies.iter().filter_map(|one| Some((one.uri.as_deref()?, one.digest.as_ref()))));
    draft.tag = text_at(&internal, &["systemSubstitutions", "TAG_NAME"]);
    if let Some(metadata) = wire.run_details.metadata {
        fill(&mut draft.run, metadata.invocation_id.as_deref().and_then(github::run_in_url));
        draft.started_at = metadata.started_on;
        draft.finished_at = metadata.finished_on;
    }
    Ok(draft)
}

/// GitHub's own build type: `externalParameters.workflow` names repository, path and ref.
fn take_workflow(draft: &mut Draft, external: &Value) {
    let Some(repository) = text_at(external, &["workflow", "repository"]) else {
        return;
    };
    draft.take_source(&repository, None);
    let git_ref = text_at(external, &["workflow", "ref"]).and_then(|text| text.parse().ok());
    fill(&mut draft.git_ref, git_ref);
    if let Some(path) = text_at(external, &["workflow", "path"]) {
        draft.take_workflow_path(&path);
    }
}

/// The other build types' words for the source: container-based builds, Cloud Build, BuildKit.
fn take_source_parameters(draft: &mut Draft, external: &Value) {
    for key in ["source", "configSource", "sourceToBuild", "buildConfigSource"] {
        let Some(source) = external.get(key) else {
            continue;
        };
        let uri = match source {
            Value::String(uri) => Some(uri.clone()),
            _ => text_at(source, &["uri"]).or_else(|| text_at(source, &["repository"])),
        };
        if let Some(uri) = uri {
            draft.take_source(&uri, source.get("digest").and_then(commit_in));
            fill(&mut draft.git_ref, text_at(source, &["ref"]).and_then(|text| text.parse().ok()));
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    build_definition: BuildDefinition,
    run_details: RunDetails,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition {
    build_type: String,
    external_parameters: Option<Value>,
    internal_parameters: Option<Value>,
    resolved_dependencies: Option<Vec<Dependency>>,
}

#[derive(Deserialize)]
struct Dependency {
    uri: Option<String>,
    digest: Option<Value>,
}

#[derive(Deserialize)]
struct RunDetails {
    builder: Builder,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Builder {
    #[serde(default)]
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    /// Go's in-toto library writes `invocationID`.
    #[serde(alias = "invocationID")]
    invocation_id: Option<String>,
    started_on: Option<String>,
    finished_on: Option<String>,
}
