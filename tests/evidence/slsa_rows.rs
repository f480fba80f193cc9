//! The regression table of slsa-verifier: what its users' options accept and refuse, answered from our facts.
//!
//! Each row names an artifact, the options and the expected result; it applies to every version folder of its builder.
//! What should be accepted and is not yet is counted apart, by name and by what it lacks.

use std::collections::BTreeMap;
use std::path::Path;

use bus_schema::Digest;
use correlator_core::facts::{CertificateClaims, Predicate, Provenance, Signer, Statement};
use serde_json::Value;

use crate::fixtures::{folder, folders, json, say};
use crate::genuine::Piece;
use crate::google_rows;
use crate::slsa::{Form, layers, piece, public_trust, undated_trust};

/// Names of rows by what they have in common.
type Groups = BTreeMap<String, Vec<String>>;

#[derive(Default)]
struct Count {
    accepted: usize,
    refused: usize,
    /// Rows that must be accepted, and whose evidence this version says it cannot verify.
    unsupported: Groups,
    /// Rows that must be accepted, and whose file is of a format that nothing here reads.
    unread: Groups,
    /// Rows without a file.
    no_file: Groups,
    wrong: Vec<String>,
}

impl Count {
    fn row(&mut self, name: &str, expected: &str, answer: Answer) {
        match (expected, answer) {
            (_, Answer::NoFile(why)) => self.no_file.entry(why).or_default().push(name.to_owned()),
            ("PASS", Answer::Unsupported(why)) => {
                self.unsupported.entry(why).or_default().push(name.to_owned())
            }
            ("PASS", Answer::Unread(why)) => self.unread.entry(why).or_default().push(name.to_owned()),
            // Whatever the reason: what must be refused was.
            (_, Answer::Unsupported(_) | Answer::Unread(_)) => self.refused += 1,
            ("PASS", Answer::Accepted) => self.accepted += 1,
            ("PASS", Answer::Refused(why)) => self.wrong.push(format!("{name}: refused for {why:?}")),
            (expected, Answer::Accepted) => self.wrong.push(format!("{name}: accepted, expected {expected}")),
            (expected, Answer::Refused(why)) if why.is(expected) => self.refused += 1,
            (expected, Answer::Refused(why)) => {
                self.wrong.push(format!("{name}: refused for {why:?}, expected {expected}"))
            }
        }
    }
}

pub(crate) enum Answer {
    Accepted,
    Refused(Why),
    Unsupported(String),
    Unread(String),
    NoFile(String),
}

#[derive(Debug)]
pub(crate) enum Why {
    Evidence(String),
    Subject,
    Builder,
    Source,
    Branch,
    Tag,
    Inputs,
    Package,
}

impl Why {
    /// Whether the verifier's error is of this kind. It says `ErrorInvalidRef` where a ref is not of the asked kind.
    fn is(&self, error: &str) -> bool {
        match self {
            Why::Evidence(why) => {
                assert!(!why.is_empty());
                error.contains("Signature") || error.contains("Dsse") || error.contains("Untrusted")
            }
            Why::Subject => error.contains("Hash") || error.contains("Subject"),
            Why::Builder => {
                error.contains("Builder") || error.contains("Untrusted") || error.contains("NotSupported")
            }
            Why::Source => error == "ErrorMismatchSource",
            Why::Branch => error == "ErrorMismatchBranch" || error == "ErrorInvalidRef",
            Why::Tag => {
                error.starts_with("ErrorMismatch") && error.contains("Tag") || error == "ErrorInvalidRef"
            }
            Why::Inputs => error == "ErrorMismatchWorkflowInputs",
            Why::Package => error.contains("Package"),
        }
    }
}

