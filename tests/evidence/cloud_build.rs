//! Provenance of Google Cloud Build: the documents of the fixtures, and such as tests sign with keys of their own.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bus_schema::Digest;
use correlator_core::facts::{Outcome, Predicate, Provenance, Refusal, Signer, Statement};
use evidence::{CLOUD_BUILD, LogDemand, TrustSet, TrustedKey, Unverified, split_cloud_build, verify};
use serde_json::{Value, json};
use sigstore_verify::crypto::KeyPair;

use crate::cloud_build::content::{alone, faults, recovered};
use crate::fixtures::{files, found, json_if_any, part, say, skipped};

pub(crate) mod content;

const DOCUMENTS: &str = "slsa/testdata/gcb_container";
/// Google's keys by location and name, version 1 of each, with the SHA-256 of its SubjectPublicKeyInfo.
const GOOGLES_KEYS: [(&str, &str, &str); 2] = [
    ("global", "builtByGCB", "052ec7f94ccea66b0a594231a8520edd19a93064ce2afcb398311218cd4b657b"),
    ("us-west2", "builtByGCB", "aceb8d450900d79a89b54b689fc749f10954be3a1fa8660b12d698a86f4a9e4a"),
];

fn key_id(key: &str) -> String {
    key_id_at("global", key)
}

fn key_id_at(location: &str, key: &str) -> String {
    format!(
        "projects/verified-builder/locations/{location}/keyRings/attestor/cryptoKeys/{key}/cryptoKeyVersions/1"
    )
}

pub(crate) fn check(document: &[u8], trust: &TrustSet) -> Result<Statement, Refusal> {
    let evidence = Unverified {
        media_type: CLOUD_BUILD,
        artifact_type: None,
        bytes: document,
        annotations: &BTreeMap::new(),
        attached_to: Digest::sha256_of(b"wherever it was found"),
    };
    match verify(&evidence, trust) {
        Outcome::Verified(statement) => Ok(*statement),
        Outcome::Refused(refused) => Err(refused),
    }
}

/// Google's keys by their ids, in PEM, found from signatures that they made; `None` where no document has
/// one.
pub(crate) fn googles_keys() -> Option<&'static [(String, String)]> {
    static KEYS: OnceLock<Vec<(String, String)>> = OnceLock::new();
    let find = || {
        let Some(folder) = part(DOCUMENTS) else { return Vec::new() };
        let documents: Vec<Value> =
            files(&folder).iter().filter_map(|file| json_if_any(&folder.join(file))).collect();
        let keys = GOOGLES_KEYS.into_iter().filter_map(|(location, name, fingerprint)| {
            let id = key_id_at(location, name);
            let pem = documents.iter().find_map(|document| recovered(document, &id, fingerprint))?;
            Some((id, pem))
        });
        keys.collect()
    };
    Some(KEYS.get_or_init(find).as_slice()).filter(|keys| !keys.is_empty())
}

pub(crate) fn googles_trust() -> Option<Arc<TrustSet>> {
    let keys = googles_keys()?.iter().map(|(id, pem)| {
        let key = TrustedKey::from_pem("google.pem", pem, LogDemand::NotRequired).unwrap();
        key.with_id(Some(id.clone()))
    });
    Some(Arc::new(TrustSet::new(vec![], keys.collect()).unwrap()))
}

/// Documents with their paths.
type Documents = Vec<(String, Vec<u8>)>;

/// All documents, and the trust that they are to be verified with; `None` after saying that a test is
/// skipped.
fn documents() -> Option<(Documents, Arc<TrustSet>)> {
    let folder = found(DOCUMENTS)?;
    let Some(trust) = googles_trust() else {
        skipped("no genuine document of Google Cloud Build, from which Google's keys could be known");
        return None;
    };
    let all = files(&folder).into_iter().filter(|file| file.ends_with(".json"));
    Some((all.map(|file| (file.clone(), std::fs::read(folder.join(file)).unwrap())).collect(), trust))
}

