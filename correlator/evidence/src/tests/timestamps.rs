//! Timestamps (RFC 3161): what they are over, and who may have made them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus_schema::Digest;
use correlator_core::facts::{Outcome, RefusalReason};
use serde_json::{Value, json};

use super::{PROVENANCE, provenance};
use crate::Demands;
use crate::testing::authority::{Authority, Identity, SIGNED_AT, release_claims};
use crate::testing::timestamper::{Timestamper, authority_json};
use crate::testing::{DSSE, Key, refused, statement, verified, verify_layer};
use crate::trust::{LogDemand, TrustRoot, TrustSet};

/// A root of this authority that knows these authorities of timestamps too.
fn root(authority: &Authority, timestamps: Value, demands: Demands) -> TrustRoot {
    let mut root = authority.root_json(None);
    root["timestampAuthorities"] = timestamps;
    TrustRoot::from_json("test", &root.to_string(), demands).unwrap()
}

/// The body of a log entry of kind `dsse` about an envelope.
fn dsse_body(envelope: &Value, verifier: &str) -> String {
    let payload = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    let hash = |bytes: &[u8]| json!({ "algorithm": "sha256", "value": Digest::sha256_of(bytes).hex() });
    let signature = envelope["signatures"][0]["sig"].clone();
    let spec = json!({
        "envelopeHash": hash(envelope.to_string().as_bytes()),
        "payloadHash": hash(&payload),
        "signatures": [{ "signature": signature, "verifier": STANDARD.encode(verifier) }],
    });
    json!({ "apiVersion": "0.0.1", "kind": "dsse", "spec": spec }).to_string()
}

fn signature_of(envelope: &Value) -> Vec<u8> {
    STANDARD.decode(envelope["signatures"][0]["sig"].as_str().unwrap()).unwrap()
}

/// cosign had the whole envelope dated until 2025, and the envelope's signature since.
#[test]
fn a_timestamp_of_an_attestation_layer_is_over_the_layer_or_over_its_signature() {
    let authority = Authority::new();
    let timestamper = Timestamper::new();
    let signer = timestamper.signer();
    let chain = authority_json(&[&signer.certificate, &timestamper.certificate], None);
    let said = statement(PROVENANCE, provenance());
    let identity: Identity = authority.identity(&release_claims());
    let key = Key::generate();
    for by_certificate in [true, false] {
        let (envelope, verifier) = match by_certificate {
            true => (identity.envelope(&said), identity.pem()),
            false => (key.envelope(&said), key.pem()),
        };
        let certificate = by_certificate.then_some(&*identity.certificate);
        let logged = authority.annotations_of(certificate, dsse_body(&envelope, &verifier).as_bytes());
        let logged: BTreeMap<String, String> = logged.into_iter().collect();
        let without_log = || {
            let mut annotations = logged.clone();
            annotations.remove("dev.sigstore.cosign/bundle");
            annotations
        };
        let verify = |layer: &Value, token: &[u8], is_logged: bool| -> Outcome {
            let demands = Demands { log: is_logged, ..Demands::default() };
            let log = if is_logged { LogDemand::Required } else { LogDemand::NotRequired };
            let keys = if by_certificate { vec![] } else { vec![key.trusted(log)] };
            let trust = TrustSet::new(vec![root(&authority, json!([chain]), demands)], keys).unwrap();
            let mut annotations = if is_logged { logged.clone() } else { without_log() };
            let token = json!({ "SignedRFC3161Timestamp": STANDARD.encode(token) }).to_string();
            annotations.insert("dev.sigstore.cosign/rfc3161timestamp".to_owned(), token);
            verify_layer(DSSE, layer.to_string().as_bytes(), &annotations, &trust)
        };
        let stamp = |bytes: &[u8]| signer.stamp(bytes, SIGNED_AT + 30, &[]);
        let layer = envelope.to_string().into_bytes();
        for is_logged in [true, false] {
            for over in [&layer, &signature_of(&envelope)] {
                let found = verified(verify(&envelope, &stamp(over), is_logged));
                assert_eq!(found.signed_at.map(|at| at.as_second()), Some(SIGNED_AT + 30));
                let own = [&signer.certificate, &timestamper.certificate].map(|der| Digest::sha256_of(der));
                assert!(found.rests_on.authorities.is_superset(&own.into()));
            }
            let payload = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
            let another = Timestamper::new().signer().stamp(&layer, SIGNED_AT + 30, &[]);
            let mut altered = stamp(&layer);
            *altered.last_mut().unwrap() ^= 1;
            for token in [stamp(b"something else"), stamp(&payload), stamp(b""), another, altered] {
                let found = refused(verify(&envelope, &token, is_logged));
                assert_eq!(found.reason, RefusalReason::BadTime, "{by_certificate} {is_logged}: {found:?}");
            }
            // What is not signed is stamped with the rest: another layout of the same envelope is not what was stamped.
            let mut other = envelope.clone();
            other["more"] = json!(1);
            let found = refused(verify(&other, &stamp(&layer), is_logged));
            assert_eq!(found.reason, RefusalReason::BadTime, "{found:?}");
            // Stamped as it stands, and signed by nobody.
            let mut forged = envelope.clone();
            forged["payload"] = json!(STANDARD.encode(said.to_string().replace("\"api\"", "\"web\"") + " "));
            let found = refused(verify(&forged, &stamp(forged.to_string().as_bytes()), is_logged));
            assert_eq!(found.reason, RefusalReason::BadSignature, "{found:?}");
            if by_certificate {
                let late = signer.stamp(&layer, SIGNED_AT + 3600, &[]);
                let found = refused(verify(&envelope, &late, is_logged));
                assert_eq!(found.reason, RefusalReason::BadTime, "{found:?}");
            }
        }
    }
}