#[test]
fn the_rows_of_slsa_verifier_get_their_answer() {
    let (Some(slsa), Some(_)) = (folder("slsa"), public_trust()) else { return };
    let table = json(&slsa.join("expected.json"));
    let digests = json(&slsa.join("artifact-digests.json"));
    let testdata = slsa.join("testdata");
    let mut count = Count::default();
    for (test, section) in table.as_object().unwrap() {
        let Some(rows) = section["cases"].as_array() else { continue };
        for row in rows {
            for file in files_of(&testdata, test, row) {
                let name = format!("{test}: {}: {}", row["name"].as_str().unwrap(), file.shown);
                let answer = answer(&testdata, &file, row, section, &digests);
                count.row(&name, row["expect"].as_str().unwrap(), answer);
            }
        }
    }
    let sum = |groups: &Groups| groups.values().map(Vec::len).sum::<usize>();
    let (unsupported, unread, no_file) = (sum(&count.unsupported), sum(&count.unread), sum(&count.no_file));
    let total = count.accepted + count.refused + unsupported + unread + no_file + count.wrong.len();
    say(&format!(
        "SLSA rows: {} accepted and {} refused as expected of {total} found; to be accepted, but unsupported: {unsupported}, \
         of an unread format: {unread}; without a file: {no_file}; wrong: {}",
        count.accepted,
        count.refused,
        count.wrong.len(),
    ));
    let groups =
        [("unsupported", &count.unsupported), ("unread", &count.unread), ("no file", &count.no_file)];
    for (kind, groups) in groups {
        for (why, rows) in groups {
            say(&format!("SLSA rows, {kind}: {} with {why}:", rows.len()));
            for row in rows {
                say(&format!("    {row}"));
            }
        }
    }
    assert!(count.wrong.is_empty(), "{:#?}", count.wrong);
    assert!(count.accepted > 0 && count.refused > 0);
}

/// The artifacts whose provenance some row accepts: it is genuine.
pub(crate) fn accepted_artifacts(slsa: &Path) -> Vec<String> {
    let table = json(&slsa.join("expected.json"));
    let testdata = slsa.join("testdata");
    let mut found = Vec::new();
    for (test, section) in table.as_object().unwrap() {
        for row in section["cases"].as_array().into_iter().flatten().filter(|row| row["expect"] == "PASS") {
            found.extend(files_of(&testdata, test, row).into_iter().map(|file| file.artifact));
        }
    }
    found
}

/// What the names of provenance files end with, after their artifact's.
const ENDINGS: [&str; 5] = ["", ".intoto.jsonl", ".build.slsa", ".intoto.build.slsa", ".json"];

/// Whether a file or layout is the provenance of an artifact.
pub(crate) fn is_provenance_of(artifact: &str, file: &str) -> bool {
    file.strip_prefix(artifact).is_some_and(|rest| ENDINGS.contains(&rest))
}

/// One file that a row applies to.
pub(crate) struct RowFile {
    pub(crate) shown: String,
    /// The builder's folder, or the test data itself.
    builder: String,
    /// Below the test data, without an ending.
    pub(crate) artifact: String,
}

/// The builders whose folders a test goes over.
fn builders_of(test: &str) -> &'static [&'static str] {
    match test {
        "Test_runVerifyGHAArtifactPath" => {
            &["gha_go", "gha_generic", "gha_delegator", "gha_maven", "gha_gradle"]
        }
        "Test_runVerifyGHAArtifactImage" => &["gha_generic_container"],
        "Test_runVerifyGHAContainerBased" => &["gha_container-based"],
        "Test_runVerifyGCBArtifactImage" => &["gcb_container"],
        "Test_runVerifyGithubAttestation" => &["bcr"],
        "Test_runVerifyNpmPackage" => &["npm/gha"],
        "Test_runVerifyVSA" => &["vsa"],
        _ => &[],
    }
}

fn files_of(testdata: &Path, test: &str, row: &Value) -> Vec<RowFile> {
    let named = |key: &str| row[key].as_str().map(str::to_owned);
    let artifacts: Vec<String> = match row["artifacts"].as_array() {
        Some(list) => list.iter().map(|artifact| artifact.as_str().unwrap().to_owned()).collect(),
        None => named("provenance").or(named("artifact")).or(named("attestationPath")).into_iter().collect(),
    };
    let mut found = Vec::new();
    for artifact in &artifacts {
        let file = |builder: &str, artifact: String| RowFile {
            shown: artifact.clone(),
            builder: builder.to_owned(),
            artifact,
        };
        if row["noversion"] == true {
            found.push(file("", artifact.clone()));
            continue;
        }
        for builder in builders_of(test) {
            let folder = testdata.join(builder);
            if !folder.is_dir() {
                continue;
            }
            let versions: Vec<String> =
                folders(&folder).into_iter().filter(|name| name.starts_with('v')).collect();
            if versions.is_empty() {
                found.push(file(builder, format!("{builder}/{artifact}")));
            }
            found.extend(
                versions.iter().map(|version| file(builder, format!("{builder}/{version}/{artifact}"))),
            );
        }
    }
    found
}

