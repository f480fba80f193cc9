//! Signatures by a key of the contracts.

use correlator_core::facts::{Refusal, RefusalReason, RootParts, Signer};
use sigstore_verify::PublicKeyVerificationPolicy;
use sigstore_verify::crypto::KeyAlgorithm;
use sigstore_verify::types::{HashAlgorithm, SignatureContent};

use crate::bundle::{Content, UnverifiedBundle};
use crate::proof::{Artifact, Proof, furthest};
use crate::refusal::{Failed, Step, from_sigstore, malformed, refusal, shown, unsupported};
use crate::signature::{self, Scheme, Signed, Unfitting};
use crate::trust::{LogDemand, TrustRoot, TrustSet, TrustedKey};
use crate::work::Work;
use crate::{key_names, log_entries, rests_on, signature_pair, timestamps};

/// Verifies the bundle with each key that its names leave possible, until one fits.
pub(crate) fn prove(
    bundle: &UnverifiedBundle,
    hint: &str,
    artifact: Artifact<'_>,
    trust: &TrustSet,
    work: &mut Work,
) -> Result<Proof, Refusal> {
    let key_id = match &bundle.content {
        Content::Envelope(envelope) => envelope.key_id.as_str(),
        Content::Message => "",
    };
    let keys = key_names::candidates(&[hint, key_id], trust.keys());
    if keys.is_empty() && !trust.keys().is_empty() {
        let expected: Vec<String> = trust.keys().iter().map(key_names::shown).collect();
        let found = format!("a key named {}", shown(if hint.is_empty() { key_id } else { hint }));
        return Err(refusal(
            RefusalReason::UntrustedSigner,
            format!("one of the keys {}", expected.join(", ")),
            found,
        ));
    }
    let mut failures = Vec::new();
    for key in keys {
        match attempt(bundle, artifact, key, trust, work) {
            Ok(proof) => return Ok(proof),
            Err(failed) => failures.push(failed),
        }
    }
    Err(furthest(failures, "a configured key"))
}

fn attempt(
    bundle: &UnverifiedBundle,
    artifact: Artifact<'_>,
    key: &TrustedKey,
    trust: &TrustSet,
    work: &mut Work,
) -> Result<Proof, Failed> {
    // 1. The key signed the artifact or the envelope. First, so that a key which did not sign has no other say.
    work.step()?;
    let scheme = check_signature(bundle, artifact, key)?;

    // 2. A log entry, where there is one in a log that some root knows, verifies with it in all its parts.
    let material = &bundle.bundle.verification_material;
    let entries = &material.tlog_entries;
    let knows_logs =
        |root: &&TrustRoot| entries.iter().all(|entry| root.knows_log(entry.log_id.key_id.as_bytes()));
    let roots: Vec<&TrustRoot> = trust.roots().iter().filter(knows_logs).collect();
    if !entries.is_empty() && !roots.is_empty() {
        check_scheme(bundle, key, scheme)?;
        return with_roots(bundle, artifact, key, &roots, true, work);
    }
    if key.log() == LogDemand::Required {
        let found = if entries.is_empty() { "none" } else { "an entry in a log that no trust root knows" };
        let refused = refusal(RefusalReason::BadLogEntry, "a log entry for the key's signature", found);
        return Err(Failed::at(Step::Log, refused));
    }

    // 3. A timestamp, where there is one and some root has authorities, verifies too.
    let stamped = !material.timestamp_verification_data.rfc3161_timestamps.is_empty();
    let has_authorities = |root: &&TrustRoot| !root.trusted_root().timestamp_authorities.is_empty();
    let roots: Vec<&TrustRoot> = trust.roots().iter().filter(has_authorities).collect();
    if stamped && !roots.is_empty() && entries.is_empty() {
        check_scheme(bundle, key, scheme)?;
        return with_roots(bundle, artifact, key, &roots, false, work);
    }
    Ok(Proof { signer: signer(key, false), signed_at: None, root: None, rests_on: RootParts::default() })
}

/// Log entries, promises and timestamps, by the steps of [`crate::keyless`] that do not concern a certificate.
fn with_roots(
    bundle: &UnverifiedBundle,
    artifact: Artifact<'_>,
    key: &TrustedKey,
    roots: &[&TrustRoot],
    logged: bool,
    work: &mut Work,
) -> Result<Proof, Failed> {
    let mut policy = PublicKeyVerificationPolicy::new(key.der().clone());
    if !logged {
        policy = policy.skip_tlog_unsafe();
    }
    let mut failures = Vec::new();
    for root in roots {
        work.step()?;
        let result = match artifact {
            Artifact::Bytes(bytes) => root.verifier().verify(bytes, &bundle.bundle, &policy),
            Artifact::Digest(_) => {
                let digest = artifact.to_sigstore().map_err(|refused| Failed::at(Step::Shape, refused))?;
                root.verifier().verify(digest, &bundle.bundle, &policy)
            }
        };
        let result = match result {
            Ok(result) if result.tlog_verified() == logged => result,
            Ok(_) => continue,
            Err(error) => {
                failures.push(from_sigstore(&error));
                continue;
            }
        };
        let times = result.verified_timestamps();
        log_entries::check_against(&bundle.bundle, root.trusted_root(), times)
            .and_then(|()| timestamps::check_against(&bundle.bundle, root.trusted_root()))
            .map_err(|refused| Failed::at(Step::Binding, refused))?;
        let signed_at = times.iter().min().copied();
        return Ok(Proof {
            signer: signer(key, logged),
            signed_at,
            root: Some(root.version().clone()),
            rests_on: rests_on::of_bundle(&bundle.bundle, root),
        });
    }
    let refused = furthest(failures, "a trust root that knows the log");
    Err(Failed::at(Step::Binding, refused))
}

