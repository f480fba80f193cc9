//! When an authority of a root vouches, and for what: its own window, the validity of its own certificates, its own chain.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus_schema::Digest;
use correlator_core::facts::RefusalReason;
use serde_json::{Value, json};

use super::keyless::{check, reason, with_chain};
use super::{PROVENANCE, provenance};
use crate::Demands;
use crate::testing::authority::{Authority, release_claims};
use crate::testing::{statement, verified};
use crate::trust::{TrustRoot, TrustSet};

const ENDED: Option<&str> = Some("2023-12-31T00:00:00Z");
const OPEN: Option<&str> = None;

/// A root with these authorities, each its certificates from the lowest up and the end of its window, and the logs of one.
fn root(logs: &Authority, authorities: &[(&[&[u8]], Option<&str>)]) -> TrustSet {
    let mut root = logs.root_json(None);
    let authority = |(certificates, until): &(&[&[u8]], Option<&str>)| {
        let certificates = certificates.iter().map(|der| json!({ "rawBytes": STANDARD.encode(der) }));
        let mut authority = root["certificateAuthorities"][0].clone();
        authority["certChain"] = json!({ "certificates": certificates.collect::<Vec<_>>() });
        if let Some(until) = until {
            authority["validFor"]["end"] = json!(until);
        }
        authority
    };
    root["certificateAuthorities"] = authorities.iter().map(authority).collect::<Vec<_>>().into();
    let root = TrustRoot::from_json("test", &root.to_string(), Demands::default()).unwrap();
    TrustSet::new(vec![root], vec![]).unwrap()
}

/// Bundles of an authority that another vouches for: without its certificate, and with it.
fn bundles(between: &Authority, certificate: &[u8]) -> [Value; 2] {
    let alone = between.bundle(&between.identity(&release_claims()), &statement(PROVENANCE, provenance()));
    let with_chain = with_chain(&alone, certificate);
    [alone, with_chain]
}

#[test]
fn an_authority_that_ended_is_not_carried_on_by_another_that_shares_its_root() {
    let top = Authority::new();
    let ((old, old_certificate), (_, new_certificate)) = (top.between(false), top.between(false));
    let [old_chain, new_chain] =
        [[&*old_certificate, top.certificate()], [&*new_certificate, top.certificate()]];
    let ended = root(&old, &[(&old_chain, ENDED), (&new_chain, OPEN)]);
    let in_force = root(&old, &[(&old_chain, OPEN), (&new_chain, OPEN)]);
    for bundle in bundles(&old, &old_certificate) {
        // The other has the same name, and another key.
        assert_eq!(reason(&bundle, &ended), RefusalReason::BadCertificate);
        let found = verified(check(&bundle, &in_force));
        let own = old_chain.map(Digest::sha256_of);
        assert_eq!(found.rests_on.authorities, own.into());
    }
}

#[test]
fn nothing_is_signed_by_an_authority_whose_own_certificate_has_ended() {
    let top = Authority::new();
    for (has_ended, expected) in [(true, Some(RefusalReason::UntrustedSigner)), (false, None)] {
        let (between, certificate) = top.between(has_ended);
        let whole = root(&between, &[(&[&certificate, top.certificate()], OPEN)]);
        for bundle in bundles(&between, &certificate) {
            match expected {
                Some(expected) => assert_eq!(reason(&bundle, &whole), expected),
                None => drop(verified(check(&bundle, &whole))),
            }
        }
    }
}

/// So that a contract can withdraw it, although the root does not list it.
#[test]
fn what_verified_rests_on_the_certificates_between_too() {
    let top = Authority::new();
    let (between, certificate) = top.between(false);
    let [alone, with_chain] = bundles(&between, &certificate);
    let trust = root(&between, &[(&[top.certificate()], OPEN)]);
    assert_eq!(reason(&alone, &trust), RefusalReason::UntrustedSigner);
    let found = verified(check(&with_chain, &trust));
    let both = [&*certificate, top.certificate()].map(Digest::sha256_of);
    assert_eq!(found.rests_on.authorities, both.into());
}