fn answer(testdata: &Path, file: &RowFile, row: &Value, section: &Value, digests: &Value) -> Answer {
    match file.builder.as_str() {
        "gcb_container" => return google_rows::cloud_build(testdata, file, row),
        "vsa" => return google_rows::verification_summary(testdata, file, row),
        _ => {}
    }
    let pieces = match pieces_of(testdata, file) {
        Ok(pieces) => pieces,
        Err(answer) => return answer,
    };
    let mut answer = Answer::NoFile(format!("no provenance at {}", file.artifact));
    for piece in pieces {
        let statement = match piece.statement() {
            Ok(statement) => statement,
            Err(why) if why.starts_with("unsupported") => return Answer::Unsupported(why),
            Err(why) => return Answer::Refused(Why::Evidence(why)),
        };
        let Predicate::Provenance(provenance) = &statement.predicate else { continue };
        let Signer::Keyless(claims) = &statement.signer else { continue };
        answer = match judge(testdata, file, row, section, digests, &piece, &statement, provenance, claims) {
            Ok(()) => Answer::Accepted,
            Err(why) => return Answer::Refused(why),
        };
    }
    answer
}

/// The evidence beside an artifact. All of it must verify.
fn pieces_of(testdata: &Path, file: &RowFile) -> Result<Vec<Piece>, Answer> {
    let public = public_trust().unwrap();
    let layout = testdata.join(&file.artifact);
    if layout.join("index.json").is_file() {
        return Ok(layers(&layout, &file.artifact, &public));
    }
    let path = ENDINGS
        .iter()
        .map(|ending| testdata.join(format!("{}{ending}", file.artifact)))
        .find(|path| path.is_file())
        .ok_or_else(|| Answer::NoFile(format!("no provenance at {}", file.artifact)))?;
    let Ok(document) = serde_json::from_str::<Value>(&crate::fixtures::text(&path)) else {
        return Err(Answer::Unread(format!("the format of {}", file.builder)));
    };
    match Form::of(&document) {
        Form::Bundle => Ok(vec![piece(file.artifact.clone(), document, &public)]),
        Form::UndatedEnvelope => Ok(vec![piece(file.artifact.clone(), document, &undated_trust().unwrap())]),
        Form::Npm => {
            let attestations = document["attestations"].as_array().unwrap().iter();
            Ok(attestations.map(|one| piece(file.artifact.clone(), one["bundle"].clone(), &public)).collect())
        }
        Form::CloudBuild | Form::Other => Err(Answer::Unread(format!("the format of {}", file.builder))),
    }
}

/// The options of slsa-verifier, over our facts. What the certificate says counts, in the order in which it checks.
#[expect(clippy::too_many_arguments, reason = "a row, its surroundings, and what was verified")]
fn judge(
    testdata: &Path,
    file: &RowFile,
    row: &Value,
    section: &Value,
    digests: &Value,
    piece: &Piece,
    statement: &Statement,
    provenance: &Provenance,
    claims: &CertificateClaims,
) -> Result<(), Why> {
    let option = |key: &str| row[key].as_str();
    check_builder(file, row, section, provenance, claims)?;
    if let Some(digest) = digest_of(testdata, file, digests)
        && !statement.subjects.contains(&digest)
    {
        return Err(Why::Subject);
    }
    let source = format!("https://{}", option("source").unwrap());
    let said = provenance.source_uri.as_deref().unwrap_or_default();
    let said = said.strip_prefix("git+").unwrap_or(said).split('@').next().unwrap_or_default();
    if claims.source_repository_uri.as_deref() != Some(&source) || said != source {
        return Err(Why::Source);
    }
    let git_ref = claims.source_repository_ref.as_deref().unwrap_or_default();
    let tag = git_ref.strip_prefix("refs/tags/");
    if let Some(wanted) = option("pbranch") {
        let branch = git_ref.strip_prefix("refs/heads/").map(str::to_owned);
        if branch.or(tag.and_then(|_| branch_of_tag(piece))).as_deref() != Some(wanted) {
            return Err(Why::Branch);
        }
    }
    if let Some(wanted) = option("ptag")
        && tag != Some(wanted)
    {
        return Err(Why::Tag);
    }
    if let Some(wanted) = option("pversiontag")
        && !tag.is_some_and(|tag| is_version_of(tag, wanted))
    {
        return Err(Why::Tag);
    }
    check_inputs(row, piece)?;
    check_package(row, piece)
}

/// What a person typed when the workflow was started by hand is no fact of ours: read from what was verified.
fn check_inputs(row: &Value, piece: &Piece) -> Result<(), Why> {
    let statement = statement_of(piece);
    let given = &statement["predicate"]["invocation"]["environment"]["github_event_payload"]["inputs"];
    let wanted = row["inputs"].as_object().into_iter().flatten();
    for (key, value) in wanted {
        if given[key] != *value {
            return Err(Why::Inputs);
        }
    }
    Ok(())
}

