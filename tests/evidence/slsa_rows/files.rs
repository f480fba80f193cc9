//! Which files a row applies to: its artifacts, their provenance, in every version folder of its builder that is there.

use std::path::Path;

use serde_json::{Value, json};

use crate::fixtures::{folders, json as read_json, part};

/// The artifacts whose provenance some row accepts: it is genuine.
pub(crate) fn accepted_artifacts() -> Vec<String> {
    let (Some(table), Some(testdata)) = (part("slsa/expected.json"), part("slsa/testdata")) else {
        return Vec::new();
    };
    let table = read_json(&table);
    let mut found = Vec::new();
    for (test, section) in table.as_object().unwrap() {
        for row in section["cases"].as_array().into_iter().flatten().filter(|row| row["expect"] == "PASS") {
            found.extend(files_of(&testdata, test, row).into_iter().map(|file| file.artifact));
        }
    }
    found
}

/// What the names of provenance files end with, after their artifact's.
pub(crate) const ENDINGS: [&str; 6] =
    ["", ".intoto.jsonl", ".build.slsa", ".intoto.build.slsa", ".intoto.sigstore", ".json"];

/// Whether a file or layout is the provenance of an artifact.
pub(crate) fn is_provenance_of(artifact: &str, file: &str) -> bool {
    file.strip_prefix(artifact).is_some_and(|rest| ENDINGS.contains(&rest))
}

/// One file of provenance that a row applies to.
pub(crate) struct RowFile {
    pub(crate) shown: String,
    /// The builder's folder; nothing for files of the test data itself.
    pub(crate) builder: String,
    /// The version's folder, where the builder has versions.
    pub(crate) version: Option<String>,
    /// The provenance below the test data, where its name has no ending: beside the artifact of the same name.
    pub(crate) artifact: String,
    /// What it must be about, below the test data.
    pub(crate) artifacts: Vec<String>,
}

/// The rows about images that GitHub's runners built.
const IMAGES: &str = "Test_runVerifyGHAArtifactImage";

/// The builders whose folders a test goes over.
fn builders_of(test: &str) -> &'static [&'static str] {
    match test {
        "Test_runVerifyGHAArtifactPath" => {
            &["gha_go", "gha_generic", "gha_delegator", "gha_maven", "gha_gradle"]
        }
        IMAGES => &["gha_generic_container"],
        "Test_runVerifyGHAContainerBased" => &["gha_container-based"],
        "Test_runVerifyGCBArtifactImage" => &["gcb_container"],
        "Test_runVerifyGithubAttestation" => &["bcr"],
        "Test_runVerifyNpmPackage" => &["npm/gha"],
        "Test_runVerifyVSA" => &["vsa"],
        _ => &[],
    }
}

pub(crate) fn files_of(testdata: &Path, test: &str, row: &Value) -> Vec<RowFile> {
    let named = |key: &str| row[key].as_str().map(str::to_owned);
    let listed = row["artifacts"].as_array().into_iter().flatten();
    let mut artifacts: Vec<String> = listed.map(|artifact| artifact.as_str().unwrap().to_owned()).collect();
    artifacts.extend(named("artifact"));
    let first = artifacts.first().cloned();
    let named = named("provenance").or(named("provenancePath")).or(named("attestationPath"));
    let Some(provenance) = named.or(first) else { return Vec::new() };
    let file = |builder: &str, version: Option<&String>| {
        let folder = version.into_iter().fold(builder.to_owned(), |folder, version| below(folder, version));
        RowFile {
            shown: below(folder.clone(), &provenance),
            builder: builder.to_owned(),
            version: version.cloned(),
            artifact: below(folder.clone(), &provenance),
            artifacts: artifacts.iter().map(|artifact| below(folder.clone(), artifact)).collect(),
        }
    };
    if row["noversion"] == true {
        return vec![file("", None)];
    }
    let mut found = Vec::new();
    for builder in builders_of(test).iter().filter(|builder| is_asked_for(row, builder)) {
        let folder = testdata.join(builder);
        if !folder.is_dir() {
            continue;
        }
        let versions = folders(&folder).into_iter().filter(|name| name.starts_with('v'));
        let versions: Vec<String> = versions.filter(|_| *builder != "vsa").collect();
        if versions.is_empty() {
            found.push(file(builder, None));
        }
        let meant = versions.iter().filter(|version| is_for_version(test, row, version));
        found.extend(meant.map(|version| file(builder, Some(version))));
    }
    found
}

fn below(folder: String, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// A row may be for some of its test's builders only.
fn is_asked_for(row: &Value, builder: &str) -> bool {
    row["builders"].as_array().is_none_or(|builders| builders.iter().any(|named| named == builder))
}

/// A row may be for some versions of its builders only: from its least one on, which the rows about images leave out
/// themselves, to its greatest one.
fn is_for_version(test: &str, row: &Value, version: &str) -> bool {
    let bound = |key: &str| row[key].as_str().map(numbers);
    let own = numbers(version);
    let is_late_enough = bound("minversion").is_none_or(|least| match test {
        IMAGES => own > least,
        _ => own >= least,
    });
    is_late_enough && bound("maxversion").is_none_or(|greatest| own <= greatest)
}

/// The numbers of a version: `v1.10.0` comes after `v1.9.0`, which `v1.9` is too.
pub(crate) fn numbers(version: &str) -> Vec<u32> {
    let parts = version.trim_start_matches('v').split('.');
    let mut numbers: Vec<u32> = parts.map(|part| part.parse().unwrap_or(0)).collect();
    numbers.resize(numbers.len().max(3), 0);
    numbers
}

#[test]
fn a_row_is_for_the_versions_between_its_bounds() {
    const OTHERS: &str = "Test_runVerifyGCBArtifactImage";
    let versions = ["v0.2", "v1.8.0", "v1.9.0", "v1.10.0", "v2.0.0", "v2.1.0"];
    let check = |test: &str, row: Value, expected: &[&str]| {
        let found: Vec<&str> =
            versions.into_iter().filter(|version| is_for_version(test, &row, version)).collect();
        assert_eq!(found, expected, "{test}: {row}");
    };
    let between = json!({ "minversion": "v1.9.0", "maxversion": "v2.0.0" });
    check(IMAGES, between, &["v1.10.0", "v2.0.0"]);
    check(IMAGES, json!({ "maxversion": "v1.8.0" }), &["v0.2", "v1.8.0"]);
    check(IMAGES, json!({ "minversion": "v2.0.0" }), &["v2.1.0"]);
    check(OTHERS, json!({ "minversion": "v1.9" }), &["v1.9.0", "v1.10.0", "v2.0.0", "v2.1.0"]);
    check(OTHERS, json!({}), &versions);
}