#[test]
fn each_document_of_google_cloud_build_gets_its_answer() {
    let Some((documents, trust)) = documents() else { return };
    let (mut accepted, mut refused, mut unknown, mut wrong) = (0, 0, Vec::new(), Vec::new());
    for (file, bytes) in documents {
        let Some(faults) = faults(&bytes) else {
            unknown.push(file);
            continue;
        };
        match check(&bytes, &trust) {
            Ok(_) if faults.is_empty() => accepted += 1,
            Err(refusal) if faults.contains(refusal.reason.as_str()) => refused += 1,
            answer => wrong.push(format!("{file}: {answer:?}, expected {faults:?}")),
        }
    }
    say(&format!(
        "Google Cloud Build: {accepted} accepted, {refused} refused for the expected reason, {} of \
         another form: {}",
        unknown.len(),
        unknown.join(", ")
    ));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn of_several_builds_in_one_document_each_is_verified_by_itself() {
    let Some((documents, trust)) = documents() else { return };
    let mut split = 0;
    for (file, bytes) in documents {
        let Ok(document) = serde_json::from_slice::<Value>(&bytes) else { continue };
        let expected = alone(&document)
            .into_iter()
            .map(|build| faults(build.to_string().as_bytes()).is_some_and(|faults| faults.is_empty()));
        let expected: Vec<bool> = expected.collect();
        if expected.is_empty() {
            continue;
        }
        let builds = split_cloud_build(&bytes).unwrap();
        let found: Vec<bool> = builds.iter().map(|build| check(build, &trust).is_ok()).collect();
        assert_eq!(found, expected, "{file}");
        split += usize::from(builds.len() > 1);
    }
    say(&format!("Google Cloud Build: {split} documents split into their several builds"));
}

#[test]
fn genuine_documents_are_normalised() {
    let Some((documents, trust)) = documents() else { return };
    let (mut read, mut of_another_version) = (0, 0);
    for (file, bytes) in documents {
        if faults(&bytes).is_none_or(|faults| !faults.is_empty()) {
            continue;
        }
        let found = check(&bytes, &trust).unwrap_or_else(|refusal| panic!("{file}: {refusal:?}"));
        let Signer::CloudBuild { fingerprint, key_id: id } = &found.signer else {
            panic!("{file}: {:?}", found.signer)
        };
        let is_googles = |(location, name, known): &(&str, &str, &str)| {
            *id == key_id_at(location, name) && fingerprint.hex() == *known
        };
        assert!(GOOGLES_KEYS.iter().any(is_googles), "{file}: {id}");
        let text = signed_text(&bytes);
        match text["predicate"].get("materials") {
            Some(_) => check_against_text(&file, provenance(&found), &text),
            None => of_another_version += 1,
        }
        read += 1;
    }
    say(&format!(
        "Google Cloud Build: {read} genuine documents are read, {} of them say what was read",
        read - of_another_version
    ));
}

/// The statement in the envelope of a document's first build.
fn signed_text(document: &[u8]) -> Value {
    let document: Value = serde_json::from_slice(document).unwrap();
    let payload = &document["provenance_summary"]["provenance"][0]["envelope"]["payload"];
    serde_json::from_slice(&STANDARD.decode(payload.as_str().unwrap()).unwrap()).unwrap()
}

/// Both versions write provenance v0.1, with the source as the first material: the address of the commit, or that of the
/// repository and the commit's hash. An archive in Google's storage is of no repository.
fn check_against_text(file: &str, read: &Provenance, text: &Value) {
    let predicate = &text["predicate"];
    let builder = predicate["builder"]["id"].as_str().unwrap();
    assert_eq!(read.builder_id, builder, "{file}");
    assert_eq!(read.slsa_level, if builder.ends_with("@v0.2") { 2 } else { 3 }, "{file}");
    let materials = predicate["materials"].as_array().unwrap();
    assert_eq!(read.materials.len(), materials.len(), "{file}");
    let uri = materials[0]["uri"].as_str().unwrap();
    if uri.starts_with("gs://") {
        assert_eq!((&read.repository, &read.commit), (&None, &None), "{file}");
    } else {
        let repository = format!("https://{}", read.repository.as_ref().unwrap().path());
        assert!(uri.contains(&repository), "{file}: {repository}, the text says {uri}");
        let commit = materials[0]["digest"]["sha1"].as_str().or_else(|| uri.rsplit('/').next()).unwrap();
        assert_eq!(read.commit.as_ref().unwrap().as_str(), commit, "{file}");
    }
    let time = |name: &str| predicate["metadata"][name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(read.started_at, Some(time("buildStartedOn")), "{file}");
    assert_eq!(read.finished_at, Some(time("buildFinishedOn")), "{file}");
    if let Some(step) = predicate["recipe"]["arguments"]["steps"][0]["name"].as_str() {
        assert_eq!(read.parameters["/steps/0/name"], step, "{file}");
    }
}

fn provenance(statement: &Statement) -> &Provenance {
    match &statement.predicate {
        Predicate::Provenance(read) => read,
        other => panic!("{other:?}"),
    }
}

/// A builder of the tests' own, with each kind of key.
struct Builder {
    keys: BTreeMap<&'static str, KeyPair>,
}

const KEYS: [&str; 3] = ["builtByGCB", "provenanceSigner", "google-hosted-worker"];

#[derive(Clone, Copy)]
enum Over {
    Payload,
    Envelope,
}

impl Builder {
    fn new() -> Builder {
        let key = |name| (name, KeyPair::generate_ecdsa_p256().unwrap());
        Builder { keys: KEYS.map(key).into() }
    }

    fn trust(&self, log: LogDemand) -> TrustSet {
        let trusted = |(name, key): (&&str, &KeyPair)| {
            let pem = key.public_key_der().unwrap().to_pem();
            TrustedKey::from_pem(name, &pem, log).unwrap().with_id(Some(key_id(name)))
        };
        TrustSet::new(vec![], self.keys.iter().map(trusted).collect()).unwrap()
    }

    fn signature(&self, key: &str, over: Over, statement: &Value) -> Value {
        let payload = statement.to_string();
        let signed = match over {
            Over::Payload => payload.into_bytes(),
            Over::Envelope => sigstore_verify::types::pae("application/vnd.in-toto+json", payload.as_bytes()),
        };
        let signature = self.keys[key].sign(&signed).unwrap().into_bytes();
        json!({ "keyid": key_id(key), "sig": URL_SAFE.encode(signature) })
    }

    fn document(&self, statement: &Value, signatures: Vec<Value>) -> Value {
        let mut text = statement.clone();
        let place = match statement["predicateType"].as_str() {
            Some("https://slsa.dev/provenance/v0.1") => {
                let predicate = text["predicate"].take();
                text.as_object_mut().unwrap().remove("predicate");
                text["slsaProvenance"] = predicate;
                "intotoStatement"
            }
            _ => "inTotoSlsaProvenanceV1",
        };
        let qualified = format!("us-docker.pkg.dev/acme/api/api@{}", image());
        json!({
            "image_summary": { "digest": image(), "fully_qualified_digest": qualified },
            "provenance_summary": { "provenance": [{
                "build": { place: text },
                "kind": "BUILD",
                "resourceUri": format!("https://{qualified}"),
                "envelope": {
                    "payloadType": "application/vnd.in-toto+json",
                    "payload": STANDARD.encode(statement.to_string()),
                    "signatures": signatures,
                },
            }] },
        })
    }
}

fn image() -> String {
    Digest::sha256_of(b"an image manifest").to_string()
}

fn statement(predicate_type: &str, predicate: Value) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "api", "digest": { "sha256": Digest::sha256_of(b"an image manifest").hex() } }],
        "predicateType": predicate_type,
        "predicate": predicate,
    })
}