fn signer(key: &TrustedKey, logged: bool) -> Signer {
    Signer::Key { fingerprint: key.fingerprint(), logged }
}

fn check_signature(
    bundle: &UnverifiedBundle,
    artifact: Artifact<'_>,
    key: &TrustedKey,
) -> Result<Scheme, Failed> {
    check_message_digest(bundle, artifact)?;
    let envelope_bytes;
    let (signature, signed) = match (&bundle.content, &bundle.bundle.content, artifact) {
        (Content::Envelope(envelope), _, _) => {
            envelope_bytes = envelope.signed_bytes();
            (envelope.signature.as_slice(), Signed::Bytes(&envelope_bytes))
        }
        (Content::Message, SignatureContent::MessageSignature(message), Artifact::Bytes(bytes)) => {
            (message.signature.as_bytes(), Signed::Bytes(bytes))
        }
        (Content::Message, SignatureContent::MessageSignature(message), Artifact::Digest(digest)) => {
            (message.signature.as_bytes(), Signed::Digest(digest))
        }
        _ => {
            return Err(Failed::at(
                Step::Shape,
                malformed("one content of the bundle", "two readings of it"),
            ));
        }
    };
    let spki = key.der().as_bytes();
    let scheme = signature::scheme_of(spki, signature, signed).or_else(|unfitting| {
        let pair = signature_pair::to_der(signature).ok_or(unfitting)?;
        signature::scheme_of(spki, &pair, signed)
    });
    scheme.map_err(|unfitting| {
        let expected = format!("a signature by the key {}", key.fingerprint());
        let refused = match unfitting {
            Unfitting::Another => refusal(RefusalReason::BadSignature, expected, "another signature"),
            Unfitting::Unsupported(what) => unsupported(expected, what),
        };
        Failed::at(Step::Shape, refused)
    })
}

/// Log entries and timestamps are verified together with the signature, by the verifying crate, which knows one scheme for
/// each kind of key and digest. A signature by another scheme is good, but nothing more can be verified with it.
fn check_scheme(bundle: &UnverifiedBundle, key: &TrustedKey, found: Scheme) -> Result<(), Failed> {
    let said = match &bundle.bundle.content {
        SignatureContent::MessageSignature(message) => message.message_digest.as_ref(),
        _ => None,
    };
    let algorithm = KeyAlgorithm::from_spki(key.der()).ok();
    let expected = algorithm.and_then(|algorithm| match said {
        Some(said) => algorithm.resolve_signing_scheme(said.algorithm).ok(),
        None => Some(algorithm.default_signing_scheme()),
    });
    if expected.is_some() && expected == found {
        return Ok(());
    }
    let name = |scheme: Scheme| scheme.map_or("a scheme for other keys", |scheme| scheme.name());
    let expected = format!("a logged or dated signature by {}", name(expected));
    Err(Failed::at(Step::Binding, unsupported(expected, name(found))))
}

/// A message signature may say what it is over; then it must be over this artifact.
fn check_message_digest(bundle: &UnverifiedBundle, artifact: Artifact<'_>) -> Result<(), Failed> {
    let SignatureContent::MessageSignature(message) = &bundle.bundle.content else {
        return Ok(());
    };
    let Some(said) = &message.message_digest else {
        return Ok(());
    };
    let digest = match (artifact, said.algorithm) {
        (Artifact::Bytes(bytes), HashAlgorithm::Sha2256) => bus_schema::Digest::sha256_of(bytes),
        (Artifact::Bytes(bytes), HashAlgorithm::Sha2512) => bus_schema::Digest::sha512_of(bytes),
        (Artifact::Bytes(_), _) => return Ok(()),
        (Artifact::Digest(digest), _) => digest,
    };
    if digest.bytes() == said.digest.as_bytes() {
        return Ok(());
    }
    let found = hex::encode(said.digest.as_bytes());
    Err(Failed::at(
        Step::Shape,
        refusal(RefusalReason::BadSubject, format!("a signature over {digest}"), found),
    ))
}
