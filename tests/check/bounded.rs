//! Evidence as large as it may be and made to cost: it is refused, in memory that is bounded by a small multiple of its size.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus_schema::Digest;
use serde_json::{Value, json};

use crate::program;

/// What the program may take: the address space of a process, in KiB. Its own start takes a quarter of it.
const ADDRESS_SPACE_KIB: u64 = 400 << 10;
/// The bound of one piece of evidence.
const EVIDENCE_BYTES_MAX: usize = 16 << 20;

/// As many elements as fit into the bound.
fn filled(element: &str) -> String {
    let room = EVIDENCE_BYTES_MAX * 3 / 4 - (64 << 10);
    let count = room / (element.len() + 1);
    vec![element; count].join(",")
}

fn envelope(statement: &str, signatures: &str) -> String {
    let payload = STANDARD.encode(statement);
    format!(
        r#"{{"payloadType":"application/vnd.in-toto+json","payload":"{payload}","signatures":[{signatures}]}}"#
    )
}

fn statement(subjects: &str, predicate_type: &str, predicate: &str) -> String {
    format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{subjects}],"predicateType":"{predicate_type}","predicate":{predicate}}}"#
    )
}

fn documents() -> Vec<(&'static str, String)> {
    let subject =
        json!({ "name": "app", "digest": { "sha256": Digest::sha256_of(b"app").hex() } }).to_string();
    let slsa = "https://slsa.dev/provenance/v1";
    let signature = r#"{"sig":"AAEC"}"#;
    let bundle = |entries: &str| {
        format!(
            r#"{{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{{"certificate":{{"rawBytes":"AAEC"}},"tlogEntries":[{entries}]}},"messageSignature":{{"messageDigest":{{"algorithm":"SHA2_256","digest":"AAEC"}},"signature":"AAEC"}}}}"#
        )
    };
    let material = r#"{"uri":"git+https://github.com/acme/api","digest":{"gitCommit":"aa"}}"#;
    let component = r#"{"type":"library","name":"x","version":"1","purl":"pkg:npm/x@1"}"#;
    vec![
        ("nested lists", "[".repeat(EVIDENCE_BYTES_MAX - 1)),
        ("nested objects", r#"{"a":"#.repeat(EVIDENCE_BYTES_MAX / 5)),
        ("one long text", format!("\"{}\"", "\\u0041".repeat(EVIDENCE_BYTES_MAX / 6 - 2))),
        ("subjects without end", envelope(&statement(&filled(&subject), slsa, "{}"), signature)),
        ("signatures without end", envelope(&statement(&subject, slsa, "{}"), &filled(signature))),
        ("log entries without end", bundle(&filled(r#"{"logIndex":"1"}"#))),
        (
            "materials without end",
            envelope(
                &statement(
                    &subject,
                    slsa,
                    &format!(
                        r#"{{"buildDefinition":{{"resolvedDependencies":[{}]}},"runDetails":{{"builder":{{"id":"x"}}}}}}"#,
                        filled(material)
                    ),
                ),
                signature,
            ),
        ),
        (
            "components without end",
            envelope(
                &statement(
                    &subject,
                    "https://cyclonedx.org/bom",
                    &format!(
                        r#"{{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{}]}}"#,
                        filled(component)
                    ),
                ),
                signature,
            ),
        ),
        (
            "documents without end",
            vec![envelope(&statement(&subject, slsa, "{}"), signature); 4096].join("\n"),
        ),
        ("more than the bound", "x".repeat(EVIDENCE_BYTES_MAX + 1)),
    ]
}

#[tokio::test]
async fn evidence_made_to_cost_is_refused_within_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("app"), b"app").unwrap();
    let evidence = folder.path().join("evidence.json");
    for (what, document) in documents() {
        std::fs::write(&evidence, document).unwrap();
        let arguments = ["./app", "--evidence", "evidence.json", "--source-uri", "github.com/acme/api"];
        let answer = program::check_within(folder.path(), ADDRESS_SPACE_KIB, &arguments).await;
        assert!(matches!(answer.code, 1 | 2), "{what}: {}: {}", answer.code, answer.stderr);
        assert_ne!(answer.json["trusted"], Value::Bool(true), "{what}");
        // It says what was wrong in a bounded answer.
        assert!(answer.stderr.len() < 16 << 10, "{what}: {} bytes", answer.stderr.len());
        assert!(!answer.stderr.contains("panicked"), "{what}: {}", answer.stderr);
    }
}

#[tokio::test]
async fn the_bound_on_memory_is_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("app"), b"app").unwrap();
    let arguments = ["./app", "--evidence", "app", "--source-uri", "github.com/acme/api"];
    let fits = program::check_within(folder.path(), ADDRESS_SPACE_KIB, &arguments).await;
    assert_eq!(fits.code, 2, "{fits:#?}");
    let too_little = program::check_within(folder.path(), 16 << 10, &arguments).await;
    assert_ne!(too_little.code, 2, "{too_little:#?}");
}