fn v0_1() -> Value {
    statement(
        "https://slsa.dev/provenance/v0.1",
        json!({
            "builder": { "id": "https://cloudbuild.googleapis.com/GoogleHostedWorker@v0.3" },
            "materials": [{ "uri": "git+https://github.com/acme/api", "digest": { "sha1": "b".repeat(40) } }],
            "metadata": { "buildStartedOn": "2023-08-02T16:26:36.121285869Z", "buildInvocationId": "1-2-3" },
            "recipe": {
                "type": "https://cloudbuild.googleapis.com/CloudBuildYaml@v0.1",
                "definedInMaterial": "0",
                "entryPoint": "build/cloudbuild.yaml",
                "arguments": { "substitutions": { "TAG_NAME": "v1.2.3" } },
            },
        }),
    )
}

fn v1() -> Value {
    let source = json!({ "repository": "https://github.com/acme/api", "ref": "refs/heads/main", "dir": "/" });
    statement(
        "https://slsa.dev/provenance/v1",
        json!({
            "buildDefinition": {
                "buildType": "https://cloud.google.com/build/gcb-buildtypes/google-worker/v1",
                "externalParameters": {
                    "buildConfigSource": { "repository": "https://github.com/acme/configs", "path": "push.yaml" },
                    "sourceToBuild": source,
                    "substitutions": { "_REGION": "eu" },
                },
                "internalParameters": { "systemSubstitutions": { "TAG_NAME": "v1.2.3" } },
                "resolvedDependencies": [
                    { "uri": "git+https://github.com/acme/api@refs/heads/main", "digest": { "sha1": "b".repeat(40) } },
                    { "uri": "gcr.io/cloud-builders/docker@sha256:00", "digest": { "sha256": "0".repeat(64) } },
                ],
            },
            "runDetails": {
                "builder": { "id": "https://cloudbuild.googleapis.com/GoogleHostedWorker" },
                "metadata": { "startedOn": "2023-08-02T16:26:36Z", "finishedOn": "2023-08-02T16:27:36Z" },
            },
        }),
    )
}

