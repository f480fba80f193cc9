//! Timestamps (RFC 3161): what they are over, and who may have made them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus_schema::Digest;
use correlator_core::facts::{Outcome, RefusalReason};
use rcgen::{ExtendedKeyUsagePurpose, SerialNumber};
use serde_json::{Value, json};

use super::{PROVENANCE, provenance};
use crate::Demands;
use crate::testing::authority::{Authority, Identity, SIGNED_AT, release_claims};
use crate::testing::timestamper::{TimeSigner, Timestamper, authority_json};
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

/// cosign takes a chain of a timestamp authority without its signer's certificate, which comes with each timestamp then.
#[test]
fn a_signer_that_the_root_leaves_out_comes_with_its_timestamps() {
    let (authority, timestamper, stranger) = (Authority::new(), Timestamper::new(), Timestamper::new());
    let between = timestamper.between();
    let [top, middle] = [&*timestamper.certificate, &*between.certificate];
    let bundle =
        authority.bundle(&authority.identity(&release_claims()), &statement(PROVENANCE, provenance()));
    let signature = signature_of(&bundle["dsseEnvelope"]);
    let verify = |timestamps: &Value, token: Vec<u8>| {
        let trust = root(&authority, timestamps.clone(), Demands::default());
        let trust = TrustSet::new(vec![trust], vec![]).unwrap();
        let mut stamped = bundle.clone();
        stamped["verificationMaterial"]["timestampVerificationData"] =
            json!({ "rfc3161Timestamps": [{ "signedTimestamp": STANDARD.encode(token) }] });
        super::keyless::check(&stamped, &trust)
    };
    let stamp = |signer: &TimeSigner, embedded: &[&[u8]]| signer.stamp(&signature, SIGNED_AT + 30, embedded);
    let is_refused = |timestamps: &Value, token: Vec<u8>| {
        let found = refused(verify(timestamps, token));
        assert_eq!(found.reason, RefusalReason::BadTime, "{found:?}");
        found
    };

    for (issuer, chain) in [(&timestamper, &[top][..]), (&between, &[middle, top])] {
        let open = json!([authority_json(chain, None)]);
        let signer = issuer.signer();
        let leaf = &*signer.certificate;
        let found = verified(verify(&open, stamp(&signer, &[leaf])));
        assert_eq!(found.signed_at.map(|at| at.as_second()), Some(SIGNED_AT + 30));
        // A contract can withdraw the authority, and the signer by itself.
        let mut rests_on = authority.parts().authorities;
        rests_on.extend(chain.iter().chain(&[leaf]).map(|der| Digest::sha256_of(der)));
        assert_eq!(found.rests_on.authorities, rests_on);
        // Beside the authority's own certificates, which may come along as well.
        verified(verify(&open, stamp(&signer, &[&[leaf], chain].concat())));

        is_refused(&open, stamp(&signer, &[]));
        // Another's, by the same name and number.
        let others = stranger.signer();
        is_refused(&open, stamp(&others, &[&others.certificate]));
        is_refused(&open, stamp(&others, &[leaf]));
        // What is no signer's comes along for nothing.
        is_refused(&open, stamp(&signer, &[leaf, &others.certificate]));
        is_refused(&open, stamp(&signer, &[leaf, &stranger.certificate]));
        let mut altered = stamp(&signer, &[leaf]);
        *altered.last_mut().unwrap() ^= 1;
        is_refused(&open, altered);

        let of_another_use = issuer
            .signer_with(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning]);
        is_refused(&open, stamp(&of_another_use, &[&of_another_use.certificate]));
        let of_no_use = issuer.signer_with(|params| params.extended_key_usages = vec![]);
        is_refused(&open, stamp(&of_no_use, &[&of_no_use.certificate]));
        let ended = issuer.signer_with(|params| params.not_after = rcgen::date_time_ymd(2024, 1, 1));
        is_refused(&open, stamp(&ended, &[&ended.certificate]));
        let to_come = issuer.signer_with(|params| params.not_before = rcgen::date_time_ymd(2024, 1, 3));
        is_refused(&open, stamp(&to_come, &[&to_come.certificate]));

        // The authority's window is the signer's.
        let closed = json!([authority_json(chain, Some("2024-01-01T00:00:00Z"))]);
        is_refused(&closed, stamp(&signer, &[leaf]));
        // Where the root names a signer, it names all.
        let whole = json!([authority_json(&[&[leaf], chain].concat(), None)]);
        verified(verify(&whole, stamp(&signer, &[leaf])));
        let second = issuer.signer_with(|params| params.serial_number = Some(SerialNumber::from(10)));
        is_refused(&whole, stamp(&second, &[&second.certificate]));
        // One that an authority of its own has named stands and falls with that.
        let both = json!([authority_json(&[&[leaf], chain].concat(), Some("2024-01-01T00:00:00Z")), open[0]]);
        is_refused(&both, stamp(&signer, &[leaf]));
        let renamed = signer.renewed_by(issuer);
        is_refused(&both, stamp(&renamed, &[&renamed.certificate]));
        verified(verify(&both, stamp(&second, &[&second.certificate])));
    }

    // Of several authorities the one that issued it is what the timestamp rests on.
    let signer = between.signer();
    let several = json!([
        authority_json(&[&stranger.signer().certificate, &stranger.certificate], None),
        authority_json(&[middle, top], None)
    ]);
    let found = verified(verify(&several, stamp(&signer, &[&signer.certificate])));
    let withdrawable = &found.rests_on.authorities;
    assert!(withdrawable.contains(&Digest::sha256_of(middle)));
    assert!(!withdrawable.contains(&Digest::sha256_of(&stranger.certificate)));
}
