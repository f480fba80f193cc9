//! The rows about builds on GitHub's runners: evidence with certificates, judged as slsa-verifier's options say.

use std::path::Path;

use bus_schema::Digest;
use correlator_core::facts::{CertificateClaims, Predicate, Provenance, Signer, Statement};
use evidence::GENERATOR;
use serde_json::Value;

use crate::fixtures::{json_if_any, text};
use crate::genuine::Piece;
use crate::slsa::{Form, layers, piece, public_trust, undated_trust};
use crate::slsa_rows::files::{ENDINGS, RowFile};
use crate::slsa_rows::{Answer, Why};

/// What npm's provenance calls the runners of GitHub.
const RUNNER: &str = "https://github.com/actions/runner";

pub(crate) fn answer(
    testdata: &Path,
    file: &RowFile,
    row: &Value,
    section: &Value,
    digests: &Value,
) -> Answer {
    let pieces = match pieces_of(testdata, file, row) {
        Ok(pieces) => pieces,
        Err(answer) => return answer,
    };
    let digests = match digests_of(testdata, file, digests) {
        Ok(digests) => digests,
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
        answer = match judge(file, row, section, &digests, &piece, &statement, provenance, claims) {
            Ok(()) => Answer::Accepted,
            Err(why) => return Answer::Refused(why),
        };
    }
    answer
}

/// The evidence beside an artifact. All of it must verify.
pub(crate) fn pieces_of(testdata: &Path, file: &RowFile, row: &Value) -> Result<Vec<Piece>, Answer> {
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
    let unread = || Answer::Unread(format!("the format of {}", file.artifact));
    let Some(document) = json_if_any(&path) else { return Err(unread()) };
    match Form::of(&document) {
        Form::Bundle => Ok(vec![piece(file.artifact.clone(), document, &public)]),
        // The verifier looks these up in the log; a row about that look gets the demand for a log entry.
        Form::UndatedEnvelope if row["expect"] == "ErrorRekorSearch" => {
            Ok(vec![piece(file.artifact.clone(), document, &public)])
        }
        Form::UndatedEnvelope => Ok(vec![piece(file.artifact.clone(), document, &undated_trust().unwrap())]),
        Form::Npm => {
            let attestations = document["attestations"].as_array().unwrap().iter();
            Ok(attestations.map(|one| piece(file.artifact.clone(), one["bundle"].clone(), &public)).collect())
        }
        Form::WithoutCertificate => {
            Err(Answer::Unread(format!("the certificate in the log alone, by {}", file.builder)))
        }
        Form::CloudBuild | Form::Other => Err(unread()),
    }
}

/// The options of slsa-verifier, over our facts. What the certificate says counts, in the order in which it checks.
#[expect(clippy::too_many_arguments, reason = "a row, its surroundings, and what was verified")]
fn judge(
    file: &RowFile,
    row: &Value,
    section: &Value,
    digests: &[Digest],
    piece: &Piece,
    statement: &Statement,
    provenance: &Provenance,
    claims: &CertificateClaims,
) -> Result<(), Why> {
    let option = |key: &str| row[key].as_str();
    check_builder(file, row, section, provenance, claims)?;
    if !digests.iter().all(|digest| statement.subjects.contains(digest)) {
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

/// `v14` and `v14.2` name `v14.2`, and `v14.0` names `v14`; `v14.2` does not name `v14`.
pub(crate) fn is_version_of(tag: &str, wanted: &str) -> bool {
    let parts = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
    let mut tag = parts(tag);
    tag.resize(tag.len().max(3), "0".to_owned());
    tag.starts_with(&parts(wanted))
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
        // npm's builder has to be named: the runner, which older provenance knows by a shorter name, or a workflow.
        "npm/gha" => wanted.is_some_and(|wanted| match wanted.strip_prefix(RUNNER) {
            Some(kind) => {
                let is_older = provenance.predicate_type == "https://slsa.dev/provenance/v0.2";
                (kind == "/github-hosted" || kind.is_empty() && is_older)
                    && provenance.builder_id.starts_with(RUNNER)
            }
            None => signer.starts_with(GENERATOR) && without_revision(&provenance.builder_id) == wanted,
        }),
        other => {
            let default = builder_named_by_default(other, section);
            let named =
                wanted.or(default).is_none_or(|wanted| without_revision(&provenance.builder_id) == wanted);
            // The rows' delegator ran from the generator's main branch, which its verifier allows in its own tests.
            named && signer.starts_with(GENERATOR)
        }
    };
    if holds { Ok(()) } else { Err(Why::Builder) }
}

/// The builder that the verifier's tests name for each of their folders.
pub(crate) fn builder_named_by_default<'a>(folder: &str, section: &'a Value) -> Option<&'a str> {
    let constant = match folder {
        "gha_go" => "goBuilder",
        "gha_generic" => "genericBuilder",
        "gha_delegator" => "delegatorBuilder",
        "gha_maven" => "mavenBuilder",
        "gha_gradle" => "gradleBuilder",
        "gha_generic_container" => "builder",
        _ => return None,
    };
    section["constants"][constant].as_str()
}

/// The branch that a tag was pushed from stands in the event's payload alone, which is no fact of ours: read from what
/// was verified.
fn branch_of_tag(piece: &Piece) -> Option<String> {
    let statement = statement_of(piece);
    let payload = &statement["predicate"]["invocation"]["environment"]["github_event_payload"];
    let branch = payload["base_ref"].as_str().or(payload["release"]["target_commitish"].as_str())?;
    Some(branch.strip_prefix("refs/heads/").unwrap_or(branch).to_owned())
}

pub(crate) fn statement_of(piece: &Piece) -> Value {
    // In a bundle, in an attestation of Python's, in an envelope by itself.
    let places = ["/dsseEnvelope/payload", "/envelope/statement", "/payload"];
    let payload = places.into_iter().find_map(|place| piece.document.pointer(place)?.as_str()).unwrap();
    let payload = sigstore_verify::types::PayloadBytes::from_base64(payload).unwrap();
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

/// The digests of the artifacts: from the table of omitted ones, or beside an image layout.
pub(crate) fn digests_of(testdata: &Path, file: &RowFile, table: &Value) -> Result<Vec<Digest>, Answer> {
    if file.builder.starts_with("npm") {
        // The attestations name the tarball by SHA-512, the table by SHA-256.
        return Ok(Vec::new());
    }
    let digest = |artifact: &String| {
        let beside = testdata.join(format!("{artifact}.digest.txt"));
        if beside.is_file() {
            return Ok(text(&beside).trim().parse().unwrap());
        }
        let digest = table[artifact]["sha256"].as_str();
        let digest = digest.ok_or_else(|| Answer::NoFile(format!("no digest of {artifact}")))?;
        Ok(Digest::from_parts("sha256", digest).unwrap())
    };
    file.artifacts.iter().map(digest).collect()
}
