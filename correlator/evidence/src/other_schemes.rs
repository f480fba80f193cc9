//! Bundles that the verifying crate has no words for: ECDSA P-521 (of signers, authorities and logs), RSASSA-PSS and
//! Ed25519ph, the hash that is not the key's usual one, log entries about another digest than SHA-256, timestamps that are
//! over more than the signature, and those whose signer the root leaves out. Everything that the crate checks is checked
//! here, in the order of sigstore/architecture-docs, client-spec.md, section 4; the sections stand beside the steps.
//!
//! The pieces are those of the crate wherever it offers them: the shape of bundles, timestamps, Merkle trees, the keys of
//! logs. What [`crate::keyless`] and [`crate::managed_key`] check beyond the crate they check after these steps too, and what
//! log entries are about ([`logged_body::check_all`]) after either.

use correlator_core::facts::{Refusal, RefusalReason};
use jiff::Timestamp;
use sigstore_verify::bundle::{ValidationOptions, validate_bundle_with_options};
use sigstore_verify::crypto::KeyAlgorithm;
use sigstore_verify::tsa::verify_timestamp_for_authority;
use sigstore_verify::types::{Bundle, DerPublicKey, SignatureBytes, SignatureContent};
use sigstore_verify::{Error, TimestampError};

use crate::given::Signature;
use crate::keyless::Certified;
use crate::logged_body;
use crate::promise::Promise;
use crate::refusal::{Failed, Step, from_sigstore, refusal, unsupported};
use crate::scheme::Scheme;
use crate::signature::Signed;
use crate::trust::TrustRoot;
use crate::work::Work;
use crate::{certificate, inclusion, timestamp_signer};

/// Whether the verifying crate has no words for a signature or this root: for the keys of the root, for what is stamped, the
/// scheme, or the hash of the log entries. A signer's key that cannot be read is the crate's to refuse.
pub(crate) fn is_needed(signature: &Signature<'_>, root: &TrustRoot) -> bool {
    let Signature { given, scheme, key } = signature;
    let is_beyond_crate =
        || given.is_more_stamped() || scheme.is_ok_and(|scheme| !is_known(given.bundle(), key, scheme));
    root.is_beyond_crate(given.bundle()) || (!key.is_empty() && is_beyond_crate())
}

/// Whether the verifying crate verifies a bundle with this key and scheme: it knows one scheme for each kind of key and
/// digest, and log entries of that digest.
fn is_known(bundle: &Bundle, key: &[u8], scheme: Scheme) -> bool {
    let digest = match &bundle.content {
        SignatureContent::MessageSignature(message) => message.message_digest.as_ref(),
        _ => None,
    };
    let algorithm = KeyAlgorithm::from_spki(&DerPublicKey::new(key.to_vec())).ok();
    let usual = algorithm.and_then(|algorithm| match digest {
        Some(digest) => algorithm.resolve_signing_scheme(digest.algorithm).ok(),
        None => Some(algorithm.default_signing_scheme()),
    });
    let mut entries = bundle.verification_material.tlog_entries.iter();
    usual.map(Scheme::Known) == Some(scheme) && entries.all(|entry| logged_body::is_known(entry, scheme))
}

/// Verifies a signature by a certificate of the root. Who may sign is judged elsewhere.
pub(crate) fn by_certificate(
    signature: &Signature<'_>,
    certificates: &[Vec<u8>],
    root: &TrustRoot,
    work: &mut Work,
) -> Result<Certified, Failed> {
    let demands = root.demands();
    let Some((leaf, others)) = certificates.split_first() else {
        return Err(Failed::at(Step::Shape, unsupported("a signing certificate", "none")));
    };
    work.step()?;

    // 0. The shape that the bundle's version demands (sigstore/protobuf-specs, sigstore_bundle.proto).
    let has_entries = !signature.given.bundle().verification_material.tlog_entries.is_empty();
    check_shape(signature.given.bundle(), demands.log || has_entries)?;
    let info = certificate::info(leaf).map_err(|found| {
        Failed::at(Step::Shape, refusal(RefusalReason::BadCertificate, "a certificate", found))
    })?;

    // 1. [4.2] Establish the signing times from timestamps (RFC 3161) and inclusion promises: at least one.
    let mut times = timestamps(signature, root)?;
    times.extend(promised_times(signature.given.bundle(), root)?);
    if times.is_empty() {
        let expected = "a time that a log or a timestamp authority vouches for";
        return Err(Failed::at(Step::Time, refusal(RefusalReason::BadTime, expected, "none")));
    }

    // 2. [4.3] Chain to the root, code signing and validity at each of these times, so that a log's time is inside the
    //    certificate's validity too; then the certificate's transparency proof (RFC 6962, 3.2).
    for time in &times {
        let chain = certificate::chain_at(leaf, others, *time, root)?;
        certificate::check_validity(&info, *time)?;
        if demands.certificate_transparency {
            certificate::verify_transparency(leaf, &chain.issuer_key, root)?;
        }
    }

    // 3. [4.4] Each entry is in its log: inclusion proof and checkpoint (RFC 9162, 2.1.3).
    for entry in &signature.given.bundle().verification_material.tlog_entries {
        inclusion::verify(entry, root)?;
    }

    // 4. [4.5] The certificate's key signed the artifact, or the envelope; and what the bundle says of its digest is true.
    signature.fitted()?;
    check_message_digest(signature.given.bundle(), signature.given.signed)?;
    Ok(Certified { times, info, is_published: demands.certificate_transparency })
}

