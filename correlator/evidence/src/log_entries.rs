//! What a bundle's log entries must be beyond what the verifying crate checks: every field either proven or absent.
//!
//! The crate proves that an entry's body is in a log of the trust root and about this signature. It leaves open which of
//! the root's logs signed the checkpoint, ignores the copies of index, size and root that a Rekor v2 proof carries, and
//! takes entries without any proof beside a proven one.

use correlator_core::facts::{Refusal, RefusalReason};
use jiff::Timestamp;
use sigstore_verify::types::{
    Bundle, CheckpointSignature, InclusionProof, KindVersion, TransparencyLogEntry,
};

use crate::bounds::{
    CHECKPOINT_BYTES_MAX, CHECKPOINT_SIGNATURES_MAX, ENTRY_BODY_BYTES_MAX, LOG_ENTRIES_MAX, PROOF_HASHES_MAX,
    TIMESTAMP_BYTES_MAX, TIMESTAMPS_MAX,
};
use crate::refusal::{malformed, refusal, too_large};
use crate::trust::TrustRoot;

/// Checks that need no key: counts, no entry, timestamp or signature twice, no field without meaning.
pub(crate) fn check_shape(bundle: &Bundle) -> Result<(), Refusal> {
    let material = &bundle.verification_material;
    let entries = &material.tlog_entries;
    if entries.len() > LOG_ENTRIES_MAX {
        return Err(too_large("log entries", LOG_ENTRIES_MAX, entries.len()));
    }
    let timestamps = &material.timestamp_verification_data.rfc3161_timestamps;
    if timestamps.len() > TIMESTAMPS_MAX {
        return Err(too_large("timestamps", TIMESTAMPS_MAX, timestamps.len()));
    }
    for (position, entry) in entries.iter().enumerate() {
        // Of two logs each has an entry of its own, with one body.
        let is_same = |other: &TransparencyLogEntry| {
            other.log_id == entry.log_id
                && (other.canonicalized_body == entry.canonicalized_body
                    || other.log_index == entry.log_index)
        };
        if entries[..position].iter().any(is_same) {
            return Err(malformed("each log entry once", "one twice"));
        }
        check_entry(entry)?;
    }
    for (position, timestamp) in timestamps.iter().enumerate() {
        let bytes = timestamp.signed_timestamp.as_bytes().len();
        if bytes > TIMESTAMP_BYTES_MAX {
            return Err(too_large("bytes of a timestamp", TIMESTAMP_BYTES_MAX, bytes));
        }
        if timestamps[..position].contains(timestamp) {
            return Err(malformed("each timestamp once", "one twice"));
        }
    }
    Ok(())
}

/// The bounds of one entry. The signatures of a checkpoint are counted before any of them is looked at.
fn check_size(entry: &TransparencyLogEntry) -> Result<(), Refusal> {
    let body = entry.canonicalized_body.as_bytes().len();
    if body > ENTRY_BODY_BYTES_MAX {
        return Err(too_large("bytes of a log entry", ENTRY_BODY_BYTES_MAX, body));
    }
    let Some(proof) = &entry.inclusion_proof else { return Ok(()) };
    if proof.hashes.len() > PROOF_HASHES_MAX {
        return Err(too_large("hashes of an inclusion proof", PROOF_HASHES_MAX, proof.hashes.len()));
    }
    let Some(checkpoint) = proof.checkpoint.checkpoint() else { return Ok(()) };
    let signatures = checkpoint.signatures();
    if signatures.len() > CHECKPOINT_SIGNATURES_MAX {
        return Err(too_large("signatures of a checkpoint", CHECKPOINT_SIGNATURES_MAX, signatures.len()));
    }
    let signed = signatures.iter().map(|one| one.name.len() + one.signature.as_bytes().len());
    let bytes = checkpoint.signed_data().len() + signed.sum::<usize>();
    if bytes > CHECKPOINT_BYTES_MAX {
        return Err(too_large("bytes of a checkpoint", CHECKPOINT_BYTES_MAX, bytes));
    }
    for (position, one) in signatures.iter().enumerate() {
        let is_same =
            |other: &CheckpointSignature| other.name == one.name && other.signature == one.signature;
        if signatures[..position].iter().any(is_same) {
            return Err(malformed("each signature of a checkpoint once", "one twice"));
        }
    }
    Ok(())
}