#[test]
fn each_kind_of_key_signs_what_it_signs_and_nothing_else() {
    let builder = Builder::new();
    let trust = builder.trust(LogDemand::NotRequired);
    let answer = |statement: &Value, key: &str, over: Over| {
        let document = builder.document(statement, vec![builder.signature(key, over, statement)]);
        check(document.to_string().as_bytes(), &trust).map_err(|refused| refused.reason.as_str())
    };
    let (old, new) = (v0_1(), v1());
    let found = answer(&old, "builtByGCB", Over::Payload).unwrap();
    assert_eq!(provenance(&found).slsa_level, 3);
    assert_eq!(provenance(&found).tag.as_deref(), Some("v1.2.3"));
    answer(&old, "provenanceSigner", Over::Envelope).unwrap();
    let found = answer(&new, "google-hosted-worker", Over::Envelope).unwrap();
    let read = provenance(&found);
    assert_eq!((read.slsa_level, read.materials.len()), (3, 2));
    assert_eq!(read.repository.as_ref().unwrap().path(), "github.com/acme/api");
    assert_eq!(read.commit.as_ref().unwrap().as_str(), "b".repeat(40));
    assert_eq!(read.git_ref.as_ref().unwrap().as_str(), "refs/heads/main");
    assert_eq!(read.parameters["/substitutions/_REGION"], "eu");

    assert_eq!(answer(&old, "builtByGCB", Over::Envelope), Err("bad_signature"));
    assert_eq!(answer(&old, "provenanceSigner", Over::Payload), Err("bad_signature"));
    assert_eq!(answer(&new, "google-hosted-worker", Over::Payload), Err("bad_signature"));
    assert_eq!(answer(&new, "provenanceSigner", Over::Envelope), Err("contradiction"));
    assert_eq!(answer(&old, "google-hosted-worker", Over::Envelope), Err("contradiction"));
}

#[test]
fn of_several_signatures_every_one_by_a_known_key_must_hold() {
    let builder = Builder::new();
    let trust = builder.trust(LogDemand::NotRequired);
    let said = v0_1();
    let one = builder.signature("builtByGCB", Over::Payload, &said);
    let two = builder.signature("provenanceSigner", Over::Envelope, &said);
    let stranger =
        json!({ "keyid": key_id("builtByGCB").replace("verified-builder", "argo-qa"), "sig": "AAEC" });
    let answer = |signatures: Vec<&Value>| {
        let document = builder.document(&said, signatures.into_iter().cloned().collect());
        check(document.to_string().as_bytes(), &trust).map(drop).map_err(|refused| refused.reason.as_str())
    };
    assert_eq!(answer(vec![&one, &two]), Ok(()));
    assert_eq!(answer(vec![&two, &stranger]), Ok(()));
    assert_eq!(answer(vec![&stranger]), Err("untrusted_signer"));
    assert_eq!(answer(vec![&one, &one]), Err("unsupported"));
    let mut swapped = two.clone();
    swapped["sig"] = one["sig"].clone();
    assert_eq!(answer(vec![&one, &swapped]), Err("bad_signature"));
    assert_eq!(answer(vec![]), Err("unsigned"));
    assert_eq!(answer(vec![&stranger; 9]), Err("too_large"));
}

