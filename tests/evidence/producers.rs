//! Provenance of every real producer, brought to one form: held to the certificate that signed it and to the raw predicate,
//! both read here on their own.

use std::collections::BTreeMap;

use correlator_core::facts::{CertificateClaims, Predicate, Provenance, Signer};
use jiff::Timestamp;
use serde_json::Value;

use crate::fixtures::{say, skipped};
use crate::genuine::Piece;
use crate::producers::certificate::is_of_another_build;
use crate::slsa_rows::statement_of;
use crate::{genuine, slsa};

mod certificate;

/// A producer as its build type tells it.
struct Producer {
    name: &'static str,
    build_type: &'static str,
    /// The level of its released versions.
    slsa_level: u8,
    /// Whether it names the workflow that was started.
    names_workflow: bool,
    /// The least that it says of what the build was given.
    parameters: usize,
}

const GENERATOR: &str = "https://github.com/slsa-framework/slsa-github-generator/";

const PRODUCERS: [Producer; 9] = [
    producer("npm", "https://github.com/npm/cli/gha/v2", 2, 0),
    Producer {
        names_workflow: false,
        ..producer("npm, first", "https://github.com/npm/slsa-provenance/gha@v0", 1, 0)
    },
    producer(
        "npm and others",
        "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1",
        2,
        3,
    ),
    producer("GitHub", "https://actions.github.io/buildtypes/workflow/v1", 2, 3),
    producer("generator of files", "generic@v1", 3, 0),
    producer("generator of images", "container@v1", 3, 0),
    producer("builder of Go", "go@v1", 3, 0),
    producer("delegator", "delegator-generic@v0", 3, 3),
    producer("container-based builder", "https://slsa.dev/container-based-build/v0.1?draft", 3, 8),
];

const fn producer(
    name: &'static str,
    build_type: &'static str,
    slsa_level: u8,
    parameters: usize,
) -> Producer {
    Producer { name, build_type, slsa_level, names_workflow: true, parameters }
}

#[test]
fn each_producers_provenance_says_what_its_certificate_and_its_predicate_say() {
    let mut pieces = genuine::genuine();
    pieces.extend(slsa::accepted());
    if !pieces.iter().any(is_provenance) {
        return skipped("no provenance");
    }
    let (mut read, mut of_another_build) = (BTreeMap::<&str, usize>::new(), Vec::new());
    for piece in &pieces {
        let Ok(statement) = piece.statement() else { continue };
        let Predicate::Provenance(found) = &statement.predicate else { continue };
        let Signer::Keyless(claims) = &statement.signer else { continue };
        check_predicate(piece, found);
        let own = found.build_type.strip_prefix(GENERATOR).unwrap_or(&found.build_type);
        // Anybody can write a producer's build type; a producer signs as its workflow.
        let is_of_workflow = claims.build_signer_uri.is_some();
        let producer = PRODUCERS.iter().find(|producer| is_of_workflow && producer.build_type == own);
        let predicate = &statement_of(piece)["predicate"];
        if is_of_another_build(&piece.name, predicate, found, claims, producer.is_some()) {
            of_another_build.push(piece.name.as_str());
            continue;
        }
        if let Some(producer) = producer {
            check_producer(&piece.name, producer, found, claims);
        }
        *read.entry(producer.map_or("others", |producer| producer.name)).or_default() += 1;
    }
    let shown: Vec<String> = read.iter().map(|(name, count)| format!("{count} of {name}")).collect();
    say(&format!(
        "provenance by producer: {}; {} of another build than its certificate: {}",
        shown.join(", "),
        of_another_build.len(),
        of_another_build.join(", ")
    ));
    assert!(!read.is_empty(), "none of it was read");
}

/// Whether its text calls itself provenance.
fn is_provenance(piece: &Piece) -> bool {
    let kind = match piece.document.get("messageSignature") {
        Some(_) => return false,
        None => statement_of(piece)["predicateType"].clone(),
    };
    kind.as_str().is_some_and(|kind| kind.starts_with("https://slsa.dev/provenance/"))
}

/// What the predicate writes stands in the one form, wherever its version writes it.
fn check_predicate(piece: &Piece, found: &Provenance) {
    let name = &piece.name;
    let predicate = &statement_of(piece)["predicate"];
    let is_v1 = predicate.get("buildDefinition").is_some();
    let at = |of_v1: &str, of_older: &str| {
        predicate.pointer(if is_v1 { of_v1 } else { of_older }).cloned().unwrap_or(Value::Null)
    };
    assert_eq!(found.builder_id, at("/runDetails/builder/id", "/builder/id"), "{name}");
    let build_type = match predicate.get("recipe") {
        Some(recipe) => recipe["type"].clone(),
        None => at("/buildDefinition/buildType", "/buildType"),
    };
    assert_eq!(found.build_type, build_type, "{name}");
    let materials = at("/buildDefinition/resolvedDependencies", "/materials");
    assert_eq!(found.materials.len(), materials.as_array().map_or(0, Vec::len), "{name}");
    for (material, raw) in found.materials.iter().zip(materials.as_array().into_iter().flatten()) {
        assert_eq!(material.uri, raw["uri"].as_str().unwrap_or_default(), "{name}");
        let digests: BTreeMap<String, String> =
            serde_json::from_value(raw["digest"].clone()).unwrap_or_default();
        assert_eq!(material.digests, digests, "{name}");
    }
    let time = |raw: Value| raw.as_str().map(|text| text.parse::<Timestamp>().unwrap());
    assert_eq!(
        found.started_at,
        time(at("/runDetails/metadata/startedOn", "/metadata/buildStartedOn")),
        "{name}"
    );
    assert_eq!(
        found.finished_at,
        time(at("/runDetails/metadata/finishedOn", "/metadata/buildFinishedOn")),
        "{name}"
    );
    assert_eq!(found.left_out, 0, "{name}");
}

fn check_producer(name: &str, producer: &Producer, found: &Provenance, claims: &CertificateClaims) {
    let signer = claims.build_signer_uri.as_deref().unwrap_or_default();
    // What a builder of a branch is, nobody knows.
    let is_released = producer.slsa_level < 3 || signer.contains("@refs/tags/v");
    match is_released {
        true => assert_eq!(found.slsa_level, producer.slsa_level, "{name} by {signer}"),
        false => assert!(found.slsa_level < producer.slsa_level, "{name} by {signer}"),
    }
    assert_eq!(found.workflow.is_some(), producer.names_workflow, "{name}");
    assert!(found.parameters.len() >= producer.parameters, "{name}: {:?}", found.parameters);
    let is_delegator = is_released && producer.name == "delegator";
    assert_eq!(found.delegate.is_some(), is_delegator, "{name} by {signer}");
}