/// Verifies what surrounds a signature by a key of the contracts, and gives the times that are vouched for. Step 2 is about
/// certificates.
pub(crate) fn by_key(
    signature: &Signature<'_>,
    is_logged: bool,
    root: &TrustRoot,
    work: &mut Work,
) -> Result<Vec<Timestamp>, Failed> {
    work.step()?;

    // 0. The shape that the bundle's version demands (sigstore/protobuf-specs, sigstore_bundle.proto).
    check_shape(signature.given.bundle(), is_logged)?;

    // 1. [4.2] The times of timestamps (RFC 3161) and inclusion promises, where there are any.
    let mut times = timestamps(signature, root)?;
    times.extend(promised_times(signature.given.bundle(), root)?);

    // 3. [4.4] Each entry is in its log: inclusion proof and checkpoint (RFC 9162, 2.1.3).
    for entry in &signature.given.bundle().verification_material.tlog_entries {
        inclusion::verify(entry, root)?;
    }

    // 4. [4.5] The key signed the artifact, or the envelope; and what the bundle says of its digest is true.
    signature.fitted()?;
    check_message_digest(signature.given.bundle(), signature.given.signed)?;
    Ok(times)
}

fn check_shape(bundle: &Bundle, is_logged: bool) -> Result<(), Failed> {
    let options =
        ValidationOptions::new().with_require_inclusion_proof(is_logged).with_require_timestamp(false);
    validate_bundle_with_options(bundle, &options).map_err(|error| from_sigstore(&Error::Bundle(error)))
}

/// Each timestamp is over what is said to be stamped, by an authority of the root that was valid then.
fn timestamps(signature: &Signature<'_>, root: &TrustRoot) -> Result<Vec<Timestamp>, Failed> {
    let stamped =
        &signature.given.bundle().verification_material.timestamp_verification_data.rfc3161_timestamps;
    if stamped.is_empty() {
        return Ok(Vec::new());
    }
    let authorities = root.trusted_root().tsa_authorities();
    let bytes = SignatureBytes::from_bytes(signature.given.stamped());
    let mut times = Vec::new();
    for timestamp in stamped {
        let mut found = "no timestamp authority in the trust root".to_owned();
        let left_out = root.timestamp_signers().left_out(timestamp.signed_timestamp.as_bytes());
        let completed = left_out.iter().flat_map(|signer| {
            authorities.iter().filter_map(|authority| timestamp_signer::with_signer(authority, signer))
        });
        let completed: Vec<_> = completed.collect();
        let time = authorities.iter().chain(&completed).find_map(|authority| {
            verify_timestamp_for_authority(&timestamp.signed_timestamp, &bytes, authority)
                .map_err(|error| found = error.to_string())
                .ok()
        });
        times.push(time.ok_or_else(|| from_sigstore(&Error::Timestamp(TimestampError::Invalid(found))))?);
    }
    Ok(times)
}

/// Each promise is by the entry's own log.
fn promised_times(bundle: &Bundle, root: &TrustRoot) -> Result<Vec<Timestamp>, Failed> {
    let mut times = Vec::new();
    for entry in &bundle.verification_material.tlog_entries {
        let (Some(promise), Some(integrated_time)) = (&entry.inclusion_promise, entry.integrated_time) else {
            continue;
        };
        let promise = Promise {
            body: entry.canonicalized_body.as_bytes(),
            integrated_time,
            log_id: entry.log_id.key_id.as_bytes(),
            log_index: entry.log_index.as_i64(),
            signature: promise.signed_entry_timestamp.as_bytes(),
        };
        times.push(promise.verify(root)?);
    }
    Ok(times)
}

/// A message signature may say what it is over; then that is what the signature is over.
pub(crate) fn check_message_digest(bundle: &Bundle, signed: Signed<'_>) -> Result<(), Failed> {
    let SignatureContent::MessageSignature(message) = &bundle.content else { return Ok(()) };
    let Some(said) = &message.message_digest else { return Ok(()) };
    let found = hex::encode(said.digest.as_bytes());
    let refused = |refused: Refusal| Err(Failed::at(Step::Shape, refused));
    match signed.digest(said.algorithm) {
        Some(digest) if digest == said.digest.as_bytes() => Ok(()),
        Some(digest) => refused(refusal(
            RefusalReason::BadSubject,
            format!("a signature over {}:{}", said.algorithm.as_rekor_str(), hex::encode(digest)),
            found,
        )),
        None => refused(refusal(
            RefusalReason::BadSubject,
            format!("a signature over {signed}"),
            format!("{}:{found}", said.algorithm.as_rekor_str()),
        )),
    }
}