/// `v14` names `v14.2`, `v14.2` does not name `v14`.
fn is_version_of(tag: &str, wanted: &str) -> bool {
    let parts = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
    parts(tag).starts_with(&parts(wanted))
}

fn check_builder(
    file: &RowFile,
    row: &Value,
    section: &Value,
    provenance: &Provenance,
    claims: &CertificateClaims,
) -> Result<(), Why> {
    let without_revision = |text: &str| text.split('@').next().unwrap_or_default().to_owned();
    let signer = claims.build_signer_uri.as_deref().map(without_revision).unwrap_or_default();
    let wanted = row["pBuilderID"].as_str().or(row["builderID"].as_str());
    let holds = match file.builder.as_str() {
        // Reusable workflows of others are trusted by being named.
        "bcr" => wanted
            .is_some_and(|wanted| wanted == signer && without_revision(&provenance.builder_id) == wanted),
        // npm's builder has to be named, by its full or its short name.
        "npm/gha" => wanted.is_some_and(|wanted| {
            let short = "https://github.com/actions/runner";
            (wanted == short || wanted == format!("{short}/github-hosted"))
                && provenance.builder_id.starts_with(short)
        }),
        other => {
            let constant = |key: &str| section["constants"][key].as_str();
            let default = match other {
                "gha_go" => constant("goBuilder"),
                "gha_generic" => constant("genericBuilder"),
                "gha_delegator" => constant("delegatorBuilder"),
                "gha_maven" => constant("mavenBuilder"),
                "gha_gradle" => constant("gradleBuilder"),
                "gha_generic_container" => constant("builder"),
                _ => None,
            };
            let named =
                wanted.or(default).is_none_or(|wanted| without_revision(&provenance.builder_id) == wanted);
            // The rows' delegator ran from the generator's main branch, which its verifier allows in its own tests.
            named
                && signer
                    .starts_with("https://github.com/slsa-framework/slsa-github-generator/.github/workflows/")
        }
    };
    if holds { Ok(()) } else { Err(Why::Builder) }
}

/// The branch that a tag was pushed from stands in the event's payload alone, which is no fact of ours: read from what
/// was verified.
fn branch_of_tag(piece: &Piece) -> Option<String> {
    let statement = statement_of(piece);
    let payload = &statement["predicate"]["invocation"]["environment"]["github_event_payload"];
    let branch = payload["base_ref"].as_str().or(payload["release"]["target_commitish"].as_str())?;
    Some(branch.strip_prefix("refs/heads/").unwrap_or(branch).to_owned())
}

fn statement_of(piece: &Piece) -> Value {
    let envelope = piece.document.get("dsseEnvelope").unwrap_or(&piece.document);
    let payload =
        sigstore_verify::types::PayloadBytes::from_base64(envelope["payload"].as_str().unwrap()).unwrap();
    serde_json::from_slice(payload.as_bytes()).unwrap()
}

/// npm's packages are named by their subject, which is no fact of ours: read from what was verified.
fn check_package(row: &Value, piece: &Piece) -> Result<(), Why> {
    let wanted = ["pkgName", "pkgVersion"].map(|key| row[key].as_str());
    if wanted == [None, None] {
        return Ok(());
    }
    let statement = statement_of(piece);
    let purl = statement["subject"][0]["name"].as_str().unwrap().strip_prefix("pkg:npm/").unwrap();
    let (name, version) = purl.rsplit_once('@').unwrap();
    let name = name.replace("%40", "@");
    let same = |wanted: Option<&str>, found: &str| wanted.is_none_or(|wanted| wanted == found);
    if same(wanted[0], &name) && same(wanted[1], version) { Ok(()) } else { Err(Why::Package) }
}

/// The artifact's digest: from the table of omitted artifacts, or beside an image layout.
fn digest_of(testdata: &Path, file: &RowFile, digests: &Value) -> Option<Digest> {
    if file.builder.starts_with("npm") {
        // The attestations name the tarball by SHA-512, the table by SHA-256.
        return None;
    }
    let beside = testdata.join(format!("{}.digest.txt", file.artifact));
    if beside.is_file() {
        return Some(crate::fixtures::text(&beside).trim().parse().unwrap());
    }
    let digest = digests[&file.artifact]["sha256"].as_str();
    Some(Digest::from_parts("sha256", digest.unwrap_or_else(|| panic!("{}", file.artifact))).unwrap())
}
