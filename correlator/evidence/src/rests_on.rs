//! What of a trust root a verified signature rests on: the authorities and logs without which it would not have verified.
//!
//! Inputs are a bundle that verified against the root; the output goes into the statement, so that the core can withdraw a
//! part of a root without verifying anything again. Where it cannot be told which of several parts was needed, all are named.

use std::collections::BTreeSet;

use bus_schema::Digest;
use correlator_core::facts::RootParts;
use sigstore_verify::types::Bundle;

use crate::certificate::{self, Chain};
use crate::trust::TrustRoot;

/// All parts of a root, by every name that they may be withdrawn by. What a root leaves out between its own certificates and
/// a signer's has a name too, which is not here.
pub(crate) fn parts_of(root: &TrustRoot) -> RootParts {
    let root = root.trusted_root();
    let signing = root.certificate_authorities.iter().map(|authority| &authority.cert_chain);
    let timing = root.timestamp_authorities.iter().map(|authority| &authority.cert_chain);
    let certificates = signing.chain(timing).flat_map(|chain| &chain.certificates);
    let signatures = root.tlogs.iter().map(|log| (&log.log_id, &log.public_key));
    let published = root.ctlogs.iter().map(|log| (&log.log_id, &log.public_key));
    let logs = signatures.chain(published);
    RootParts {
        authorities: certificates
            .map(|certificate| Digest::sha256_of(certificate.raw_bytes.as_bytes()))
            .collect(),
        logs: logs.flat_map(|(id, key)| names(id.key_id.as_bytes(), key.raw_bytes.as_bytes())).collect(),
    }
}

/// The parts behind a bundle's log entries and timestamps.
pub(crate) fn of_bundle(bundle: &Bundle, root: &TrustRoot) -> RootParts {
    let entries = &bundle.verification_material.tlog_entries;
    let logs = entries.iter().flat_map(|entry| log(entry.log_id.key_id.as_bytes(), root));
    RootParts { logs: logs.collect(), authorities: root.timestamp_signers().authorities(bundle) }
}

/// The parts behind a certificate: its authority, and the log that vouches for its publication where one was asked.
pub(crate) fn add_certificate(
    parts: &mut RootParts,
    leaf: &[u8],
    chain: &Chain,
    root: &TrustRoot,
    logged: bool,
) {
    parts.authorities.extend(chain.authorities.iter().copied());
    if logged {
        let log = certificate::transparency_log(leaf, root);
        let named = log.map(|log| names(log.log_id.key_id.as_bytes(), log.public_key.raw_bytes.as_bytes()));
        parts.logs.extend(named.unwrap_or_default());
    }
}

/// A signature log of the root by its id.
pub(crate) fn log(id: &[u8], root: &TrustRoot) -> BTreeSet<Digest> {
    let known = root.trusted_root().tlogs.iter().find(|log| log.log_id.key_id.as_bytes() == id);
    known.map(|log| names(id, log.public_key.raw_bytes.as_bytes())).unwrap_or_default()
}

/// What a log may be called: the digest of its key, and its id where that is another one (sigstore/rekor-tiles).
fn names(id: &[u8], key: &[u8]) -> BTreeSet<Digest> {
    let id = id.try_into().map(Digest::Sha256);
    [Digest::sha256_of(key)].into_iter().chain(id).collect()
}
