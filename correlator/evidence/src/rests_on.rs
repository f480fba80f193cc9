//! What of a trust root a verified signature rests on: the authorities and logs without which it would not have verified.
//!
//! Inputs are a bundle that verified against the root; the output goes into the statement, so that the core can withdraw a
//! part of a root without verifying anything again. Where it cannot be told which of several parts was needed, all are named.

use bus_schema::Digest;
use correlator_core::facts::RootParts;
use sigstore_verify::types::Bundle;

use crate::certificate::{self, Chain};
use crate::trust::TrustRoot;

/// The parts behind a bundle's log entries and timestamps.
pub(crate) fn of_bundle(bundle: &Bundle, root: &TrustRoot) -> RootParts {
    let entries = &bundle.verification_material.tlog_entries;
    let logs = entries.iter().filter_map(|entry| log(entry.log_id.key_id.as_bytes(), root));
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
        parts.logs.extend(certificate::transparency_log(leaf, root));
    }
}

/// A signature log of the root by its id.
pub(crate) fn log(id: &[u8], root: &TrustRoot) -> Option<Digest> {
    let log = root.trusted_root().tlogs.iter().find(|log| log.log_id.key_id.as_bytes() == id)?;
    Some(Digest::sha256_of(log.public_key.raw_bytes.as_bytes()))
}
