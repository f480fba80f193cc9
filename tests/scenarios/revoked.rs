//! A withdrawn key and when its signatures were made: without a signed time, from when their bytes were first recorded. That
//! is the one thing of which the order of events decides, so that no scenario of the folders can show it.

use scenarios::play::Play;
use scenarios::steps::Script;

#[test]
fn a_key_signature_without_a_signed_time_counts_from_its_first_record() {
    let contract = |revoked: &str| {
        format!(
            "apiVersion: custody.dev/v1\nkind: Pipeline\nmetadata: {{ name: vendor }}\nspec:\n  \
             images: [quay.io/vendor/proxy]\n  require: [signature]\n  \
             signatures: {{ anyOf: [ {{ key: {{ file: release.pub, log: not-required{revoked} }} }} ] }}\n"
        )
    };
    let image = "quay.io/vendor/proxy";
    let signature = |at: u32| {
        let attest = serde_json::json!({
            "name": format!("S{at}"), "to": format!("D{at}"), "image": image, "kind": "signature", "key": "K1",
        });
        serde_json::json!({ "at": at, "attest": attest })
    };
    let started = |at: u32| serde_json::json!({ "at": at + 1, "started": { "digest": format!("D{at}"), "image": image } });
    let script: Script = serde_json::from_value(serde_json::json!({
        "story": "a key that was withdrawn",
        "contracts": contract(""),
        "keys": { "release.pub": "K1" },
        // 1800 seconds after the start is half past eight.
        "steps": [
            signature(1799), started(1799), signature(1800), started(1800),
            { "at": 5000, "contracts": contract(", revokedFrom: 2026-03-02T08:30:00Z") },
        ],
    }))
    .unwrap();
    let trusted = Play::script(&script).trusted();
    let expected = format!("vendor {}", scenarios::names::digest("D1799"));
    assert_eq!(trusted.into_iter().collect::<Vec<_>>(), [expected]);
}
