//! Provenance of BuildKit and of Tekton Chains, as they write it, brought to one form.

use bus_schema::Digest;
use correlator_core::facts::{Outcome, PredicateKind, Provenance, RefusalReason};
use serde_json::{Value, json};

use crate::testing::{BUNDLE, Key, refused, statement, verified, verify_bytes};

const V0_2: &str = "https://slsa.dev/provenance/v0.2";
const V1: &str = "https://slsa.dev/provenance/v1";
const COMMIT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn read(predicate_type: &str, predicate: Value) -> Provenance {
    let key = Key::generate();
    let bundle = key.bundle(&statement(predicate_type, predicate)).to_string();
    match verified(verify_bytes(BUNDLE, bundle.as_bytes(), &key.trust())).predicate {
        correlator_core::facts::Predicate::Provenance(read) => *read,
        other => panic!("{other:?}"),
    }
}

/// What all of them are built from.
#[track_caller]
fn assert_source(read: &Provenance) {
    assert_eq!(read.repository.as_ref().map(|found| found.path()).as_deref(), Some("github.com/acme/api"));
    assert_eq!(read.commit.as_ref().map(|found| found.as_str()), Some(COMMIT));
    assert_eq!(read.started_at.map(|time| time.to_string()).as_deref(), Some("2026-01-02T03:04:05.123Z"));
    assert_eq!(read.finished_at.map(|time| time.to_string()).as_deref(), Some("2026-01-02T03:05:06Z"));
    assert_eq!(read.left_out, 0);
}

fn base_image() -> Value {
    json!({
        "uri": "pkg:docker/alpine@3.22?platform=linux%2Famd64",
        "digest": { "sha256": Digest::sha256_of(b"alpine").hex() },
    })
}

/// A file that a build fetched: its address looks like a repository's, and its digest could be a commit's.
fn fetched_file() -> Value {
    json!({ "uri": "https://example.com/files/tool", "digest": { "sha256": Digest::sha256_of(b"tool").hex() } })
}

fn buildkit_source() -> Value {
    json!({ "uri": "https://github.com/acme/api.git#refs/tags/v1.2.3", "digest": { "sha1": COMMIT } })
}

fn buildkit_v0_2(builder: &str) -> Value {
    let mut config = buildkit_source();
    config["entryPoint"] = json!("Dockerfile");
    json!({
        "builder": { "id": builder },
        "buildType": "https://mobyproject.org/buildkit@v1",
        "materials": [base_image(), fetched_file(), buildkit_source()],
        "invocation": {
            "configSource": config,
            "parameters": { "frontend": "dockerfile.v0", "args": { "build-arg:VERSION": "1.2.3" } },
            "environment": { "platform": "linux/amd64" },
        },
        "metadata": {
            "buildInvocationID": "ylq8zmhr3xz1d5gnhv8qzhd7g",
            "buildStartedOn": "2026-01-02T03:04:05.123Z",
            "buildFinishedOn": "2026-01-02T03:05:06Z",
        },
    })
}

#[test]
fn buildkit_of_version_0_2_is_read() {
    let found = read(V0_2, buildkit_v0_2("https://github.com/acme/api/actions/runs/7/attempts/2"));
    assert_source(&found);
    assert_eq!(found.build_type, "https://mobyproject.org/buildkit@v1");
    assert_eq!(found.git_ref.as_ref().map(|found| found.as_str()), Some("refs/tags/v1.2.3"));
    assert_eq!(found.tag.as_deref(), Some("v1.2.3"));
    assert_eq!(found.parameters["/args/build-arg:VERSION"], "1.2.3");
    assert_eq!((found.materials.len(), found.slsa_level), (3, 1));
    assert_eq!(found.run.map(|run| (run.id, run.attempt)), Some((7, 2)));
    assert_eq!(found.workflow, None);
    // A build on somebody's machine names no builder.
    assert_eq!(read(V0_2, buildkit_v0_2("")).slsa_level, 0);
}

#[test]
fn a_fetched_file_is_no_source() {
    let mut predicate = buildkit_v0_2("");
    predicate["materials"] = json!([base_image(), fetched_file()]);
    predicate["invocation"]["configSource"] = json!({ "entryPoint": "Dockerfile" });
    let found = read(V0_2, predicate);
    assert_eq!((found.repository, found.commit, found.materials.len()), (None, None, 2));
}