fn check_entry(entry: &TransparencyLogEntry) -> Result<(), Refusal> {
    check_size(entry)?;
    if entry.inclusion_proof.is_none() && entry.inclusion_promise.is_none() {
        return Err(bad_entry("an inclusion proof or promise", "neither"));
    }
    if entry.inclusion_promise.is_some() && entry.integrated_time.is_none() {
        return Err(bad_entry("the time that the inclusion promise covers", "none"));
    }
    if is_version_2(entry) {
        check_version_2(entry)
    } else {
        entry.inclusion_proof.as_ref().map_or(Ok(()), check_tree_size)
    }
}

/// Rekor v2 signs neither promise nor time; the proof's index, size and root repeat what entry and checkpoint say.
fn check_version_2(entry: &TransparencyLogEntry) -> Result<(), Refusal> {
    if entry.inclusion_promise.is_some() || entry.integrated_time.is_some() {
        return Err(bad_entry("no promise and no time in an entry of Rekor v2", "one"));
    }
    let Some(proof) = &entry.inclusion_proof else {
        return Err(bad_entry("an inclusion proof", "none"));
    };
    let Some(checkpoint) = proof.checkpoint.checkpoint() else {
        return Err(bad_entry("a checkpoint", "none"));
    };
    if proof.log_index != entry.log_index {
        return Err(bad_entry(format!("a proof for entry {}", entry.log_index), proof.log_index.to_string()));
    }
    if proof.root_hash != *checkpoint.root_hash() {
        return Err(bad_entry("a proof to the checkpoint's root", "another root"));
    }
    check_tree_size(proof)
}

/// The proof's tree is the checkpoint's. A tree of one entry has that entry's hash as its root, whatever size a log
/// without a tree (as test instances have) writes beside it.
fn check_tree_size(proof: &InclusionProof) -> Result<(), Refusal> {
    let Some(checkpoint) = proof.checkpoint.checkpoint() else {
        return Ok(());
    };
    let alone = proof.tree_size == 1 && proof.hashes.is_empty();
    if proof.tree_size == checkpoint.tree_size() || alone {
        return Ok(());
    }
    Err(bad_entry(
        format!("a proof in the checkpoint's tree of {}", checkpoint.tree_size()),
        proof.tree_size.to_string(),
    ))
}

/// Checks, after the crate verified the bundle against `root`, that each entry's own log signed its checkpoint, and that
/// the log's key was valid at the proven times.
pub(crate) fn check_against(bundle: &Bundle, root: &TrustRoot, times: &[Timestamp]) -> Result<(), Refusal> {
    for entry in &bundle.verification_material.tlog_entries {
        let id = entry.log_id.key_id.as_bytes();
        let Some(log) = root.log(id) else {
            return Err(bad_entry("a log of the trust root", entry.log_id.key_id.to_string()));
        };
        if let Some(window) = log.window
            && let Some(outside) = times.iter().find(|time| !window.contains(**time))
        {
            return Err(bad_entry(
                format!("a log whose key is valid at {outside}"),
                "a key outside its validity",
            ));
        }
        let Some(checkpoint) = entry.inclusion_proof.as_ref().and_then(|proof| proof.checkpoint.checkpoint())
        else {
            continue;
        };
        let signed = checkpoint.signatures().iter().any(|signature| {
            is_of_origin(&signature.name, checkpoint.origin())
                && log.key.has_signed(checkpoint.signed_data(), &signature.signature)
        });
        if !signed {
            return Err(bad_entry("a checkpoint signed by the entry's own log", "a signature of another"));
        }
    }
    Ok(())
}

/// The log signs by its own name, which begins the checkpoint (C2SP tlog-checkpoint; Rekor v1 adds ` - ` and a tree id).
pub(crate) fn is_of_origin(name: &str, origin: &str) -> bool {
    origin.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(" - "))
}

pub(crate) fn is_version_2(entry: &TransparencyLogEntry) -> bool {
    entry.kind_version == KindVersion::HashedRekordV002
}

fn bad_entry(expected: impl Into<String>, found: impl Into<String>) -> Refusal {
    refusal(RefusalReason::BadLogEntry, expected, found)
}