#[test]
fn a_key_of_google_cloud_build_signs_no_other_form_and_no_other_key_signs_this_one() {
    let builder = Builder::new();
    let said = v0_1();
    let signature = builder.signature("provenanceSigner", Over::Envelope, &said);
    let document = builder.document(&said, vec![signature.clone()]).to_string();
    let logged = check(document.as_bytes(), &builder.trust(LogDemand::Required)).unwrap_err();
    assert_eq!(logged.reason.as_str(), "bad_log_entry");

    let pem = builder.keys["provenanceSigner"].public_key_der().unwrap().to_pem();
    let unnamed = TrustedKey::from_pem("key.pem", &pem, LogDemand::NotRequired).unwrap();
    let unnamed = TrustSet::new(vec![], vec![unnamed]).unwrap();
    assert_eq!(check(document.as_bytes(), &unnamed).unwrap_err().reason.as_str(), "untrusted_signer");

    let plain = URL_SAFE.decode(signature["sig"].as_str().unwrap()).unwrap();
    let signature = json!({ "keyid": key_id("provenanceSigner"), "sig": STANDARD.encode(plain) });
    let envelope = json!({
        "payloadType": "application/vnd.in-toto+json",
        "payload": STANDARD.encode(said.to_string()),
        "signatures": [signature],
    })
    .to_string();
    let evidence = Unverified {
        media_type: "application/vnd.dsse.envelope.v1+json",
        artifact_type: None,
        bytes: envelope.as_bytes(),
        annotations: &BTreeMap::new(),
        attached_to: Digest::sha256_of(b"any"),
    };
    let answer = verify(&evidence, &builder.trust(LogDemand::NotRequired));
    assert!(
        matches!(&answer, Outcome::Refused(refused) if refused.reason.as_str() == "untrusted_signer"),
        "{answer:?}"
    );
}

/// Every place of the document that is signed or must agree with what is.
#[test]
fn nothing_around_the_envelope_may_say_something_else() {
    let builder = Builder::new();
    let trust = builder.trust(LogDemand::NotRequired);
    let said = v1();
    let signature = builder.signature("google-hosted-worker", Over::Envelope, &said);
    let document = builder.document(&said, vec![signature]);
    check(document.to_string().as_bytes(), &trust).unwrap();
    let build = "/provenance_summary/provenance/0";
    let other = image().replace("sha256:", "sha256:0")[..71].to_owned();
    let elsewhere = format!("us-docker.pkg.dev/acme/other@{}", image());
    for (place, value, reason) in [
        ("/image_summary/digest".to_owned(), json!(other), "bad_subject"),
        ("/image_summary/fully_qualified_digest".to_owned(), json!(format!("x@{other}")), "bad_subject"),
        ("/image_summary/fully_qualified_digest".to_owned(), json!("x"), "bad_subject"),
        ("/image_summary/fully_qualified_digest".to_owned(), json!(elsewhere), "bad_subject"),
        (format!("{build}/resourceUri"), json!(format!("https://{elsewhere}")), "bad_subject"),
        (format!("{build}/resourceUri"), json!(format!("https://x@{other}")), "bad_subject"),
        (format!("{build}/kind"), json!("VULNERABILITY"), "malformed"),
        (format!("{build}/build/inTotoSlsaProvenanceV1"), json!(null), "malformed"),
        (format!("{build}/build/inTotoSlsaProvenanceV1/predicateType"), json!("x"), "contradiction"),
        (format!("{build}/build/inTotoSlsaProvenanceV1/subject/0/name"), json!("x"), "contradiction"),
        (format!("{build}/build/inTotoSlsaProvenanceV1/subject"), json!([]), "contradiction"),
        (
            format!("{build}/build/inTotoSlsaProvenanceV1/predicate/runDetails/builder/id"),
            json!("x"),
            "contradiction",
        ),
        (format!("{build}/envelope/payloadType"), json!("text/plain"), "unsupported"),
    ] {
        let mut altered = document.clone();
        *altered.pointer_mut(&place).unwrap() = value;
        let refused = check(altered.to_string().as_bytes(), &trust).unwrap_err();
        assert_eq!(refused.reason.as_str(), reason, "{place}: {refused:?}");
    }
    let mut more = document.clone();
    more.pointer_mut(&format!("{build}/build/inTotoSlsaProvenanceV1/predicate")).unwrap()["added"] = json!(1);
    assert_eq!(check(more.to_string().as_bytes(), &trust).unwrap_err().reason.as_str(), "contradiction");
}