#[test]
fn buildkit_of_version_1_is_read() {
    let mut config = buildkit_source();
    config["path"] = json!("Dockerfile");
    let found = read(
        V1,
        json!({
            "buildDefinition": {
                "buildType":
                    "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md",
                "externalParameters": {
                    "configSource": config,
                    "request": { "frontend": "dockerfile.v0", "args": { "target": "release" } },
                },
                "internalParameters": { "builderPlatform": "linux/amd64" },
                "resolvedDependencies": [base_image(), fetched_file(), buildkit_source()],
            },
            "runDetails": {
                "builder": { "id": "https://github.com/acme/api/actions/runs/7/attempts/2" },
                "metadata": {
                    "invocationID": "ylq8zmhr3xz1d5gnhv8qzhd7g",
                    "startedOn": "2026-01-02T03:04:05.123Z",
                    "finishedOn": "2026-01-02T03:05:06Z",
                },
            },
        }),
    );
    assert_source(&found);
    assert_eq!(found.tag.as_deref(), Some("v1.2.3"));
    assert_eq!(found.parameters["/request/args/target"], "release");
    assert_eq!((found.materials.len(), found.slsa_level), (3, 1));
    assert_eq!(found.run.map(|run| (run.id, run.attempt)), Some((7, 2)));
}

#[test]
fn statements_that_buildkit_attaches_without_a_signature_are_claims() {
    let said = statement(V0_2, buildkit_v0_2("")).to_string();
    let outcome: Outcome =
        verify_bytes("application/vnd.in-toto+json", said.as_bytes(), &Key::generate().trust());
    let found = refused(outcome);
    assert_eq!((found.reason, found.claims), (RefusalReason::Unsigned, Some(PredicateKind::Provenance)));
    assert!(found.found.contains(V0_2), "{found:?}");
}

fn tekton_inputs() -> Value {
    json!([
        { "uri": "oci://registry.example/tasks/git-clone", "digest": { "sha256": Digest::sha256_of(b"task").hex() } },
        { "uri": "git+https://github.com/acme/api.git", "digest": { "sha1": COMMIT } },
    ])
}

#[test]
fn tekton_chains_of_version_0_2_is_read() {
    let found = read(
        V0_2,
        json!({
            "builder": { "id": "https://tekton.dev/chains/v2" },
            "buildType": "tekton.dev/v1/PipelineRun",
            "invocation": {
                "configSource": {},
                "parameters": { "image": "registry.example/api" },
                "environment": { "labels": { "tekton.dev/pipeline": "release" } },
            },
            "materials": tekton_inputs(),
            "metadata": {
                "buildStartedOn": "2026-01-02T03:04:05.123Z",
                "buildFinishedOn": "2026-01-02T03:05:06Z",
                "completeness": { "parameters": false, "environment": false, "materials": false },
                "reproducible": false,
            },
        }),
    );
    assert_source(&found);
    assert_eq!(found.builder_id, "https://tekton.dev/chains/v2");
    assert_eq!(found.parameters["/image"], "registry.example/api");
    assert_eq!((found.materials.len(), found.slsa_level, found.run), (2, 1, None));
}

#[test]
fn tekton_chains_of_version_1_is_read() {
    let found = read(
        V1,
        json!({
            "buildDefinition": {
                "buildType": "https://tekton.dev/chains/v2/slsa",
                "externalParameters": { "runSpec": {
                    "pipelineRef": { "name": "release" },
                    "params": [{ "name": "image", "value": "registry.example/api" }],
                } },
                "internalParameters": { "tekton-pipelines-feature-flags": { "EnableAPIFields": "stable" } },
                "resolvedDependencies": tekton_inputs(),
            },
            "runDetails": {
                "builder": { "id": "https://tekton.dev/chains/v2" },
                "metadata": {
                    "invocationId": "0f7a1d2c-6b6e-4d1a-9a65-0d9d5a5a8f11",
                    "startedOn": "2026-01-02T03:04:05.123Z",
                    "finishedOn": "2026-01-02T03:05:06Z",
                },
            },
        }),
    );
    assert_source(&found);
    assert_eq!(found.parameters["/runSpec/params/0/value"], "registry.example/api");
    assert_eq!((found.materials.len(), found.slsa_level, found.run), (2, 1, None));
}
