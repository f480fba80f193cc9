//! That a log holds an entry: the inclusion proof up to the root of the log's tree (RFC 9162, section 2.1.3) and the
//! checkpoint in which the log signed that root (C2SP, tlog-checkpoint).

use correlator_core::facts::{Refusal, RefusalReason};
use sigstore_verify::types::{Bundle, Checkpoint, InclusionProof, TransparencyLogEntry};

use crate::log_entries::{is_of_origin, is_version_2};
use crate::log_key::LogKey;
use crate::refusal::{Failed, Step, refusal};
use crate::trust::TrustRoot;

/// Verifies the entry's proof, where it has one, with the key of the entry's own log, which has begun.
pub(crate) fn verify(entry: &TransparencyLogEntry, root: &TrustRoot) -> Result<(), Failed> {
    let Some(proof) = &entry.inclusion_proof else { return Ok(()) };
    let Some(checkpoint) = proof.checkpoint.checkpoint() else {
        return Err(bad("a checkpoint", "none"));
    };
    verify_proof(entry, proof, checkpoint)?;
    verify_checkpoint(entry, checkpoint, root)
}

/// Takes away the inclusion proofs that end in no checkpoint: nobody signed their root, so they prove nothing, and the
/// log's promise beside them vouches for the entry. Clients wrote such bundles of version 0.1 before the log gave out
/// checkpoints. A proof that does not even lead to the root that it names is refused.
pub(crate) fn settle_unsigned(bundle: &mut Bundle) -> Result<(), Refusal> {
    for entry in &mut bundle.verification_material.tlog_entries {
        if entry.inclusion_promise.is_none() {
            continue;
        }
        let Some(proof) = entry.inclusion_proof.take_if(|proof| proof.checkpoint.is_empty()) else {
            continue;
        };
        let leaf = sigstore_merkle::hash_leaf(entry.canonicalized_body.as_bytes());
        let (index, size) = (proof.log_index.get(), proof.tree_size);
        sigstore_merkle::verify_inclusion_proof(&leaf, index, size, &proof.hashes, &proof.root_hash)
            .map_err(|error| unproven(&error.to_string()).refusal)?;
    }
    Ok(())
}

fn verify_proof(
    entry: &TransparencyLogEntry,
    proof: &InclusionProof,
    checkpoint: &Checkpoint,
) -> Result<(), Failed> {
    if proof.root_hash != *checkpoint.root_hash() {
        return Err(bad("a proof to the checkpoint's root", "another root"));
    }
    // What a proof of Rekor v2 repeats nobody signed: index and size are the entry's and the checkpoint's.
    let (index, size) = if is_version_2(entry) {
        (entry.log_index.get(), checkpoint.tree_size())
    } else {
        (proof.log_index.get(), proof.tree_size)
    };
    let leaf = sigstore_merkle::hash_leaf(entry.canonicalized_body.as_bytes());
    sigstore_merkle::verify_inclusion_proof(&leaf, index, size, &proof.hashes, checkpoint.root_hash())
        .map_err(|error| unproven(&error.to_string()))
}

fn verify_checkpoint(
    entry: &TransparencyLogEntry,
    checkpoint: &Checkpoint,
    root: &TrustRoot,
) -> Result<(), Failed> {
    let id = &entry.log_id.key_id;
    let key = root.trusted_root().rekor_key_for_log(id);
    let key = key.ok().and_then(|key| LogKey::from_spki(&key).ok());
    let key = key.ok_or_else(|| bad("a log of the trust root, which has begun", &id.to_string()))?;
    let is_signed = checkpoint.signatures().iter().any(|one| {
        id.as_bytes().starts_with(one.key_id.as_bytes())
            && is_of_origin(&one.name, checkpoint.origin())
            && key.has_signed(checkpoint.signed_data(), &one.signature)
    });
    if is_signed { Ok(()) } else { Err(bad("a checkpoint signed by the log", "no signature of it")) }
}

fn unproven(found: &str) -> Failed {
    bad("a proof that the entry is in the log", found)
}

fn bad(expected: &str, found: &str) -> Failed {
    Failed::at(Step::Log, refusal(RefusalReason::BadLogEntry, expected, found))
}
